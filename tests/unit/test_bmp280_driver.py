"""The BMP280 driver, and the BME280's on SPI, against the simulated chips."""

import pytest

from wayside_edge import registry
from wayside_edge.drivers.bme280 import Bme280, Bme280Settings, Bmp280, Bmp280Settings
from wayside_edge.drivers.bme280.settings import BMP280_STANDBY_MS, OVERSAMPLING, Mode
from wayside_edge.errors import SensorError
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.bme280 import Bme280Chip
from wayside_firmware.board.chips.bmp280 import Bmp280Chip
from wayside_shared.quality import Quality
from wayside_testkit.sensing import Bench

BUSES = ("main", "spi")


@pytest.fixture
def bench() -> Bench:
    """A BMP280 at 0x76 and chip select 0, a BME280 at 0x77 and chip select 1."""
    bench = Bench(State(21.37, 98_765.4, 43.21))
    bench.put(0x76, Bmp280Chip(bench.around))
    bench.put(0x77, Bme280Chip(bench.around))
    bench.put_spi(0, Bmp280Chip(bench.around))
    bench.put_spi(1, Bme280Chip(bench.around))
    return bench


def started(bench: Bench, bus: str, settings: Bmp280Settings | None = None) -> Bmp280:
    driver = Bmp280(settings or Bmp280Settings(), bus, bench)
    bench.finish(driver.start())
    return driver


def values(bench: Bench, driver: Bme280 | Bmp280) -> dict[str, float]:
    return {reading.name: float(reading.value or 0) for reading in bench.finish(driver.read())}


def right(found: dict[str, float]) -> bool:
    expected = {"temperature": (21.37, 0.011), "pressure": (987.654, 0.03), "humidity": (43.21, 0.02)}
    return all(abs(value - expected[name][0]) <= expected[name][1] for name, value in found.items())


@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("times", OVERSAMPLING[1:])
def test_every_oversampling_in_every_mode(bench: Bench, bus: str, mode: Mode, times: int) -> None:
    settings = Bmp280Settings(mode=mode, temperature_oversampling=times, pressure_oversampling=times)
    found = values(bench, started(bench, bus, settings))
    assert set(found) == {"temperature", "pressure"}
    assert right(found)


@pytest.mark.parametrize("mode", Mode)
def test_a_bme280_on_spi_measures_what_is_there(bench: Bench, mode: Mode) -> None:
    driver = Bme280(Bme280Settings(chip_select=1, mode=mode), "spi", bench)
    bench.finish(driver.start())
    found = values(bench, driver)
    assert set(found) == {"temperature", "pressure", "humidity"}
    assert right(found)
    driver.close()
    device = bench.spi("spi", 1, mode=0, max_speed_hz=1_000_000)
    assert device.transfer(b"\xf4\x00")[1] & 3 == 0


@pytest.mark.parametrize("standby_ms", BMP280_STANDBY_MS)
def test_normal_mode_measures_as_often_as_it_is_told(bench: Bench, standby_ms: float) -> None:
    driver = started(bench, "main", Bmp280Settings(mode=Mode.NORMAL, standby_ms=standby_ms))
    values(bench, driver)
    bench.state = State(30.0, 95_000.0, 20.0)
    if standby_ms >= 62.5:
        bench.clock.sleep(standby_ms / 1000 * 0.9)
        assert values(bench, driver)["temperature"] == pytest.approx(21.37, abs=0.011)
    bench.clock.sleep(standby_ms / 1000 * 0.1 + 0.01)
    assert values(bench, driver)["temperature"] == pytest.approx(30.0, abs=0.011)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("celsius", [26.4 + step / 400 for step in range(80)])
def test_temperature_alone_is_not_taken_for_a_missing_one(mode: Mode, celsius: float) -> None:
    bench = Bench(State(celsius, 1e5, 50.0))
    bench.put(0x76, Bmp280Chip(bench.around))
    found = values(bench, started(bench, "main", Bmp280Settings(mode=mode, pressure_oversampling=0)))
    assert found == {"temperature": pytest.approx(celsius, abs=0.011)}


@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("mode", Mode)
def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench, bus: str, mode: Mode) -> None:
    driver = started(bench, bus, Bmp280Settings(mode=mode, filter=4))
    chip = bench.bus.chips[0x76] if bus == "main" else bench.spi_bus.chips[0]
    assert isinstance(chip, Bmp280Chip)
    chip.power_cycle()
    bench.clock.sleep(0.01)
    with pytest.raises(SensorError, match="lost its settings") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.POWER_LOST
    bench.finish(driver.start())
    assert right(values(bench, driver))


@pytest.mark.parametrize(
    ("fault", "quality", "words"),
    [(Fault.OUT_OF_RANGE, Quality.OUT_OF_RANGE, "outside of what"), (Fault.SLOW, Quality.NOT_READY, "did not finish")],
)
@pytest.mark.parametrize("bus", BUSES)
def test_what_is_no_measurement_is_an_error(bench: Bench, bus: str, fault: Fault, quality: Quality, words: str) -> None:
    driver = started(bench, bus)
    bench.bus.set_fault(0x76, fault)
    bench.spi_bus.set_fault(0, fault)
    with pytest.raises(SensorError, match=words) as caught:
        bench.finish(driver.read())
    assert caught.value.quality is quality


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.STUCK, Fault.NACK])
def test_spi_without_a_chip_is_an_error_at_every_step(bench: Bench, fault: Fault) -> None:
    driver = started(bench, "spi")
    bench.spi_bus.set_fault(0, fault)
    with pytest.raises(SensorError):
        bench.finish(driver.read())
    with pytest.raises(SensorError, match=r"is no BMP280: identity 0x(ff|00)") as caught:
        bench.finish(driver.start())
    assert caught.value.quality is Quality.WRONG_CHIP


def test_each_names_the_other(bench: Bench) -> None:
    with pytest.raises(SensorError, match=r'is a BME280 \(identity 0x60\), which can do more; say kind = "bme280"'):
        started(bench, "main", Bmp280Settings(address=0x77))
    with pytest.raises(SensorError, match=r"is a BMP280 \(identity 0x58\), which has no humidity"):
        bench.finish(Bme280(Bme280Settings(), "main", bench).start())


def test_each_is_told_from_the_other(bench: Bench) -> None:
    bus = bench.i2c("main")
    found = {}
    for name in ("bme280", "bmp280"):
        kind = registry.load(name)
        assert kind is not None
        assert kind.identify is not None
        found[name] = [address for address in kind.addresses if kind.identify(bus, address)]
    assert found == {"bme280": [0x77], "bmp280": [0x76]}


@pytest.mark.parametrize("percent", [-5.0, 105.0])
def test_humidity_at_the_ends_is_marked(percent: float) -> None:
    bench = Bench(State(21.0, 1e5, percent))
    bench.put(0x76, Bme280Chip(bench.around))
    driver = Bme280(Bme280Settings(), "main", bench)
    bench.finish(driver.start())
    found = {reading.name: reading for reading in bench.finish(driver.read())}
    assert found["humidity"].value == min(max(percent, 0.0), 100.0)
    assert found["humidity"].quality is Quality.CLIPPED
