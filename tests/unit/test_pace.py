"""How fast devices may send."""

from wayside_server.domain.rates import BURST_S, RateLimits, Rates
from wayside_server.ingest.pace import FLEET_PAUSE_MS, MOST_DEVICES, Pace


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def test_a_device_is_asked_to_slow_down_before_anything_is_not_taken() -> None:
    clock = Clock()
    pace, told = Pace(Rates(RateLimits(device_messages=4.0), clock)), []
    while pace.admits("boiler-7"):
        told.append(pace.pause_ms("boiler-7"))
    assert told == [0] * 20 + [250] * 20
    assert pace.take_refused() == {"boiler-7": 1}
    assert pace.take_refused() == {}
    assert pace.admits("boiler-8")
    clock.s += 0.25
    assert pace.admits("boiler-7"), "as fast as it was told, all of it is taken"


def test_the_devices_of_a_tenant_share_what_it_may_send() -> None:
    pace = Pace(Rates(RateLimits(device_messages=100.0, tenant_messages=4.0), Clock()))
    pace.learn({"boiler-7": 1, "boiler-8": 1, "pump-1": 2})
    taken = sum(pace.admits(f"boiler-{7 + turn % 2}") for turn in range(100))
    assert taken == 4.0 * BURST_S
    assert pace.pause_ms("boiler-7") == pace.pause_ms("boiler-8") == FLEET_PAUSE_MS
    assert pace.admits("pump-1")
    assert pace.pause_ms("pump-1") == 0
    pace.learn({"boiler-7": 2})
    assert pace.admits("boiler-7"), "it was moved to another tenant"


def test_a_storm_of_names_is_counted_in_few_rows() -> None:
    pace = Pace(Rates(RateLimits(device_messages=0.1), Clock()))
    for turn in range(2):
        for number in range(2 * MOST_DEVICES):
            assert pace.admits(f"boiler-{number}") == (turn == 0)
    refused = pace.take_refused()
    assert len(refused) == MOST_DEVICES + 1
    assert refused[None] == MOST_DEVICES
