"""The INA219 driver against the simulated chip: ranges, averages, modes, states and mistakes."""

import pytest

from wayside_edge.drivers.ina219 import KIND, Ina219, Ina219Settings
from wayside_edge.drivers.ina219.settings import BUS_RANGES_V, SAMPLES, SHUNT_RANGES_MV, Mode
from wayside_edge.errors import SensorError
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.ads1115 import Ads1115Chip
from wayside_firmware.board.chips.ina219 import Ina219Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started, values
from wayside_testkit.sensing import Bench, finish

ADDRESS = 0x40


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.signals.update(ampere=0.8, bus_volt=12.0)
    bench.put(ADDRESS, Ina219Chip(bench.around))
    return bench


def driver(bench: Bench, settings: Ina219Settings | None = None) -> Ina219:
    return Ina219(settings or Ina219Settings(), "main", bench)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("ampere", [-3.1, -0.5, 0.0, 0.001, 0.8, 3.1])
def test_measures_what_is_there(bench: Bench, mode: Mode, ampere: float) -> None:
    bench.signals["ampere"] = ampere
    found = values(bench, started(bench, driver(bench, Ina219Settings(mode=mode))))
    assert found["bus_voltage"] == pytest.approx(12.0, abs=0.002)
    assert found["shunt_voltage"] == pytest.approx(100 * ampere, abs=0.005)
    assert found["current"] == pytest.approx(ampere, abs=2e-4)
    assert found["power"] == pytest.approx(12.0 * abs(ampere), abs=0.005)


@pytest.mark.parametrize(("bits", "longest_s"), [(9, 186e-6), (10, 326e-6), (11, 608e-6), (12, 1172e-6)])
def test_every_resolution_waits_its_longest_time(bench: Bench, bits: int, longest_s: float) -> None:
    chip = started(bench, driver(bench, Ina219Settings(resolution_bits=bits)))
    before_s = bench.clock.now_s
    values(bench, chip)
    assert bench.clock.now_s - before_s == pytest.approx(longest_s)


@pytest.mark.parametrize("samples", SAMPLES)
def test_every_average_waits_for_its_conversions(bench: Bench, samples: int) -> None:
    chip = started(bench, driver(bench, Ina219Settings(samples=samples)))
    before_s = bench.clock.now_s
    assert values(bench, chip)["current"] == pytest.approx(0.8, abs=2e-4)
    assert bench.clock.now_s - before_s == pytest.approx(2 * 586e-6 * samples)


@pytest.mark.parametrize("range_mv", SHUNT_RANGES_MV)
def test_the_end_of_each_shunt_range_is_flagged(bench: Bench, range_mv: int) -> None:
    chip = started(bench, driver(bench, Ina219Settings(shunt_range_mv=range_mv)))
    bench.signals["ampere"] = range_mv / 100 - 0.01
    assert {each.quality for each in readings(bench, chip).values()} == {Quality.GOOD}
    bench.signals["ampere"] = range_mv / 100 + 0.5
    found = readings(bench, chip)
    assert found["shunt_voltage"].value == pytest.approx(range_mv)
    assert {name for name, each in found.items() if each.quality is Quality.CLIPPED} == {
        "shunt_voltage",
        "current",
        "power",
    }


@pytest.mark.parametrize("range_v", BUS_RANGES_V)
def test_the_end_of_each_bus_range_is_flagged(bench: Bench, range_v: int) -> None:
    chip = started(bench, driver(bench, Ina219Settings(bus_range_v=range_v)))
    bench.signals["bus_volt"] = range_v + 1.0
    found = readings(bench, chip)
    assert (found["bus_voltage"].value, found["bus_voltage"].quality) == (range_v, Quality.CLIPPED)
    assert (found["current"].quality, found["power"].quality) == (Quality.GOOD, Quality.CLIPPED)


def test_an_overflow_leaves_the_voltages(bench: Bench) -> None:
    chip = started(bench, driver(bench, Ina219Settings(max_current_a=0.5)))
    found = readings(bench, chip)
    assert found["bus_voltage"].value == pytest.approx(12.0)
    assert found["shunt_voltage"].quality is Quality.GOOD
    assert [(found[name].value, found[name].quality) for name in ("current", "power")] == [
        (None, Quality.OUT_OF_RANGE)
    ] * 2


