"""The BME680 driver against the simulated chip: settings, states and mistakes."""

import pytest

from wayside_edge.drivers.bme680 import KIND, Bme680, Bme680Settings, compensation
from wayside_edge.drivers.bme680.settings import FILTERS, OVERSAMPLING
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.ports import Reading
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.bme280 import Bme280Chip
from wayside_firmware.board.chips.bme680 import Bme680Chip, trimming
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, values
from wayside_testkit.sensing import Bench

AIR = State(21.37, 98_765.4, 43.21)


def bench_with(state: State = AIR, *, seed: int = 0, high: bool = False, ohm: float = 123_456.0) -> Bench:
    bench = Bench(state)
    bench.signals["gas_ohm"] = ohm
    bench.put(0x76, Bme680Chip(bench.around, trimming(seed), high=high))
    return bench


@pytest.fixture
def bench() -> Bench:
    return bench_with()


def chip(bench: Bench) -> Bme680Chip:
    found = bench.bus.chips[0x76]
    assert isinstance(found, Bme680Chip)
    return found


def started(bench: Bench, settings: Bme680Settings | None = None) -> Bme680:
    driver = Bme680(settings or Bme680Settings(), "main", bench)
    bench.finish(driver.start())
    return driver


def right(found: dict[str, float], ohm: float = 123_456.0) -> bool:
    expected = {
        "temperature": (21.37, 0.011),
        "pressure": (987.654, 0.02),
        "humidity": (43.21, 0.02),
        "gas_resistance": (ohm, ohm * 0.0015),
    }
    return all(abs(value - expected[name][0]) <= expected[name][1] for name, value in found.items())


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_measures_what_is_there_whatever_its_calibration(seed: int, high: bool) -> None:
    bench = bench_with(seed=seed, high=high)
    found = values(bench, started(bench))
    assert list(found) == ["temperature", "pressure", "humidity", "gas_resistance"]
    assert right(found)


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("ohm", [1_500.0, 2_345.0, 12_345.0, 150_000.0, 1_234_567.0, 9_876_543.0])
def test_every_range_of_the_gas(ohm: float, high: bool) -> None:
    bench = bench_with(ohm=ohm, high=high)
    assert values(bench, started(bench))["gas_resistance"] == pytest.approx(ohm, rel=0.0015)


@pytest.mark.parametrize("times", OVERSAMPLING[1:])
@pytest.mark.parametrize("coefficient", FILTERS)
def test_every_oversampling_and_filter(bench: Bench, times: int, coefficient: int) -> None:
    settings = Bme680Settings(
        temperature_oversampling=times,
        pressure_oversampling=times,
        humidity_oversampling=times,
        filter=coefficient,
    )
    driver = started(bench, settings)
    assert right(values(bench, driver))
    bench.state = State(31.37, 98_765.4, 43.21)
    share = (values(bench, driver)["temperature"] - 21.37) / 10.0
    assert share == pytest.approx(1 / (coefficient + 1), abs=0.003)


@pytest.mark.parametrize("quantity", ["pressure", "humidity"])
def test_what_is_not_sampled_is_left_out(bench: Bench, quantity: str) -> None:
    found = values(bench, started(bench, Bme680Settings(**{f"{quantity}_oversampling": 0})))
    assert set(found) == {"temperature", "pressure", "humidity", "gas_resistance"} - {quantity}
    assert right(found)


def test_the_gas_is_left_out_without_a_heater(bench: Bench) -> None:
    driver = started(bench, Bme680Settings(heater_c=0))
    before_s = bench.clock.now_s
    assert set(values(bench, driver)) == {"temperature", "pressure", "humidity"}
    assert bench.clock.now_s - before_s < 0.04
    assert chip(bench).hot_plate_c == 0.0


@pytest.mark.parametrize("celsius", [-30.0, 21.0, 70.0])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", [200, 320, 400])
def test_the_hot_plate_gets_as_hot_as_it_is_told(target: int, seed: int, celsius: float) -> None:
    bench = bench_with(State(celsius, 98_765.4, 43.21), seed=seed)
    driver = started(bench, Bme680Settings(heater_c=target))
    values(bench, driver)
    values(bench, driver)
    # The register has steps of 3.8 °C.
    assert chip(bench).hot_plate_c == pytest.approx(target, abs=2.0)


@pytest.mark.parametrize("milliseconds", [1, 63, 64, 150, 252, 1000, 4032])
def test_heats_as_long_as_it_is_told(bench: Bench, milliseconds: int) -> None:
    driver = started(bench, Bme680Settings(heater_ms=milliseconds))
    before_s = bench.clock.now_s
    bench.finish(driver.read())
    took_ms = (bench.clock.now_s - before_s) * 1000
    assert milliseconds + 20 < took_ms < milliseconds + 60


