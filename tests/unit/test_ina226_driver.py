"""The INA226 driver against the simulated chip: averages, times, alerts, modes, states and mistakes."""

import pytest

from wayside_edge.drivers.ina226 import KIND, Ina226, Ina226Settings
from wayside_edge.drivers.ina226.settings import AVERAGES, CONVERSION_US, LONGEST_US, Alert, Mode
from wayside_edge.errors import SensorError
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.ina219 import Ina219Chip
from wayside_firmware.board.chips.ina226 import Ina226Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started, values
from wayside_testkit.sensing import Bench, finish

ADDRESS = 0x40


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.signals.update(ampere=0.5, bus_volt=12.0)
    bench.put(ADDRESS, Ina226Chip(bench.around))
    return bench


def driver(bench: Bench, settings: Ina226Settings | None = None) -> Ina226:
    return Ina226(settings or Ina226Settings(), "main", bench)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("ampere", [-0.8, -0.001, 0.0, 0.0001, 0.5, 0.81])
def test_measures_what_is_there(bench: Bench, mode: Mode, ampere: float) -> None:
    bench.signals["ampere"] = ampere
    found = values(bench, started(bench, driver(bench, Ina226Settings(mode=mode))))
    assert found["bus_voltage"] == pytest.approx(12.0, abs=0.001)
    assert found["shunt_voltage"] == pytest.approx(100 * ampere, abs=0.00126)
    assert found["current"] == pytest.approx(ampere, abs=4e-5)
    assert found["power"] == pytest.approx(12.0 * abs(ampere), abs=0.0013)


@pytest.mark.parametrize("averages", AVERAGES)
@pytest.mark.parametrize("conversion_us", CONVERSION_US)
def test_every_time_and_average_waits_for_the_slowest_chip(bench: Bench, averages: int, conversion_us: int) -> None:
    chip = started(bench, driver(bench, Ina226Settings(averages=averages, conversion_us=conversion_us)))
    before_s = bench.clock.now_s
    assert values(bench, chip)["current"] == pytest.approx(0.5, abs=4e-5)
    longest_us = LONGEST_US[CONVERSION_US.index(conversion_us)]
    assert bench.clock.now_s - before_s == pytest.approx(2e-6 * longest_us * averages)


