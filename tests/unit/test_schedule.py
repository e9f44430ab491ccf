"""Ticks do not drift and never burst; pauses grow and end."""

from hypothesis import given
from hypothesis import strategies as st

from wayside_edge.pipeline.schedule import Backoff, Ticks


def test_ticks_come_from_the_start_not_from_the_last_read() -> None:
    ticks = Ticks(start_ns=100, interval_ns=10)
    assert [ticks.take(now) for now in (100, 101, 117, 120)] == [100, 110, 120, 130]
    assert ticks.missed == 0


def test_missed_ticks_are_counted_and_not_made_up_for() -> None:
    ticks = Ticks(start_ns=0, interval_ns=10)
    assert ticks.take(0) == 0
    assert ticks.take(35) == 40
    assert ticks.missed == 3
    assert ticks.take(40) == 50


@given(st.integers(1, 10**10), st.lists(st.integers(0, 10**11), min_size=1, max_size=50))
def test_every_tick_is_taken_or_missed(interval_ns: int, pauses: list[int]) -> None:
    ticks = Ticks(start_ns=1000, interval_ns=interval_ns)
    now_ns, taken = 1000, []
    for pause in pauses:
        now_ns += pause
        due_ns = ticks.take(now_ns)
        assert due_ns >= now_ns
        assert (due_ns - 1000) % interval_ns == 0
        taken.append(due_ns)
        now_ns = due_ns
    assert sorted(set(taken)) == taken
    assert (taken[-1] - 1000) // interval_ns + 1 == len(taken) + ticks.missed


def test_pauses_double_to_a_minute() -> None:
    backoff = Backoff(lambda: 0.0)
    assert [backoff.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.succeeded()
    assert backoff.failed() == 1


def test_pauses_are_shortened_by_up_to_a_half() -> None:
    assert Backoff(lambda: 1.0).failed() == 0.5


def test_pauses_stay_finite_after_years_of_failure() -> None:
    backoff = Backoff(lambda: 0.0)
    backoff.failures = 10**9
    assert backoff.failed() == 60
