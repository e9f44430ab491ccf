"""Adafruit's drivers of BME280 and BMP280 and ours make the same of the same bytes, over I2C and over SPI.

Theirs compute with floating-point numbers, ours with the integers of the data sheets. The integer form rounds
temperatures to hundredths of a degree. Its `t_fine` leaves out the three lowest of 20 bits, 0.0025 °C, which at 16
conversions makes up to 0.4 Pa; at one conversion those bits are empty, and the two agree to the last of 20: 0.17 Pa.
"""

from typing import Any

import pytest

from wayside_edge.drivers.bme280 import Bme280, Bme280Settings, Bmp280, Bmp280Settings
from wayside_edge.drivers.bme280.settings import OVERSAMPLING
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.bme280 import Bme280Chip, trimming
from wayside_firmware.board.chips.bmp280 import Bmp280Chip
from wayside_testkit import circuitpython
from wayside_testkit.peers import peer_bus
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import BusioSpi, Pin

HALF_STEP_C = 0.0055
STEP_HPA = {1: 0.0017, 16: 0.004}
STEP_PERCENT = 0.01
AIR = [
    State(celsius, pascal, percent)
    for celsius in (-35.0, -0.005, 21.37, 80.0)
    for pascal, percent in ((40_000.0, 12.0), (98_765.4, 43.21), (108_000.0, 95.0))
]


def bench_with(state: State, seed: int) -> Bench:
    bench = Bench(state)
    for chip, slot in ((Bme280Chip, 0x77), (Bmp280Chip, 0x76)):
        bench.put(slot, chip(bench.around, trimming(seed)))
        bench.put_spi(slot & 1, chip(bench.around, trimming(seed)))
    return bench


def peer_spi(bench: Bench, chip_select: int) -> tuple[BusioSpi, Pin]:
    return BusioSpi(bench.spi("spi", chip_select, mode=0, max_speed_hz=100_000)), Pin()


def sampled(peer: Any, times: int) -> Any:
    peer.overscan_temperature = peer.overscan_pressure = OVERSAMPLING.index(times)
    return peer


@pytest.mark.parametrize("times", [1, 16])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("state", AIR, ids=str)
@pytest.mark.parametrize("bus", ["main", "spi"])
def test_agree_on_a_bmp280(bus: str, state: State, seed: int, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_with(state, seed)
    adafruit = circuitpython.driver("adafruit_bmp280")
    monkeypatch.setattr(adafruit, "sleep", bench.clock.sleep)
    if bus == "spi":
        peer = sampled(adafruit.Adafruit_BMP280_SPI(*peer_spi(bench, 0)), times)
    else:
        peer = sampled(adafruit.Adafruit_BMP280_I2C(peer_bus(bench, monkeypatch), 0x76), times)
    monkeypatch.setattr(peer, "_get_status", lambda: bench.clock.sleep(0.1) or 0)
    theirs = peer.temperature, peer.pressure
    driver = Bmp280(Bmp280Settings(temperature_oversampling=times, pressure_oversampling=times), bus, bench)
    bench.finish(driver.start())
    temperature, pressure = (reading.value for reading in bench.finish(driver.read()))
    assert temperature == pytest.approx(theirs[0], abs=HALF_STEP_C)
    assert pressure == pytest.approx(theirs[1], abs=STEP_HPA[times])


@pytest.mark.parametrize("times", [1, 16])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("state", AIR, ids=str)
@pytest.mark.parametrize("bus", ["main", "spi"])
def test_agree_on_a_bme280(bus: str, state: State, seed: int, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_with(state, seed)
    basic = circuitpython.driver("adafruit_bme280.basic")
    advanced = circuitpython.driver("adafruit_bme280.advanced")
    for module in (basic, advanced):
        monkeypatch.setattr(module, "sleep", bench.clock.sleep, raising=False)
    if bus == "spi":
        peer = sampled(advanced.Adafruit_BME280_SPI(*peer_spi(bench, 1)), times)
    else:
        peer = sampled(advanced.Adafruit_BME280_I2C(peer_bus(bench, monkeypatch), 0x77), times)
    peer.overscan_humidity = OVERSAMPLING.index(times)
    monkeypatch.setattr(peer, "_get_status", lambda: bench.clock.sleep(0.2) or 0)
    theirs = peer.temperature, peer.pressure, peer.relative_humidity
    settings = Bme280Settings(
        address=0x77,
        chip_select=1,
        temperature_oversampling=times,
        pressure_oversampling=times,
        humidity_oversampling=times,
    )
    driver = Bme280(settings, bus, bench)
    bench.finish(driver.start())
    temperature, pressure, humidity = (reading.value for reading in bench.finish(driver.read()))
    assert temperature == pytest.approx(theirs[0], abs=HALF_STEP_C)
    assert pressure == pytest.approx(theirs[1], abs=STEP_HPA[times])
    assert humidity == pytest.approx(theirs[2], abs=STEP_PERCENT)
