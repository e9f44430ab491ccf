"""The VL53L0X driver against the simulated chip: distances, what is none, budgets, and a start from any state."""

import pytest

from wayside_edge.drivers.vl53l0x import KIND, Vl53l0x, Vl53l0xSettings, sequence
from wayside_edge.errors import DeviceAbsentError
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.vl53l0x import Vl53l0xChip
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started, values
from wayside_testkit.sensing import Bench


def plugged(distance_mm: float = 345.0) -> Bench:
    bench = Bench()
    bench.signals.update(distance_mm=distance_mm)
    bench.put(0x29, Vl53l0xChip(bench.around))
    return bench


def chip(bench: Bench) -> Vl53l0xChip:
    found = bench.bus.chips[0x29]
    assert isinstance(found, Vl53l0xChip)
    return found


def driver(bench: Bench, timing_budget_ms: int = 33) -> Vl53l0x:
    made = Vl53l0x(Vl53l0xSettings(timing_budget_ms=timing_budget_ms), "main", bench)
    started(bench, made)
    return made


@pytest.mark.parametrize("distance_mm", [20.0, 57.4, 345.0, 1234.0, 2000.0])
def test_measures_the_distance(distance_mm: float) -> None:
    bench = plugged(distance_mm)
    assert values(bench, driver(bench)) == {"distance": round(distance_mm)}


def test_each_read_is_a_measurement_of_its_own() -> None:
    bench = plugged()
    made = driver(bench)
    for distance_mm in (100, 900, 333):
        bench.signals.update(distance_mm=distance_mm)
        assert values(bench, made) == {"distance": distance_mm}


@pytest.mark.parametrize("timing_budget_ms", [20, 33, 50, 100, 200, 500, 1000])
def test_a_measurement_takes_its_budget(timing_budget_ms: int) -> None:
    bench = plugged()
    made = driver(bench, timing_budget_ms)
    takes_ms = chip(bench)._measurement_s() * 1000
    # The chip's timeout has a mantissa of 8 bits, rounded down: it may be short of its share by one part in 128.
    assert timing_budget_ms * (1 - 1 / 128) - 0.1 <= takes_ms <= timing_budget_ms + 0.1
    begin_s = bench.clock.now_s
    values(bench, made)
    assert bench.clock.now_s - begin_s == pytest.approx(timing_budget_ms / 1000, rel=0.11)


def test_nothing_in_reach_has_no_value_and_needs_no_start() -> None:
    bench = plugged(3000.0)
    made = driver(bench)
    found = readings(bench, made)["distance"]
    assert (found.value, found.quality) == (None, Quality.OUT_OF_RANGE)
    bench.signals.update(distance_mm=500.0)
    assert values(bench, made) == {"distance": 500}


@pytest.mark.parametrize(
    ("status", "value", "quality"),
    [
        (4, None, Quality.OUT_OF_RANGE),
        (6, None, Quality.OUT_OF_RANGE),
        (9, None, Quality.OUT_OF_RANGE),
        (8, 345, Quality.CLIPPED),
        (10, 345, Quality.CLIPPED),
        (11, 345, Quality.GOOD),
        (0, None, Quality.INVALID),
        (5, None, Quality.INVALID),
        (7, None, Quality.INVALID),
        (12, None, Quality.INVALID),
        (15, None, Quality.INVALID),
    ],
)
def test_the_range_status_is_the_quality(status: int, value: int | None, quality: Quality) -> None:
    bench = plugged()
    made = driver(bench)
    chip(bench).status = status
    found = readings(bench, made)["distance"]
    assert (found.value, found.quality) == (value, quality)


@pytest.mark.parametrize("status", [1, 2, 3])
def test_a_broken_laser_is_told(status: int) -> None:
    bench = plugged()
    made = driver(bench)
    chip(bench).status = status
    quality, message = refusal(lambda: bench.finish(made.read()))
    assert quality is Quality.INVALID
    assert f"fault of its laser (status {status})" in message


def test_a_distance_that_cannot_be_is_out_of_range() -> None:
    bench = plugged()
    made = driver(bench)
    bench.bus.set_fault(0x29, Fault.OUT_OF_RANGE)
    assert readings(bench, made)["distance"].quality is Quality.OUT_OF_RANGE


def test_starts_from_whatever_state_it_is_in() -> None:
    bench = plugged()
    bus = bench.i2c("main")
    for page in (0, 1, 6, 7):
        bus.write(0x29, bytes((0xFF, page)))
        bus.write(0x29, b"\x80\x01")
        bus.write(0x29, b"\xff\x00")
        bus.write(0x29, b"\x01\x02")
        assert values(bench, driver(bench)) == {"distance": 345}
    bus.write(0x29, b"\xbf\x00")  # a reset that nobody ended
    assert values(bench, driver(bench)) == {"distance": 345}


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it() -> None:
    bench = plugged()
    made = driver(bench)
    chip(bench).power_cycle()
    bench.clock.sleep(0.01)
    assert refusal(lambda: bench.finish(made.read()))[0] is Quality.POWER_LOST
    started(bench, made)
    assert values(bench, made) == {"distance": 345}


def test_a_chip_that_is_slow_is_given_up() -> None:
    bench = plugged()
    made = driver(bench)
    bench.bus.set_fault(0x29, Fault.SLOW)
    for attempt in (made.read, made.start):
        quality, message = refusal(lambda act=attempt: bench.finish(act()))  # type: ignore[misc]
        assert quality is Quality.NOT_READY
        assert "does not" in message or "did not finish" in message


def test_what_is_no_vl53l0x() -> None:
    bench = plugged()
    bench.clock.sleep(1.0)
    assert KIND.identify is not None
    assert KIND.identify(bench.i2c("main"), 0x29)
    bench.bus.set_fault(0x29, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: driver(bench))
    assert quality is Quality.WRONG_CHIP
    assert "0x29: the chip is no VL53L0X: identity eacc instead of eeaa" in message
    assert not KIND.identify(bench.i2c("main"), 0x29)
    bench.bus.set_fault(0x29, Fault.ABSENT)
    with pytest.raises(DeviceAbsentError):
        driver(bench)


def test_the_bus_is_free_while_it_measures() -> None:
    bench = plugged()
    made = driver(bench, 200)
    steps = made.read()
    before = bench.bus.transactions
    assert next(iter(steps)) == 0.2
    assert bench.bus.transactions - before == 10


@pytest.mark.parametrize(
    ("good", "count", "aperture", "chosen"),
    [
        ("ffffffffffff", 3, False, "070000000000"),
        ("ffffffffffff", 3, True, "007000000000"),
        ("feff0fffffff", 5, True, "00f001000000"),
        ("000000000080", 4, True, "000000000080"),
        ("ffffffffffff", 0, False, "000000000000"),
    ],
)
def test_the_first_good_spads_are_chosen(good: str, count: int, aperture: bool, chosen: str) -> None:
    assert sequence.reference_spads(bytes.fromhex(good), count, aperture=aperture).hex() == chosen


@pytest.mark.parametrize(
    ("mclks", "code"), [(0, 0), (1, 0), (151, 0x0096), (256, 0x00FF), (257, 0x0180), (509, 0x01FE), (8000, 0x05F9)]
)
def test_timeouts_have_a_mantissa_and_an_exponent(mclks: int, code: int) -> None:
    assert sequence.encode_timeout(mclks) == code
