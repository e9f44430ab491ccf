"""The SHT4x driver against the simulated chip: modes, states and mistakes."""

import pytest

from wayside_edge.drivers.sht4x import KIND, Sht4x, Sht4xSettings
from wayside_edge.drivers.sht4x.settings import Heater, Precision
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
    bench.put(0x44, Sht4xChip(bench.around))
    return bench


def started(bench: Bench, settings: Sht4xSettings | None = None) -> Sht4x:
    driver = Sht4x(settings or Sht4xSettings(), "main", bench, bench.clock)
    bench.finish(driver.start())
    return driver


def values(bench: Bench, driver: Sht4x) -> list[tuple[float, Quality]]:
    return [(round(float(reading.value or 0), 2), reading.quality) for reading in bench.finish(driver.read())]


@pytest.mark.parametrize(("precision", "seconds"), [*zip(Precision, (0.0083, 0.0045, 0.0016), strict=True)])
def test_measures_in_the_time_of_its_precision(bench: Bench, precision: Precision, seconds: float) -> None:
    driver = started(bench, Sht4xSettings(precision=precision))
    before_s = bench.clock.now_s
    assert values(bench, driver) == [(21.37, Quality.GOOD), (43.21, Quality.GOOD)]
    assert bench.clock.now_s - before_s == pytest.approx(seconds)


def test_the_heater_stays_off_unless_asked_for(bench: Bench) -> None:
    driver = started(bench)
    for _ in range(100):
        bench.clock.sleep(1000.0)
        assert values(bench, driver)[0] == (21.37, Quality.GOOD)


@pytest.mark.parametrize("power", [Heater.HIGH, Heater.MEDIUM, Heater.LOW])
@pytest.mark.parametrize("pulse_s", [0.1, 1.0])
def test_a_heater_pulse_follows_the_measurement_and_marks_the_next(bench: Bench, power: Heater, pulse_s: float) -> None:
    settings = Sht4xSettings(heater=power, heater_pulse_s=pulse_s, heater_interval_s=600.0, heater_recovery_s=60.0)
    driver = started(bench, settings)
    assert values(bench, driver)[0] == (21.37, Quality.GOOD)
    bench.clock.sleep(600.0)
    before_s = bench.clock.now_s
    assert values(bench, driver)[0] == (21.37, Quality.GOOD)
    assert bench.clock.now_s - before_s == pytest.approx(0.0083 + 1.1 * pulse_s)
    (celsius, quality), (_, wet) = values(bench, driver)
    assert celsius > 22.0
    assert quality is wet is Quality.UNSTABLE
    bench.clock.sleep(100.0)
    assert values(bench, driver)[0] == (21.37, Quality.GOOD)


def test_starting_again_and_again_heats_no_oftener(bench: Bench) -> None:
    settings = Sht4xSettings(heater=Heater.HIGH, heater_interval_s=600.0)
    driver = started(bench, settings)
    for _ in range(5):
        bench.clock.sleep(100.0)
        bench.finish(driver.start())
        assert values(bench, driver)[0] == (21.37, Quality.GOOD)
    bench.clock.sleep(100.0)
    values(bench, driver)
    assert values(bench, driver)[0][1] is Quality.UNSTABLE


def test_settings_refuse_to_heat_for_more_than_a_tenth_of_the_time() -> None:
    Sht4xSettings(heater=Heater.LOW, heater_pulse_s=1.0, heater_interval_s=10.0)
    with pytest.raises(ValueError, match="pulses of 1 s need 10 s"):
        Sht4xSettings(heater=Heater.LOW, heater_pulse_s=1.0, heater_interval_s=9.9)


@pytest.mark.parametrize(("percent", "given"), [(-2.0, 0.0), (103.0, 100.0)])
def test_humidity_beyond_what_there_is_is_cut_and_marked(bench: Bench, percent: float, given: float) -> None:
    bench.state = State(20.0, 100_000.0, percent)
    assert values(bench, started(bench)) == [(20.0, Quality.GOOD), (given, Quality.CLIPPED)]


@pytest.mark.parametrize("state", [State(-40.0, 1e5, 0.0), State(124.99, 1e5, 100.0)])
def test_the_ends_of_the_range(bench: Bench, state: State) -> None:
    bench.state = state
    found = values(bench, started(bench))
    assert [value for value, _ in found] == [pytest.approx(state.celsius, abs=0.01), state.percent]


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
    assert values(bench, driver)[0] == (21.37, Quality.GOOD)


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.TIMEOUT, Fault.STUCK])
def test_a_bus_that_fails_is_a_bus_error(bench: Bench, fault: Fault) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x44, fault)
    with pytest.raises(BusError) as caught:
        bench.finish(driver.read())
    assert isinstance(caught.value, DeviceAbsentError) == (fault is Fault.ABSENT)


def test_another_chip_is_refused(bench: Bench) -> None:
    bench.bus.set_fault(0x44, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match=r"is no SHT4x: it does not answer command 0x89") as caught:
        started(bench)
    assert caught.value.quality is Quality.WRONG_CHIP


def test_noise_at_the_start_is_not_taken_for_another_chip(bench: Bench) -> None:
    bench.bus.set_fault(0x44, Fault.CORRUPT)
    with pytest.raises(SensorError) as caught:
        started(bench)
    assert caught.value.quality is Quality.CHECKSUM


def test_is_told_from_the_chip_that_shares_its_address(bench: Bench) -> None:
    assert KIND.identify is not None
    bench.put(0x45, Sht3xChip(bench.around))
    bus = bench.i2c("main")
    assert KIND.identify(bus, 0x44)
    assert not KIND.identify(bus, 0x45)
    assert not KIND.identify(bus, 0x46)


def test_a_dip_of_the_supply_costs_one_measurement_at_most(bench: Bench) -> None:
    driver = started(bench)
    chip = bench.bus.chips[0x44]
    assert isinstance(chip, Sht4xChip)
    steps = driver.read()
    next(steps)
    chip.power_cycle()
    with pytest.raises(SensorError, match="gave no answer"):
        bench.finish(steps)
    assert values(bench, driver)[0] == (21.37, Quality.GOOD)
