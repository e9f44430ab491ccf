"""The ADS1115 driver against the simulated chip: inputs, gains, rates, states and mistakes."""

import pytest

from wayside_edge.drivers.ads1115 import KIND, Ads1115, Ads1115Channel, Ads1115Settings
from wayside_edge.drivers.ads1115.settings import DATA_RATES_HZ, FULL_SCALES_V, INPUTS
from wayside_edge.errors import SensorError
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.ads1115 import Ads1115Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started, values
from wayside_testkit.sensing import Bench, finish

ADDRESS = 0x48


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.signals["volt"] = 2.0
    bench.put(ADDRESS, Ads1115Chip(bench.around))
    return bench


def driver(bench: Bench, *channels: Ads1115Channel, data_rate_hz: int = 128) -> Ads1115:
    inputs = list(channels) or [Ads1115Channel(name="in", input="0")]
    return Ads1115(Ads1115Settings(channels=inputs, data_rate_hz=data_rate_hz), "main", bench)


def test_every_input_is_what_it_says(bench: Bench) -> None:
    chip = driver(bench, *(Ads1115Channel(name=f"in{each}", input=each) for each in INPUTS))
    found = values(bench, started(bench, chip))
    share = {"0": 1.0, "1": 0.5, "2": 0.25, "3": 0.125}
    for each in INPUTS:
        high, _, low = each.partition("-")
        expected = 2.0 * (share[high] - share.get(low, 0.0))
        assert found[f"in{each}"] == pytest.approx(expected, abs=4.096 / 32768)


@pytest.mark.parametrize("full_scale_v", FULL_SCALES_V)
@pytest.mark.parametrize("share", [-0.99, -0.2, 0.0, 0.3, 0.999])
def test_every_gain(bench: Bench, full_scale_v: float, share: float) -> None:
    bench.signals["volt"] = 2 * share * full_scale_v  # between the inputs 0 and 1 there is half of it
    chip = driver(bench, Ads1115Channel(name="in", input="0-1", full_scale_v=full_scale_v))
    assert values(bench, started(bench, chip))["in"] == pytest.approx(share * full_scale_v, abs=full_scale_v / 65535)


@pytest.mark.parametrize("rate_hz", DATA_RATES_HZ)
def test_every_rate_waits_for_the_slowest_chip_at_that_rate(bench: Bench, rate_hz: int) -> None:
    chip = started(bench, driver(bench, data_rate_hz=rate_hz))
    before_s = bench.clock.now_s
    readings(bench, chip)
    assert bench.clock.now_s - before_s == pytest.approx(1.1 / rate_hz + 50e-6)


@pytest.mark.parametrize(("volt", "at_end"), [(5.0, 4.096 * 32767 / 32768), (4.0, None)])
def test_the_end_of_the_range_is_flagged(bench: Bench, volt: float, at_end: float | None) -> None:
    bench.signals["volt"] = volt
    reading = readings(bench, started(bench, driver(bench)))["in"]
    assert reading.quality is (Quality.GOOD if at_end is None else Quality.CLIPPED)
    assert reading.value == pytest.approx(at_end or volt, abs=1.3e-4)


def test_the_lower_end_of_a_difference_is_flagged(bench: Bench) -> None:
    bench.signals["volt"] = -9.0
    reading = readings(bench, started(bench, driver(bench, Ads1115Channel(name="in", input="0-1"))))["in"]
    assert (reading.value, reading.quality) == (-4.096, Quality.CLIPPED)


def test_an_input_below_ground_is_no_measurement_and_the_others_are(bench: Bench) -> None:
    chip = driver(bench, Ads1115Channel(name="in", input="0"), Ads1115Channel(name="difference", input="0-1"))
    bench.bus.set_fault(ADDRESS, Fault.OUT_OF_RANGE)
    found = readings(bench, started(bench, chip))
    assert (found["in"].value, found["in"].quality) == (None, Quality.OUT_OF_RANGE)
    assert found["difference"].quality is Quality.CLIPPED


