"""What counts as silence, and what follows from it."""

from wayside_edge.health.supervisor import Pulse, Supervisor


def look_for(supervisor: Supervisor, begin_s: float, seconds: float) -> list[Pulse]:
    """Look every second, and gather who is overdue."""
    found: list[Pulse] = []
    for second in range(round(seconds) + 1):
        found += supervisor.look(begin_s + second).overdue
    return found


def test_a_part_that_beats_lives() -> None:
    supervisor = Supervisor(1.0)
    pulse = supervisor.watch("part", 2.0, critical=True)
    for second in range(20):
        pulse.beat()
        assert supervisor.look(float(second)).alive


def test_a_silent_part_is_told_of_once_until_it_beats_again() -> None:
    supervisor = Supervisor(1.0)
    pulse = supervisor.watch("part", 3.0)
    pulse.beat()
    assert look_for(supervisor, 0.0, 20.0) == [pulse]
    pulse.beat()
    assert look_for(supervisor, 21.0, 20.0) == [pulse]


def test_only_a_critical_part_keeps_the_food_back_and_its_cause_says_which() -> None:
    supervisor = Supervisor(1.0)
    supervisor.watch("this", 3.0).beat()
    pulse = supervisor.watch("that", 5.0, critical=True)
    pulse.beat()
    look_for(supervisor, 0.0, 5.0)
    assert supervisor.look(5.0).alive
    dead = supervisor.look(6.5)
    assert (dead.alive, dead.cause) == (False, "that has shown no life for 6 s")
    pulse.beat()
    assert supervisor.look(7.0).alive


def test_a_part_that_rests_may_be_silent() -> None:
    supervisor = Supervisor(1.0)
    pulse = supervisor.watch("part", 3.0, critical=True)
    assert look_for(supervisor, 0.0, 20.0) == []
    pulse.beat()
    pulse.rest()
    assert look_for(supervisor, 21.0, 20.0) == []


def test_a_process_that_was_stopped_blames_none_of_its_parts() -> None:
    supervisor = Supervisor(1.0)
    pulse = supervisor.watch("part", 3.0, critical=True)
    pulse.beat()
    supervisor.look(0.0)
    assert supervisor.look(3600.0).alive
    assert supervisor.look(3601.0).alive
    assert not supervisor.look(3602.5).alive


def test_an_agent_that_gave_up_is_dead_for_good() -> None:
    supervisor = Supervisor(1.0)
    pulse = supervisor.watch("part", 3.0, critical=True)
    supervisor.give_up("too much hangs")
    supervisor.give_up("more")
    pulse.beat()
    assert (supervisor.look(0.0).alive, supervisor.look(1.0).cause) == (False, "too much hangs")
