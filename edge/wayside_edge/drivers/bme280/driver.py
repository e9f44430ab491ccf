"""The driver of the BME280.

Source: Bosch Sensortec, BME280 Data sheet, BST-BME280-DS002-15, revision 1.6 (September 2018). Registers: section 5.3
and 5.4 (pages 26 to 31); start-up time: Table 1 (page 8); modes: section 3.3; shadowing: section 4.1; a write of
several registers as pairs of address and value: section 6.2.1.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from wayside_edge.drivers.bme280 import compensation
from wayside_edge.drivers.bme280.settings import FILTERS, OVERSAMPLING, STANDBY_MS, Bme280Settings, Mode
from wayside_edge.errors import BusError, SensorError
from wayside_edge.ports import BusProvider, I2cBus, Reading

ID, RESET, CTRL_HUM, STATUS, CTRL_MEAS, CONFIG = 0xD0, 0xE0, 0xF2, 0xF3, 0xF4, 0xF5
BURST = 13
"""Registers from CTRL_HUM to the last of the data: one read tells the settings, the status and the measurement."""
CHIP_ID, BMP280_IDS, RESET_WORD = 0x60, (0x56, 0x57, 0x58), 0xB6
MEASURING, COPYING = 0x08, 0x01
MODE_BITS = {Mode.FORCED: 0b01, Mode.NORMAL: 0b11}
STARTUP_S = 0.002
POLLS = 10
"""How often to look again after the longest time that the data sheet allows; clones of the chip are slower."""
SKIPPED_20, SKIPPED_16 = 0x80000, 0x8000
"""What the data registers hold for a quantity that is left out (oversampling 0), and for all since a reset."""


class Bme280:
    """A BME280 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
        sleep: waits for a number of seconds; a simulated chip's clock in tests.
    """

    def __init__(
        self, settings: Bme280Settings, bus: str, buses: BusProvider, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._bus_name = bus
        self._buses = buses
        self._sleep = sleep
        self._bus: I2cBus | None = None
        self._coefficients = compensation.Coefficients((0,) * 3, (0,) * 9, (0,) * 6)
        self._ctrl_hum = OVERSAMPLING.index(settings.humidity_oversampling)
        self._ctrl_meas = (
            OVERSAMPLING.index(settings.temperature_oversampling) << 5
            | OVERSAMPLING.index(settings.pressure_oversampling) << 2
        )
        self._config = STANDBY_MS.index(settings.standby_ms) << 5 | FILTERS.index(settings.filter) << 2

    def start(self) -> None:
        """See `Driver`. Resets the chip, and reads its coefficients anew: it may be another one than before."""
        self._bus = bus = self._buses.i2c(self._bus_name)
        self._check_identity(bus)
        bus.write(self._settings.address, bytes((RESET, RESET_WORD)))
        self._wait(bus, STARTUP_S, COPYING, "did not finish its start")
        low = bus.write_read(self._settings.address, bytes((compensation.LOW_BLOCK[0],)), compensation.LOW_BLOCK[1])
        high = bus.write_read(self._settings.address, bytes((compensation.HIGH_BLOCK[0],)), compensation.HIGH_BLOCK[1])
        if len(set(low)) == 1:
            raise self._error(f"holds no coefficients: all are 0x{low[0]:02x}")
        self._coefficients = compensation.unpack(low, high)
        # CONFIG is only sure to be taken while asleep, CTRL_HUM only with the next write of CTRL_MEAS.
        bus.write(self._settings.address, bytes((CONFIG, self._config, CTRL_HUM, self._ctrl_hum)))
        if self._settings.mode is Mode.NORMAL:
            self._measure(bus)
            self._sleep(self._settings.measurement_ms / 1000)

    def read(self) -> Sequence[Reading]:
        """See `Driver`. In forced mode this takes as long as the measurement: 10 ms to 113 ms."""
        bus = self._bus
        if bus is None:
            raise self._error("was not started")
        if self._settings.mode is Mode.FORCED:
            self._measure(bus)
            self._wait(bus, self._settings.measurement_ms / 1000, MEASURING, "did not finish its measurement")
        block = bus.write_read(self._settings.address, bytes((CTRL_HUM,)), BURST)
        kept = self._ctrl_meas if self._settings.mode is Mode.FORCED else self._ctrl_meas | MODE_BITS[Mode.NORMAL]
        if (block[0], block[2], block[3]) != (self._ctrl_hum, kept, self._config):
            raise self._error("lost its settings: did its power fail?")
        return self._readings(block[5:])

    def close(self) -> None:
        """See `Driver`."""
        if self._bus is not None and self._settings.mode is Mode.NORMAL:
            with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
                self._bus.write(self._settings.address, bytes((CTRL_MEAS, self._ctrl_meas)))
        self._bus = None

    def _check_identity(self, bus: I2cBus) -> None:
        identity = bus.write_read(self._settings.address, bytes((ID,)), 1)[0]
        if identity in BMP280_IDS:
            raise self._error(f"is a BMP280 (identity 0x{identity:02x}), which has no humidity; fit a BME280")
        if identity != CHIP_ID:
            raise self._error(f"is no BME280: identity 0x{identity:02x} instead of 0x{CHIP_ID:02x}")

    def _measure(self, bus: I2cBus) -> None:
        mode = MODE_BITS[self._settings.mode]
        bus.write(self._settings.address, bytes((CTRL_HUM, self._ctrl_hum, CTRL_MEAS, self._ctrl_meas | mode)))

    def _wait(self, bus: I2cBus, first_s: float, bits: int, failure: str) -> None:
        self._sleep(first_s)
        for _ in range(POLLS):
            if not bus.write_read(self._settings.address, bytes((STATUS,)), 1)[0] & bits:
                return
            self._sleep(0.002)
        raise self._error(failure)

    def _readings(self, data: bytes) -> list[Reading]:
        raw_p = data[0] << 12 | data[1] << 4 | data[2] >> 4
        raw_t = data[3] << 12 | data[4] << 4 | data[5] >> 4
        raw_h = data[6] << 8 | data[7]
        # Alone, each of these is also a measurement (0x80000 is about 26.5 °C); all together they are a reset chip.
        if (raw_t, raw_p, raw_h) == (SKIPPED_20, SKIPPED_20, SKIPPED_16):
            raise self._error("has made no measurement since its reset")
        t_fine = compensation.fine_temperature(raw_t, self._coefficients.t)
        celsius = compensation.temperature(t_fine) / 100
        if not compensation.MIN_TEMPERATURE_C - 5 <= celsius <= compensation.MAX_TEMPERATURE_C + 5:
            raise self._error(f"gives {celsius} °C, outside of what it can measure")
        readings = [Reading("temperature", celsius, "Cel", decimals=2)]
        if self._settings.pressure_oversampling:
            readings.append(self._pressure(raw_p, t_fine))
        if self._settings.humidity_oversampling:
            percent = compensation.humidity(raw_h, t_fine, self._coefficients.h) / 1024
            readings.append(Reading("humidity", percent, "%", decimals=2))
        return readings

    def _pressure(self, raw: int, t_fine: int) -> Reading:
        value = compensation.pressure(raw, t_fine, self._coefficients.p)
        hectopascal = (value or 0) / 25_600
        if not compensation.MIN_PRESSURE_HPA - 50 <= hectopascal <= compensation.MAX_PRESSURE_HPA + 50:
            raise self._error(f"gives {hectopascal:.2f} hPa, outside of what it can measure")
        # One step is 2.6 Pa at ×1 and 0.16 Pa at ×16 or with the filter (data sheet, section 3.4.2, Table 7).
        fine = self._settings.pressure_oversampling >= 4 or self._settings.filter > 0
        return Reading("pressure", hectopascal, "hPa", decimals=3 if fine else 2)

    def _error(self, what: str) -> SensorError:
        return SensorError(f"bus {self._bus_name}: the chip at 0x{self._settings.address:02x} {what}")
