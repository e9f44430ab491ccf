"""The SHT3x driver against the simulated chip: modes, states and mistakes."""

import pytest

from wayside_edge.drivers.sht3x import KIND, Sht3x, Sht3xSettings
from wayside_edge.drivers.sht3x.settings import RATES_HZ, Mode, Repeatability
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.sht3x import Sht3xChip
from wayside_firmware.board.chips.sht4x import Sht4xChip
from wayside_shared.quality import Quality
from wayside_testkit.sensing import Bench


@pytest.fixture
def bench() -> Bench:
    bench = Bench(State(21.37, 98_765.4, 43.21))
    bench.put(0x44, Sht3xChip(bench.around))
    return bench


def chip(bench: Bench) -> Sht3xChip:
    found = bench.bus.chips[0x44]
    assert isinstance(found, Sht3xChip)
    return found


def started(bench: Bench, settings: Sht3xSettings | None = None) -> Sht3x:
    driver = Sht3x(settings or Sht3xSettings(), "main", bench, bench.clock)
    bench.finish(driver.start())
    return driver


def values(bench: Bench, driver: Sht3x) -> list[tuple[float, Quality]]:
    return [(round(float(reading.value or 0), 2), reading.quality) for reading in bench.finish(driver.read())]


GOOD = [(21.37, Quality.GOOD), (43.21, Quality.GOOD)]


@pytest.mark.parametrize(("level", "seconds"), [*zip(Repeatability, (0.0155, 0.0065, 0.0045), strict=True)])
def test_measures_in_the_time_of_its_repeatability(bench: Bench, level: Repeatability, seconds: float) -> None:
    driver = started(bench, Sht3xSettings(repeatability=level))
    before_s = bench.clock.now_s
    assert values(bench, driver) == GOOD
    assert bench.clock.now_s - before_s == pytest.approx(seconds)


@pytest.mark.parametrize("level", Repeatability)
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_periodic_mode_follows_the_air(bench: Bench, level: Repeatability, rate_hz: float) -> None:
    driver = started(bench, Sht3xSettings(mode=Mode.PERIODIC, rate_hz=rate_hz, repeatability=level))
    assert values(bench, driver) == GOOD
    bench.state = State(30.0, 1e5, 20.0)
    bench.clock.sleep(1.01 / rate_hz)
    assert values(bench, driver) == [(30.0, Quality.GOOD), (20.0, Quality.GOOD)]


def test_a_read_before_the_next_measurement_is_stale(bench: Bench) -> None:
    driver = started(bench, Sht3xSettings(mode=Mode.PERIODIC, rate_hz=1.0))
    values(bench, driver)
    bench.state = State(30.0, 1e5, 20.0)
    bench.clock.sleep(0.4)
    assert values(bench, driver) == [(21.37, Quality.STALE), (43.21, Quality.STALE)]
    bench.clock.sleep(0.6)
    assert values(bench, driver)[0] == (30.0, Quality.GOOD)


def test_a_periodic_chip_that_stops_is_not_stale_for_ever(bench: Bench) -> None:
    driver = started(bench, Sht3xSettings(mode=Mode.PERIODIC, rate_hz=1.0))
    values(bench, driver)
    bench.i2c("main").write(0x44, b"\x30\x93")
    bench.clock.sleep(2.0)
    assert values(bench, driver)[0][1] is Quality.STALE
    bench.clock.sleep(0.6)
    with pytest.raises(SensorError, match=r"has not measured for 2\.6 s") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.NOT_READY


@pytest.mark.parametrize("settings", [Sht3xSettings(mode=Mode.PERIODIC), Sht3xSettings(heater=True)])
def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench, settings: Sht3xSettings) -> None:
    driver = started(bench, settings)
    values(bench, driver)
    chip(bench).power_cycle()
    bench.clock.sleep(1.0)
    with pytest.raises(SensorError, match="lost its settings") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.POWER_LOST
    bench.finish(driver.start())
    assert values(bench, driver)[0][0] == pytest.approx(21.37, abs=4.1)