def test_what_was_given_before_is_stale(bench: Bench) -> None:
    chip = started(bench, driver(bench, Ina219Settings(mode=Mode.CONTINUOUS, samples=128)))
    assert {each.quality for each in readings(bench, chip).values()} == {Quality.GOOD}
    assert {each.quality for each in readings(bench, chip).values()} == {Quality.STALE}
    bench.clock.sleep(0.2)
    assert {each.quality for each in readings(bench, chip).values()} == {Quality.GOOD}


def test_asking_what_it_is_takes_no_measurement_away(bench: Bench) -> None:
    chip = started(bench, driver(bench, Ina219Settings(mode=Mode.CONTINUOUS)))
    assert KIND.identify is not None
    assert KIND.identify(bench.i2c("main"), ADDRESS)
    assert {each.quality for each in readings(bench, chip).values()} == {Quality.GOOD}


@pytest.mark.parametrize("mode", Mode)
def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench, mode: Mode) -> None:
    chip = started(bench, driver(bench, Ina219Settings(mode=mode)))
    if mode is Mode.TRIGGERED:
        steps = chip.read()
        next(steps)  # type: ignore[call-overload]
    bench.bus.chips[ADDRESS].power_cycle()  # type: ignore[attr-defined]
    bench.clock.sleep(0.01)
    if mode is Mode.CONTINUOUS:
        steps = chip.read()
    quality, message = refusal(lambda: finish(steps, bench.clock.sleep))
    assert quality is Quality.POWER_LOST
    assert "lost its settings" in message
    assert values(bench, started(bench, chip))["current"] == pytest.approx(0.8, abs=2e-4)


def test_a_slow_chip_is_given_up(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.SLOW)
    assert refusal(lambda: readings(bench, chip))[0] is Quality.NOT_READY


def test_a_voltage_that_cannot_be_is_refused(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.OUT_OF_RANGE)
    quality, message = refusal(lambda: readings(bench, chip))
    assert quality is Quality.OUT_OF_RANGE
    assert "32.764 V" in message


def test_an_ina226_is_named(bench: Bench) -> None:
    bench.bus.set_fault(ADDRESS, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: started(bench, driver(bench)))
    assert quality is Quality.WRONG_CHIP
    assert "address 0x40: the chip is an INA226; set kind" in message


def test_another_chip_is_refused(bench: Bench) -> None:
    bench.put(0x48, Ads1115Chip(bench.around))
    bench.signals["volt"] = 1.0
    quality, message = refusal(lambda: started(bench, driver(bench, Ina219Settings(address=0x48))))
    assert quality is Quality.WRONG_CHIP
    assert "is no INA219" in message


def test_it_is_told_from_what_shares_its_address(bench: Bench) -> None:
    bench.put(0x48, Ads1115Chip(bench.around))
    bench.signals["volt"] = 1.0
    assert KIND.identify is not None
    bus = bench.i2c("main")
    assert KIND.identify(bus, ADDRESS)
    values(bench, started(bench, driver(bench)))
    assert KIND.identify(bus, ADDRESS)
    assert not KIND.identify(bus, 0x48)
    bench.bus.set_fault(ADDRESS, Fault.WRONG_IDENTITY)
    assert not KIND.identify(bus, ADDRESS)


def test_noise_on_the_wires_is_noticed(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.CORRUPT)
    with pytest.raises(SensorError):
        readings(bench, chip)


def test_closing_puts_it_to_sleep(bench: Bench) -> None:
    chip = started(bench, driver(bench, Ina219Settings(mode=Mode.CONTINUOUS)))
    chip.close()
    assert bench.i2c("main").write_read(ADDRESS, b"\x00", 2)[1] & 7 == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": 0x50}, "0x50"),
        ({"samples": 4, "resolution_bits": 9}, "averages have 12 bits"),
        ({"max_current_a": 3.3}, r"allows 3\.2 A"),
        ({"max_current_a": 1e-4}, "does not fit"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ina219Settings(**options)
