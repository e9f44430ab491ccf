"""Who decides about a call to a driver: the thread that comes back from it, or the one that gave it up; never both."""

import threading

import pytest

from wayside_edge.acquisition.grip import GivenUpError, Grip


def test_a_call_that_ended_cannot_be_given_up() -> None:
    grip = Grip()
    grip.take("s", 1.0, 5)
    held = grip.held
    assert held is not None
    assert (held.sensor, held.deadline_s, held.since_ns) == ("s", 1.0, 5)
    grip.let_go()
    assert grip.held is None
    grip.take("s", 1.0, 5)  # another call, however alike
    assert not grip.give_up(held)
    grip.let_go()


def test_a_call_that_was_given_up_cannot_end() -> None:
    grip = Grip()
    grip.take("s", 1.0, 5)
    held = grip.held
    assert held is not None
    assert grip.give_up(held)
    with pytest.raises(GivenUpError):
        grip.let_go()
    assert not isinstance(GivenUpError(), Exception), "what catches the mistakes of drivers must not catch this"


def test_of_two_threads_exactly_one_decides() -> None:
    def drive(grip: Grip, ended: list[bool], ready: threading.Barrier) -> None:
        grip.take("s", 1.0, 5)
        ready.wait()
        try:
            grip.let_go()
        except GivenUpError:
            return
        ended.append(True)

    for _ in range(100):
        grip, ended, ready = Grip(), list[bool](), threading.Barrier(2)
        thread = threading.Thread(target=drive, args=(grip, ended, ready))
        thread.start()
        ready.wait()
        held = grip.held
        given_up = held is not None and grip.give_up(held)
        thread.join()
        assert given_up is not bool(ended)