@pytest.mark.parametrize(
    ("alert", "limit", "quiet", "loud"),
    [
        (Alert.CURRENT_OVER, 0.6, {"ampere": 0.59}, {"ampere": 0.61}),
        (Alert.CURRENT_UNDER, -0.2, {"ampere": -0.19}, {"ampere": -0.21}),
        (Alert.BUS_OVER, 13.0, {"bus_volt": 12.9}, {"bus_volt": 13.1}),
        (Alert.BUS_UNDER, 11.5, {"bus_volt": 11.6}, {"bus_volt": 11.4}),
        (Alert.POWER_OVER, 7.0, {"ampere": 0.58}, {"ampere": 0.59}),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_every_alert(
    bench: Bench, alert: Alert, limit: float, quiet: dict[str, float], loud: dict[str, float], mode: Mode
) -> None:
    bench.signals.update(quiet)
    chip = started(bench, driver(bench, Ina226Settings(alert=alert, alert_limit=limit, mode=mode)))
    bench.clock.sleep(0.1)
    readings(bench, chip)
    bench.clock.sleep(0.1)
    assert readings(bench, chip)["alert"].value is False
    bench.signals.update(loud)
    bench.clock.sleep(0.1)
    assert readings(bench, chip)["alert"].value is True


def test_an_alert_that_passed_between_two_reads_is_told_once(bench: Bench) -> None:
    settings = Ina226Settings(alert=Alert.BUS_OVER, alert_limit=13.0, mode=Mode.CONTINUOUS)
    chip = started(bench, driver(bench, settings))
    readings(bench, chip)
    for volt in (14.0, 12.0, 12.0):
        bench.signals["bus_volt"] = volt
        bench.clock.sleep(0.1)
        bench.i2c("main").write_read(ADDRESS, b"\x02", 2)  # the model works when it is asked
    assert readings(bench, chip)["alert"].value is True
    bench.clock.sleep(0.1)
    assert readings(bench, chip)["alert"].value is False


def test_without_an_alert_there_is_no_series(bench: Bench) -> None:
    assert "alert" not in readings(bench, started(bench, driver(bench)))


def test_the_end_of_the_shunts_range_is_flagged(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    for ampere in (-2.0, 2.0):
        bench.signals["ampere"] = ampere
        found = readings(bench, chip)
        assert found["bus_voltage"].quality is Quality.GOOD
        assert {found[name].quality for name in ("shunt_voltage", "current", "power")} == {Quality.CLIPPED}


def test_the_end_of_the_bus_range_is_flagged(bench: Bench) -> None:
    bench.signals["bus_volt"] = 50.0
    found = readings(bench, started(bench, driver(bench)))
    assert found["bus_voltage"].value == pytest.approx(40.95875)
    assert [found[name].quality for name in ("bus_voltage", "current", "power")] == [
        Quality.CLIPPED,
        Quality.GOOD,
        Quality.CLIPPED,
    ]


def test_an_overflow_leaves_the_voltages(bench: Bench) -> None:
    found = readings(bench, started(bench, driver(bench, Ina226Settings(max_current_a=0.2))))
    assert found["bus_voltage"].value == pytest.approx(12.0)
    assert [(found[name].value, found[name].quality) for name in ("current", "power")] == [
        (None, Quality.OUT_OF_RANGE)
    ] * 2


def test_what_was_given_before_is_stale(bench: Bench) -> None:
    chip = started(bench, driver(bench, Ina226Settings(mode=Mode.CONTINUOUS)))
    for wait_s, expected in ((0.0, Quality.GOOD), (0.0, Quality.STALE), (0.05, Quality.GOOD)):
        bench.clock.sleep(wait_s)
        assert {each.quality for each in readings(bench, chip).values()} == {expected}


@pytest.mark.parametrize("mode", Mode)
def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench, mode: Mode) -> None:
    chip = started(bench, driver(bench, Ina226Settings(mode=mode)))
    steps = chip.read()
    if mode is Mode.TRIGGERED:
        next(steps)  # type: ignore[call-overload]
    bench.bus.chips[ADDRESS].power_cycle()  # type: ignore[attr-defined]
    bench.clock.sleep(0.1)
    quality, message = refusal(lambda: finish(steps, bench.clock.sleep))
    assert quality is Quality.POWER_LOST
    assert "lost its settings" in message
    assert values(bench, started(bench, chip))["current"] == pytest.approx(0.5, abs=4e-5)


def test_a_slow_chip_is_given_up(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.SLOW)
    assert refusal(lambda: readings(bench, chip))[0] is Quality.NOT_READY


def test_a_voltage_that_cannot_be_is_refused(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.OUT_OF_RANGE)
    assert refusal(lambda: readings(bench, chip))[0] is Quality.OUT_OF_RANGE


@pytest.mark.parametrize("wrong", ["fault", "ina219"])
def test_another_chip_is_refused(bench: Bench, wrong: str) -> None:
    assert KIND.identify is not None
    assert KIND.identify(bench.i2c("main"), ADDRESS)
    if wrong == "ina219":
        bench.put(ADDRESS, Ina219Chip(bench.around))
    else:
        bench.bus.set_fault(ADDRESS, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: started(bench, driver(bench)))
    assert quality is Quality.WRONG_CHIP
    assert "bus main, address 0x40: the chip is no INA226" in message
    assert not KIND.identify(bench.i2c("main"), ADDRESS)


def test_noise_on_the_wires_is_noticed(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.CORRUPT)
    with pytest.raises(SensorError):
        readings(bench, chip)


def test_closing_puts_it_to_sleep(bench: Bench) -> None:
    chip = started(bench, driver(bench, Ina226Settings(mode=Mode.CONTINUOUS)))
    chip.close()
    assert bench.i2c("main").write_read(ADDRESS, b"\x00", 2)[1] & 7 == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": 0x3F}, "0x3f"),
        ({"max_current_a": 1.0}, r"allows 0\.8192 A"),
        ({"max_current_a": 1e-4}, "does not fit"),
        ({"alert": Alert.BUS_OVER, "alert_limit": 90.0}, "alert_limit = 90"),
        ({"alert": Alert.CURRENT_OVER, "alert_limit": 2.0}, "alert_limit = 2"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ina226Settings(**options)  # type: ignore[arg-type]
