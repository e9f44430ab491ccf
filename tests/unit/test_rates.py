"""How many requests somebody may make."""

from hypothesis import given, settings
from hypothesis import strategies as st

from wayside_server.domain.rates import BURST_S, MAX_KNOWN, RateLimits, Rates, Share


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    rates = Rates(RateLimits(key=2.0), clock)
    assert [rates.take(Share.KEY, "a") for _ in range(20)] == [0.0] * 20
    assert 0 < rates.take(Share.KEY, "a") <= 0.5
    assert rates.take(Share.KEY, "b") == 0
    assert rates.take(Share.TENANT, "a") == 0
    clock.s += 0.5
    assert rates.take(Share.KEY, "a") == 0
    assert rates.take(Share.KEY, "a") > 0


def test_waiting_as_told_is_enough() -> None:
    clock = Clock()
    rates = Rates(RateLimits(key=3.0), clock)
    while (wait_s := rates.take(Share.KEY, "a")) == 0:
        pass
    clock.s += wait_s + 1e-9
    assert rates.take(Share.KEY, "a") == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=200), st.sampled_from([0.3, 2.0, 7.0]))
def test_no_span_of_time_has_more_than_rate_and_burst(steps: list[float], per_s: float) -> None:
    clock = Clock()
    rates = Rates(RateLimits(key=per_s), clock)
    admitted = []
    for step in steps:
        clock.s += step
        admitted += [clock.s for _ in range(5) if rates.take(Share.KEY, "a") == 0]
    burst = max(BURST_S * per_s, 1)
    for first, begin in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + (admitted[last] - begin) * per_s + 1e-6


def test_usage_tells_what_is_left() -> None:
    clock = Clock()
    rates = Rates(RateLimits(key=2.0), clock)
    assert rates.usage(Share.KEY, "a").left == rates.usage(Share.KEY, "a").burst == 20
    for _ in range(15):
        rates.take(Share.KEY, "a")
    assert rates.usage(Share.KEY, "a").left == 5
    clock.s += 1
    assert rates.usage(Share.KEY, "a").left == 7


def test_strangers_without_number_take_no_memory_without_bound() -> None:
    rates = Rates(RateLimits(), Clock())
    for number in range(MAX_KNOWN + 10):
        rates.take(Share.ADDRESS, str(number))
    assert len(rates._earned_s) == MAX_KNOWN
