"""The SCD4x driver against the simulated chip: modes, settings, states and mistakes."""

import pytest

from wayside_edge.drivers.scd4x import KIND, Scd4x, Scd4xSettings
from wayside_edge.drivers.scd4x.settings import Mode
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.ports import Reading
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.scd4x import Scd4xChip
from wayside_shared.quality import Quality
from wayside_testkit.chips import Slow, readings, values
from wayside_testkit.sensing import Bench

SEA = 101_325.0
EACH_MODE = [(Mode.PERIODIC, 5.0), (Mode.LOW_POWER, 30.0)]


@pytest.fixture
def bench() -> Bench:
    bench = Bench(State(21.37, SEA, 43.21))
    bench.signals["co2_ppm"] = 800.0
    bench.put(0x62, Scd4xChip(bench.around))
    return bench


def chip(bench: Bench) -> Scd4xChip:
    found = bench.bus.chips[0x62]
    assert isinstance(found, Scd4xChip)
    return found


def started(bench: Bench, settings: Scd4xSettings | None = None) -> Scd4x:
    driver = Scd4x(settings or Scd4xSettings(), "main", bench, bench.clock)
    bench.finish(driver.start())
    return driver


RIGHT = {"co2": 800.0, "temperature": pytest.approx(21.37, abs=0.003), "humidity": pytest.approx(43.21, abs=0.002)}


@pytest.mark.parametrize(("mode", "period_s"), EACH_MODE)
def test_the_first_read_waits_for_the_first_measurement(bench: Bench, mode: Mode, period_s: float) -> None:
    driver = started(bench, Scd4xSettings(mode=mode))
    before_s = bench.clock.now_s
    assert values(bench, driver) == RIGHT
    assert period_s - 0.1 <= bench.clock.now_s - before_s <= period_s + 0.7


@pytest.mark.parametrize(("mode", "period_s"), EACH_MODE)
def test_a_read_in_between_is_stale_and_the_next_is_not(bench: Bench, mode: Mode, period_s: float) -> None:
    driver = started(bench, Scd4xSettings(mode=mode))
    values(bench, driver)
    bench.signals["co2_ppm"] = 1200.0
    bench.clock.sleep(period_s / 2)
    found = readings(bench, driver)
    assert found["co2"].value == 800.0
    assert {r.quality for r in found.values()} == {Quality.STALE}
    bench.clock.sleep(period_s / 2)
    assert readings(bench, driver)["co2"] == Reading("co2", 1200.0, "[ppm]", decimals=0)


def test_the_pressure_of_the_place_matters(bench: Bench) -> None:
    bench.state = State(21.37, 95_000.0, 43.21)
    assert values(bench, started(bench))["co2"] == 750.0
    assert values(bench, started(bench, Scd4xSettings(ambient_pressure_hpa=950.0)))["co2"] == 800.0
    assert values(bench, started(bench, Scd4xSettings(altitude_m=540)))["co2"] == 800.0


def test_each_start_sets_everything_anew(bench: Bench) -> None:
    bench.state = State(21.37, 95_000.0, 43.21)
    started(bench, Scd4xSettings(ambient_pressure_hpa=950.0, temperature_offset_c=0.0, automatic_calibration=False))
    assert values(bench, started(bench)) == {**RIGHT, "co2": 750.0}


def test_the_temperature_offset_is_taken_off(bench: Bench) -> None:
    found = values(bench, started(bench, Scd4xSettings(temperature_offset_c=2.5)))
    assert found["temperature"] == pytest.approx(21.37 + 1.5, abs=0.003)


def asked(bench: Bench, command: bytes) -> int:
    bus = bench.i2c("main")
    bus.write(0x62, command)
    bench.clock.sleep(0.001)
    return int.from_bytes(bus.read(0x62, 3)[:2], "big")


@pytest.mark.parametrize("enabled", [True, False])
def test_automatic_calibration_is_as_it_is_set(bench: Bench, enabled: bool) -> None:
    driver = started(bench, Scd4xSettings(automatic_calibration=enabled))
    driver.close()
    bench.clock.sleep(0.5)
    assert asked(bench, b"\x23\x13") == enabled


def test_a_forced_calibration_happens_once_after_three_minutes(bench: Bench) -> None:
    driver = started(bench, Scd4xSettings(forced_calibration_ppm=420))
    bench.clock.sleep(170.0)
    assert values(bench, driver) == RIGHT
    bench.clock.sleep(15.0)
    found = values(bench, driver)
    assert found["calibration_correction"] == -380.0
    assert found["co2"] == 420.0
    bench.finish(driver.start())
    bench.clock.sleep(400.0)
    assert values(bench, driver) == {**RIGHT, "co2": 420.0}


