"""Chips for motion, voltages, heat and distance: what goes in comes out, and noise on the wires breaks nothing."""

import math
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside_edge import registry
from wayside_edge.drivers.adxl345 import Adxl345Settings
from wayside_edge.drivers.max6675 import Max6675Settings
from wayside_edge.drivers.max31855 import Max31855Settings
from wayside_edge.drivers.max31865 import Max31865Settings
from wayside_edge.drivers.mcp3008 import Mcp3008Channel, Mcp3008Settings
from wayside_edge.drivers.mpu6050 import Mpu6050Settings
from wayside_edge.drivers.vl53l0x import Vl53l0xSettings
from wayside_edge.errors import BusError, SensorError
from wayside_edge.pipeline.batcher import Batcher
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import BusProvider, Driver, I2cBus, SpiDevice
from wayside_firmware.board import chips
from wayside_firmware.board.air import State
from wayside_shared.quality import Quality
from wayside_testkit.sensing import Bench

G = 9.80665
SIGNALS = {
    "acceleration_g": (-1.9, 1.9),
    "rotation_dps": (-240.0, 240.0),
    "volt": (0.004, 3.29),
    "probe_celsius": (0.3, 800.0),
    "distance_mm": (20.0, 2000.0),
}
SETTINGS: Mapping[str, object] = {
    "adxl345": Adxl345Settings(fifo_rate_hz=100.0),
    "max31855": Max31855Settings(),
    "max31865": Max31865Settings(),
    "max6675": Max6675Settings(),
    "mcp3008": Mcp3008Settings(channels=[Mcp3008Channel(name="volt", input="0")]),
    "mpu6050": Mpu6050Settings(fifo_rate_hz=100),
    "vl53l0x": Vl53l0xSettings(),
}
EXPECTED: Mapping[str, tuple[str, str, Callable[[float], float], float]] = {
    "adxl345": ("acceleration_g", "acceleration_x", lambda g: g * G, G / 512),
    "max31855": ("probe_celsius", "temperature", lambda celsius: celsius, 0.125),
    "max31865": ("probe_celsius", "temperature", lambda celsius: celsius, 0.025),
    "max6675": ("probe_celsius", "temperature", lambda celsius: celsius, 0.125),
    "mcp3008": ("volt", "volt", lambda volt: volt, 3.3 / 1024),
    "mpu6050": ("rotation_dps", "rotation_x", lambda dps: dps, 0.5 / 131),
    "vl53l0x": ("distance_mm", "distance", lambda millimetres: millimetres, 0.5),
}
"""The signal, the series, what the signal should be there, and half a step of the chip (a whole one where it cuts
off)."""


def plugged(name: str, shares: Mapping[str, float]) -> Bench:
    bench = Bench(State(23.0, 1e5, 50.0))
    bench.signals.update({signal: low + shares[signal] * (high - low) for signal, (low, high) in SIGNALS.items()})
    model = chips.load(name)
    if model.address is None:
        bench.put_spi(0, model.build(bench.around))  # type: ignore[arg-type]
    else:
        bench.put(model.address, model.build(bench.around))  # type: ignore[arg-type]
    return bench


def build(name: str, buses: BusProvider) -> Driver:
    kind = registry.load(name)
    assert kind is not None
    return kind.build(SETTINGS[name], "main" if "i2c" in kind.families else "spi", buses)


@pytest.mark.parametrize("name", SETTINGS)
@given(st.fixed_dictionaries({signal: st.floats(0.0, 1.0) for signal in SIGNALS}))
@settings(max_examples=60, deadline=None)
def test_what_goes_in_comes_out(name: str, shares: dict[str, float]) -> None:
    bench = plugged(name, shares)
    driver = build(name, bench)
    bench.finish(driver.start())
    bench.clock.sleep(0.25)
    signal, series, forward, half_step = EXPECTED[name]
    found = [reading for reading in bench.finish(driver.read()) if reading.name == series]
    assert found
    for reading in found:
        assert reading.value == pytest.approx(forward(bench.signals[signal]), abs=half_step * 1.000001)
        assert reading.quality is Quality.GOOD


class Noisy(Bench):
    """A bench on whose wires bits turn."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.__dict__.update(bench.__dict__)
        self._random = random.Random(seed)

    def i2c(self, name: str) -> I2cBus:
        return NoisyI2c(super().i2c(name), self._random)

    def spi(self, name: str, chip_select: int, *, mode: int, max_speed_hz: int) -> SpiDevice:
        return NoisySpi(super().spi(name, chip_select, mode=mode, max_speed_hz=max_speed_hz), self._random)


def noise(data: bytes, source: random.Random) -> bytes:
    if source.random() < 0.8:
        return data
    return bytes(byte ^ (source.randrange(256) if source.random() < 0.3 else 0) for byte in data)


class NoisyI2c(I2cBus):
    def __init__(self, bus: I2cBus, source: random.Random) -> None:
        self._bus = bus
        self._source = source

    def write(self, address: int, data: bytes) -> None:
        self._bus.write(address, data[:1] + noise(data[1:], self._source))

    def read(self, address: int, count: int) -> bytes:
        return noise(self._bus.read(address, count), self._source)

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        return noise(self._bus.write_read(address, data, count), self._source)

    def close(self) -> None:
        self._bus.close()


class NoisySpi(SpiDevice):
    def __init__(self, device: SpiDevice, source: random.Random) -> None:
        self._device = device
        self._source = source

    def transfer(self, data: bytes) -> bytes:
        return noise(
            self._device.transfer(noise(data, self._source) if self._source.random() < 0.2 else data), self._source
        )


@pytest.mark.parametrize("name", SETTINGS)
@given(st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_noise_gives_readings_or_errors_that_are_named(name: str, seed: int) -> None:
    """Whatever bits turn: a driver ends, with readings that a batch takes, or an error whose quality has no value."""
    bench = plugged(name, dict.fromkeys(SIGNALS, 0.4))
    driver = build(name, Noisy(bench, seed))
    started = False
    qualities: list[Quality] = []
    for _ in range(12):
        try:
            if not started:
                bench.finish(driver.start())
                started = True
            readings = bench.finish(driver.read())
        except (BusError, SensorError) as error:
            started = False
            qualities.append(error.quality)
        else:
            for reading in readings:
                assert reading.value is None or math.isfinite(float(reading.value))
                assert (reading.value is None) == (not reading.quality.has_value)
            assert Batcher(BatchSettings(), bytes(16)).add("s", readings, 10**12, 10**9) == []
        bench.clock.sleep(0.1)
    driver.close()
    assert not any(quality.has_value for quality in qualities)
