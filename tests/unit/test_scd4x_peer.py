"""Adafruit's and Sensirion's own drivers of the SCD4x and ours make the same of the same bytes."""

from typing import Any

import pytest
from sensirion_driver_adapters.i2c_adapter.i2c_channel import I2cChannel
from sensirion_i2c_driver import CrcCalculator, I2cConnection
from sensirion_i2c_scd4x.device import Scd4xDevice

from wayside_edge.drivers.scd4x import Scd4x, Scd4xSettings
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.scd4x import Scd4xChip
from wayside_testkit import circuitpython
from wayside_testkit.peers import peer_bus
from wayside_testkit.sensing import Bench

AIR = [
    (State(celsius, pascal, percent), ppm)
    for celsius, percent in ((-9.5, 100.0), (0.0, 3.3), (21.37, 43.21), (59.9, 0.0))
    for pascal, ppm in ((75_000.0, 400.0), (101_325.0, 1234.0), (119_000.0, 20_000.0))
]
SETTINGS = [
    Scd4xSettings(),
    Scd4xSettings(temperature_offset_c=1.5, altitude_m=2345),
    Scd4xSettings(ambient_pressure_hpa=844.0, temperature_offset_c=0.0),
]


class Transceiver:
    """A bench's I2C bus as Sensirion's driver wants it."""

    API_VERSION = 1
    channel_count = None

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._bus = bench.i2c("main")

    def transceive(
        self, slave_address: int, tx_data: bytes | None, rx_length: int | None, read_delay: float, timeout: float
    ) -> tuple[int, None, bytes]:
        if tx_data is not None:
            self._bus.write(slave_address, tx_data)
        self._bench.clock.sleep(read_delay)
        return 0, None, self._bus.read(slave_address, rx_length) if rx_length else b""


def bench_with(state: State, ppm: float) -> Bench:
    bench = Bench(state)
    bench.signals["co2_ppm"] = ppm
    bench.put(0x62, Scd4xChip(bench.around))
    return bench


def ours(bench: Bench, settings: Scd4xSettings) -> list[Any]:
    driver = Scd4x(settings, "main", bench, bench.clock)
    bench.finish(driver.start())
    found = [reading.value for reading in bench.finish(driver.read())]
    driver.close()
    bench.clock.sleep(0.5)
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("state", "ppm"), AIR, ids=str)
def test_agree_with_adafruit(
    state: State, ppm: float, settings: Scd4xSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_with(state, ppm)
    adafruit = circuitpython.driver("adafruit_scd4x")
    peer = adafruit.SCD4X(peer_bus(bench, monkeypatch, adafruit))
    # Theirs cuts the offset to the step below, ours takes the nearest: half a step keeps them at the same one.
    peer.temperature_offset = settings.temperature_offset_c + 0.5 * 175 / 65535
    if settings.ambient_pressure_hpa is not None:
        peer.ambient_pressure = round(settings.ambient_pressure_hpa)
    else:
        peer.altitude = settings.altitude_m or 0
    peer.start_periodic_measurement()
    bench.clock.sleep(5.0)
    assert peer.data_ready
    theirs = [peer.CO2, peer.temperature, peer.relative_humidity]
    peer.stop_periodic_measurement()
    assert ours(bench, settings) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("state", "ppm"), AIR, ids=str)
def test_agree_with_sensirion(
    state: State, ppm: float, settings: Scd4xSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_with(state, ppm)
    for module in ("sensirion_i2c_driver.connection", "sensirion_i2c_scd4x.device"):
        monkeypatch.setattr(f"{module}.time", bench.clock, raising=True)
    crc = CrcCalculator(8, 0x31, 0xFF, 0x0)
    peer = Scd4xDevice(I2cChannel(I2cConnection(Transceiver(bench)), slave_address=0x62, crc=crc))
    peer.stop_periodic_measurement()
    bench.clock.sleep(0.5)
    peer.set_temperature_offset_raw(round(settings.temperature_offset_c * 65535 / 175))
    bench.clock.sleep(0.001)
    if settings.ambient_pressure_hpa is not None:
        peer.set_ambient_pressure_raw(round(settings.ambient_pressure_hpa))
    else:
        peer.set_sensor_altitude(settings.altitude_m or 0)
    bench.clock.sleep(0.001)
    peer.start_periodic_measurement()
    bench.clock.sleep(5.0)
    assert peer.get_data_ready_status()
    theirs = [signal if isinstance(signal, float) else signal.value for signal in peer.read_measurement()]
    peer.stop_periodic_measurement()
    bench.clock.sleep(0.5)
    assert ours(bench, settings) == pytest.approx(theirs, abs=1e-9)