def test_a_forced_calibration_that_fails_is_an_error_and_is_tried_again(bench: Bench) -> None:
    driver = started(bench, Scd4xSettings(forced_calibration_ppm=420))
    chip(bench).power_cycle()
    bench.clock.sleep(185.0)
    with pytest.raises(SensorError, match="did not take the calibration to 420 ppm"):
        bench.finish(driver.read())
    bench.finish(driver.start())
    bench.clock.sleep(185.0)
    assert values(bench, driver)["calibration_correction"] == -380.0


def test_no_carbon_dioxide_at_all_is_no_value_beside_good_ones(bench: Bench) -> None:
    bench.signals["co2_ppm"] = 0.0
    found = readings(bench, started(bench))
    assert found["co2"] == Reading("co2", None, "[ppm]", quality=Quality.OUT_OF_RANGE)
    assert found["temperature"].quality is Quality.GOOD


def test_more_than_the_chip_can_say_is_clipped(bench: Bench) -> None:
    bench.signals["co2_ppm"] = 60_000.0
    found = readings(bench, started(bench))["co2"]
    assert (found.value, found.quality) == (40_000.0, Quality.CLIPPED)


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_humidity_at_the_ends_is_marked(bench: Bench, percent: float) -> None:
    bench.state = State(20.0, SEA, percent)
    found = readings(bench, started(bench))["humidity"]
    assert (found.value, found.quality) == (percent, Quality.CLIPPED)


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench) -> None:
    driver = started(bench)
    values(bench, driver)
    chip(bench).power_cycle()
    bench.clock.sleep(12.0)
    with pytest.raises(SensorError, match="stopped measuring: did its power fail") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.POWER_LOST
    bench.finish(driver.start())
    assert values(bench, driver) == RIGHT


def test_a_slow_chip_is_not_ready(bench: Bench) -> None:
    bench.bus.set_fault(0x62, Fault.SLOW)
    driver = started(bench)
    with pytest.raises(SensorError, match="has not measured for 11 s") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.NOT_READY


@pytest.mark.parametrize(
    ("fault", "quality", "words"),
    [
        (Fault.OUT_OF_RANGE, Quality.OUT_OF_RANGE, "gives 130.00 °C"),
        (Fault.CORRUPT, Quality.CHECKSUM, "a checksum that does not fit"),
    ],
)
def test_what_is_no_measurement_is_an_error_and_start_mends_it(
    bench: Bench, fault: Fault, quality: Quality, words: str
) -> None:
    driver = started(bench)
    bench.clock.sleep(5.0)
    bench.bus.set_fault(0x62, fault)
    with pytest.raises(SensorError, match=f"address 0x62: the chip .*{words}") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is quality
    bench.bus.set_fault(0x62, Fault.NONE)
    bench.finish(driver.start())
    assert values(bench, driver) == RIGHT


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.TIMEOUT, Fault.STUCK])
def test_a_bus_that_fails_is_a_bus_error(bench: Bench, fault: Fault) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x62, fault)
    with pytest.raises(BusError) as caught:
        bench.finish(driver.read())
    assert isinstance(caught.value, DeviceAbsentError) == (fault is Fault.ABSENT)


@pytest.mark.parametrize("mode", Mode)
def test_starts_whatever_the_chip_was_doing(bench: Bench, mode: Mode) -> None:
    started(bench, Scd4xSettings(mode=mode))
    bench.clock.sleep(7.0)
    assert values(bench, started(bench)) == RIGHT


def test_wakes_a_chip_that_sleeps(bench: Bench) -> None:
    bench.i2c("main").write(0x62, b"\x36\xe0")
    assert values(bench, started(bench)) == RIGHT


def test_another_chip_is_refused(bench: Bench) -> None:
    bench.bus.set_fault(0x62, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match="is no SCD4x: it does not answer command 0x3682") as caught:
        started(bench)
    assert caught.value.quality is Quality.WRONG_CHIP


def test_is_told_while_it_measures(bench: Bench) -> None:
    assert KIND.identify is not None
    bus = Slow(bench)
    assert KIND.identify(bus, 0x62)
    started(bench)
    assert KIND.identify(bus, 0x62)
    assert not KIND.identify(bus, 0x63)


def test_settings_refuse_height_and_pressure_together() -> None:
    with pytest.raises(ValueError, match="one or the other"):
        Scd4xSettings(altitude_m=0, ambient_pressure_hpa=1000.0)