def test_the_heater_is_off_unless_asked_for_and_marks_the_values(bench: Bench) -> None:
    assert values(bench, started(bench)) == GOOD
    driver = started(bench, Sht3xSettings(heater=True))
    (celsius, quality), (_, wet) = values(bench, driver)
    assert celsius > 22.0
    assert quality is wet is Quality.UNSTABLE
    driver.close()
    assert values(bench, started(bench)) == GOOD


@pytest.mark.parametrize("mode", Mode)
def test_starts_whatever_the_chip_was_doing(bench: Bench, mode: Mode) -> None:
    started(bench, Sht3xSettings(mode=Mode.PERIODIC, rate_hz=10.0))
    assert values(bench, started(bench, Sht3xSettings(mode=mode))) == GOOD


def test_closing_ends_the_measurements(bench: Bench) -> None:
    driver = started(bench, Sht3xSettings(mode=Mode.PERIODIC))
    driver.close()
    bus = bench.i2c("main")
    bench.clock.sleep(2.0)
    bus.write(0x44, b"\xe0\x00")
    with pytest.raises(DeviceAbsentError):
        bus.read(0x44, 6)


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_humidity_at_the_ends_is_marked(bench: Bench, percent: float) -> None:
    bench.state = State(20.0, 1e5, percent)
    assert values(bench, started(bench)) == [(20.0, Quality.GOOD), (percent, Quality.CLIPPED)]


@pytest.mark.parametrize("celsius", [-40.0, 124.99])
def test_the_ends_of_the_range(bench: Bench, celsius: float) -> None:
    bench.state = State(celsius, 1e5, 50.0)
    assert values(bench, started(bench))[0][0] == pytest.approx(celsius, abs=0.01)


@pytest.mark.parametrize(
    ("fault", "quality", "words"),
    [
        (Fault.OUT_OF_RANGE, Quality.OUT_OF_RANGE, "gives 130.00 °C"),
        (Fault.SLOW, Quality.NOT_READY, "gave no answer within"),
        (Fault.CORRUPT, Quality.CHECKSUM, "a checksum that does not fit"),
    ],
)
def test_what_is_no_measurement_is_an_error_and_start_mends_it(
    bench: Bench, fault: Fault, quality: Quality, words: str
) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x44, fault)
    with pytest.raises(SensorError, match=f"address 0x44: the chip .*{words}") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is quality
    bench.bus.set_fault(0x44, Fault.NONE)
    bench.clock.sleep(2.0)
    bench.finish(driver.start())
    assert values(bench, driver) == GOOD


def test_a_slow_chip_in_periodic_mode_is_not_ready(bench: Bench) -> None:
    bench.bus.set_fault(0x44, Fault.SLOW)
    driver = started(bench, Sht3xSettings(mode=Mode.PERIODIC))
    with pytest.raises(SensorError, match="has not measured") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.NOT_READY


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.TIMEOUT, Fault.STUCK])
def test_a_bus_that_fails_is_a_bus_error(bench: Bench, fault: Fault, mode: Mode) -> None:
    driver = started(bench, Sht3xSettings(mode=mode))
    bench.bus.set_fault(0x44, fault)
    with pytest.raises(BusError) as caught:
        bench.finish(driver.read())
    assert isinstance(caught.value, DeviceAbsentError) == (fault is Fault.ABSENT)


def test_another_chip_is_refused(bench: Bench) -> None:
    bench.bus.set_fault(0x44, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match=r"is no SHT3x: it does not answer command 0xf32d") as caught:
        started(bench)
    assert caught.value.quality is Quality.WRONG_CHIP


def test_is_told_from_the_chip_that_shares_its_address(bench: Bench) -> None:
    assert KIND.identify is not None
    bench.put(0x45, Sht4xChip(bench.around))
    bus = bench.i2c("main")
    assert KIND.identify(bus, 0x44)
    assert not KIND.identify(bus, 0x45)
    assert not KIND.identify(bus, 0x46)