def test_a_plate_that_is_not_hot_yet_makes_an_unstable_value(bench: Bench) -> None:
    found = readings(bench, started(bench, Bme680Settings(heater_ms=10)))["gas_resistance"]
    assert found.quality is Quality.UNSTABLE
    assert found.value == pytest.approx(123_456.0, rel=0.0015)


def test_gas_that_was_not_measured_is_no_value_beside_good_ones(bench: Bench) -> None:
    driver = started(bench)
    chip(bench).gas_valid = False
    found = readings(bench, driver)
    assert found["gas_resistance"] == Reading("gas_resistance", None, "Ohm", quality=Quality.NOT_READY)
    assert found["temperature"].quality is Quality.GOOD


@pytest.mark.parametrize("ohm", [10.0, 1e9])
def test_gas_beyond_the_converter_is_clipped(ohm: float) -> None:
    bench = bench_with(ohm=ohm)
    assert readings(bench, started(bench))["gas_resistance"].quality is Quality.CLIPPED


@pytest.mark.parametrize("percent", [-5.0, 108.0])
def test_humidity_at_the_ends_is_marked(percent: float) -> None:
    bench = bench_with(State(21.0, 1e5, percent))
    found = readings(bench, started(bench))["humidity"]
    assert (found.value, found.quality) == (min(max(percent, 0.0), 100.0), Quality.CLIPPED)


@pytest.mark.parametrize("state", [State(-40.0, 30_000.0, 10.0), State(85.0, 110_000.0, 90.0)])
def test_the_ends_of_the_range(state: State) -> None:
    bench = bench_with(state)
    found = values(bench, started(bench))
    assert found["temperature"] == pytest.approx(state.celsius, abs=0.011)
    assert found["pressure"] == pytest.approx(state.pascal / 100, abs=0.02)
    assert found["humidity"] == pytest.approx(state.percent, abs=0.04)


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench) -> None:
    driver = started(bench)
    chip(bench).power_cycle()
    with pytest.raises(SensorError, match="lost its settings") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.POWER_LOST
    bench.finish(driver.start())
    assert right(values(bench, driver))


def test_a_dip_during_the_measurement_is_noticed(bench: Bench) -> None:
    steps = started(bench).read()
    next(iter(steps))
    chip(bench).power_cycle()
    with pytest.raises(SensorError, match="lost its settings"):
        bench.finish(steps)


@pytest.mark.parametrize(
    ("fault", "quality", "words"),
    [
        (Fault.OUT_OF_RANGE, Quality.OUT_OF_RANGE, "outside of what it can measure"),
        (Fault.SLOW, Quality.NOT_READY, "did not finish its measurement"),
    ],
)
def test_what_is_no_measurement_is_an_error_and_start_mends_it(
    bench: Bench, fault: Fault, quality: Quality, words: str
) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x76, fault)
    with pytest.raises(SensorError, match=f"address 0x76: the chip .*{words}") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is quality
    bench.bus.set_fault(0x76, Fault.NONE)
    bench.finish(driver.start())
    assert right(values(bench, driver))


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.TIMEOUT, Fault.STUCK])
def test_a_bus_that_fails_is_a_bus_error(bench: Bench, fault: Fault) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x76, fault)
    with pytest.raises(BusError) as caught:
        bench.finish(driver.read())
    assert isinstance(caught.value, DeviceAbsentError) == (fault is Fault.ABSENT)


def test_another_chip_is_refused_by_name(bench: Bench) -> None:
    bench.bus.set_fault(0x76, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match=r'is a BME280; say kind = "bme280" \(identity 0x60') as caught:
        started(bench)
    assert caught.value.quality is Quality.WRONG_CHIP


def test_is_told_from_the_chips_that_share_its_address(bench: Bench) -> None:
    assert KIND.identify is not None
    bench.put(0x77, Bme280Chip(bench.around))
    bus = bench.i2c("main")
    assert [address for address in KIND.addresses if KIND.identify(bus, address)] == [0x76]


def test_settings_refuse_a_heater_that_is_too_cold() -> None:
    with pytest.raises(ValueError, match="works from 200 °C to 400 °C"):
        Bme680Settings(heater_c=150)


def test_zero_coefficients_do_not_divide() -> None:
    assert compensation.pressure(400_000, 128_422, (0,) * 10) is None