def test_a_small_offset_below_ground_is_a_measurement(bench: Bench) -> None:
    bench.signals["volt"] = -0.01
    assert values(bench, started(bench, driver(bench)))["in"] == pytest.approx(-0.01, abs=1.3e-4)


def test_scale_offset_unit_and_resolution(bench: Bench) -> None:
    chip = driver(bench, Ads1115Channel(name="in", input="0", scale=-250.0, offset=10.0, unit="kPa"))
    reading = readings(bench, started(bench, chip))["in"]
    assert (reading.unit, reading.decimals) == ("kPa", 2)
    assert reading.value == pytest.approx(-490.0, abs=0.04)


def test_a_slow_chip_is_given_up_and_comes_back(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.SLOW)
    assert refusal(lambda: readings(bench, chip))[0] is Quality.NOT_READY
    assert refusal(lambda: started(bench, chip))[0] is Quality.NOT_READY
    bench.bus.set_fault(ADDRESS, Fault.NONE)
    bench.clock.sleep(1.0)
    assert values(bench, started(bench, chip))["in"] == pytest.approx(2.0, abs=1.3e-4)


def test_the_conversion_that_another_program_began_is_not_taken_for_ours(bench: Bench) -> None:
    bench.i2c("main").write(ADDRESS, bytes((1, 0xF3, 0x03)))  # AIN3 at 8 conversions a second
    assert values(bench, started(bench, driver(bench)))["in"] == pytest.approx(2.0, abs=1.3e-4)


def test_a_dip_of_the_supply_during_a_conversion_is_noticed(bench: Bench) -> None:
    chip = driver(bench, Ads1115Channel(name="in", input="0-1", full_scale_v=2.048))  # but for the mark, as after reset
    started(bench, chip)
    steps = chip.read()
    next(steps)
    bench.bus.chips[ADDRESS].power_cycle()  # type: ignore[attr-defined]
    quality, message = refusal(lambda: finish(steps, bench.clock.sleep))
    assert quality is Quality.POWER_LOST
    assert "lost its settings" in message
    assert values(bench, started(bench, chip))["in"] == pytest.approx(1.0, abs=1.3e-4)


def test_another_chip_is_refused_and_named(bench: Bench) -> None:
    bench.bus.set_fault(ADDRESS, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: started(bench, driver(bench)))
    assert quality is Quality.WRONG_CHIP
    assert "bus main, address 0x48: the chip is no ADS1115" in message


def test_it_is_told_from_what_shares_its_address(bench: Bench) -> None:
    assert KIND.identify is not None
    started(bench, driver(bench))
    assert KIND.identify(bench.i2c("main"), ADDRESS)
    bench.bus.set_fault(ADDRESS, Fault.WRONG_IDENTITY)
    assert not KIND.identify(bench.i2c("main"), ADDRESS)


def test_a_bit_turned_on_the_wires_is_noticed(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.CORRUPT)
    with pytest.raises(SensorError):
        readings(bench, chip)


def test_the_model_converts_all_the_time_when_told(bench: Bench) -> None:
    bus = bench.i2c("main")
    bus.write(ADDRESS, bytes((1, 0x42, 0x83)))
    bench.clock.sleep(0.01)
    assert bus.write_read(ADDRESS, b"\x00", 2) == round(2.0 / 4.096 * 32768).to_bytes(2, "big")
    bench.signals["volt"] = 1.0
    bench.clock.sleep(0.01)
    assert bus.write_read(ADDRESS, b"\x00", 2) == round(1.0 / 4.096 * 32768).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: Ads1115Settings(channels=[Ads1115Channel(name="a", input="0")], address=0x40), "0x40"),
        (lambda: Ads1115Settings(channels=[]), "at least one"),
        (lambda: Ads1115Settings(channels=[Ads1115Channel(name="a", input="0")] * 2), "two channels"),
        (lambda: Ads1115Channel(name="a", input="0", scale=0.0), "units per volt"),
    ],
)
def test_settings_that_cannot_be(settings: object, message: str) -> None:
    assert callable(settings)
    with pytest.raises(ValueError, match=message):
        settings()
