"""Restarts and quarantines, over any course of failures."""

from hypothesis import given
from hypothesis import strategies as st

from wayside_edge.health.recovery import ASIDE_S, LONGEST_S, RESTART_S, STOOD_S, STRIKES, Recovery
from wayside_edge.health.supervisor import Supervisor

RUNS = st.lists(st.tuples(st.floats(0.0, 2.0 * STOOD_S), st.booleans()), max_size=60)


@given(RUNS)
def test_pauses_are_bounded_and_shorter_again_after_a_good_run(runs: list[tuple[float, bool]]) -> None:
    now_s = 1000.0
    recovery = Recovery(now_s)
    strikes = 0
    for ran_s, hangs in runs:
        now_s += ran_s
        again = recovery.hung(now_s) if hangs else recovery.failed(now_s)
        strikes = 1 if ran_s >= STOOD_S else strikes + 1
        assert RESTART_S <= again.pause_s <= LONGEST_S
        if ran_s >= STOOD_S:
            assert again.pause_s == (ASIDE_S if hangs else RESTART_S)
        if hangs or strikes >= STRIKES:
            assert again.quarantined
        if again.quarantined:
            strikes = max(strikes, STRIKES - 1)
        now_s += again.pause_s


@given(st.floats(0.0, STOOD_S - 1.0))
def test_what_fails_over_and_over_is_begun_anew_four_times_and_then_set_aside_for_longer_and_longer(
    ran_s: float,
) -> None:
    now_s = 0.0
    recovery = Recovery(now_s)
    pauses: list[tuple[float, bool]] = []
    for _ in range(14):
        now_s += ran_s
        again = recovery.failed(now_s)
        pauses.append((again.pause_s, again.quarantined))
        now_s += again.pause_s
    assert pauses[:4] == [(1.0, False), (2.0, False), (4.0, False), (8.0, False)]
    assert pauses[4:] == [(min(60.0 * 2**spell, 3600.0), True) for spell in range(10)]


@given(
    st.floats(0.5, 60.0),
    st.lists(st.tuples(st.floats(0.0, 500.0), st.sampled_from(["beat", "rest", "nothing"])), max_size=60),
)
def test_nobody_is_overdue_before_its_deadline_has_passed_in_looks(
    deadline_s: float, steps: list[tuple[float, str]]
) -> None:
    supervisor = Supervisor(2.0)
    pulse = supervisor.watch("part", deadline_s, critical=True)
    now_s = shown_s = 0.0
    resting = True
    supervisor.look(now_s)
    for passed_s, what in steps:
        now_s += passed_s
        if what == "beat":
            pulse.beat()
        elif what == "rest":
            pulse.rest()
        if what != "nothing":
            shown_s, resting = now_s, what == "rest"
        look = supervisor.look(now_s)
        if resting or now_s - shown_s <= deadline_s:
            assert look.alive
            assert look.overdue == []
