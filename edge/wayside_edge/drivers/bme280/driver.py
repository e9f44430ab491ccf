"""The driver of the BME280, and of the BMP280, which is the same but for the humidity.

Source: Bosch Sensortec, BME280 Data sheet, BST-BME280-DS002-15, revision 1.6 (September 2018). Registers: sections
5.3 and 5.4 (from page 26 on); start-up time: Table 1 (page 8); modes: section 3.3; shadowing: section 4.1; a write of
several registers as pairs of address and value: section 6.2.1. BMP280 Data sheet, BST-BMP280-DS001-23, revision 1.23
(November 2020): section 4.3 for its registers, 3.11.3 for the formulas, 5.3 for SPI.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from wayside_edge.drivers.bme280 import compensation
from wayside_edge.drivers.bme280.settings import (
    FILTERS,
    OVERSAMPLING,
    Bme280Settings,
    Bmp280Settings,
    Mode,
    measurement_ms,
)
from wayside_edge.errors import BusError, SensorError
from wayside_edge.hal.registers import SpiFraming, registers
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Registers, Steps
from wayside_shared.quality import Quality

ID, RESET, CTRL_HUM, STATUS, CTRL_MEAS, CONFIG = 0xD0, 0xE0, 0xF2, 0xF3, 0xF4, 0xF5
BURST = 13
"""Registers from CTRL_HUM to the last of the data: one read tells the settings, the status and the measurement."""
DRY_BURST = 10
"""The same of a chip without humidity, from STATUS on."""
CHIP_ID, BMP280_IDS, RESET_WORD = 0x60, (0x56, 0x57, 0x58), 0xB6
"""0x56 and 0x57 are samples of the BMP280 (its data sheet's section 4.3.1, and Bosch's driver)."""
MEASURING, COPYING = 0x08, 0x01
MODE_BITS = {Mode.FORCED: 0b01, Mode.NORMAL: 0b11}
FRAMING = SpiFraming(mode=0, max_speed_hz=10_000_000, paired=True)
"""Section 6.3: modes 00 and 11, the top bit of the address reads; section 6.4.3: up to 10 MHz."""
STARTUP_S = 0.002
POLLS = 10
"""How often to look again after the longest time that the data sheet allows; clones of the chip are slower."""
SKIPPED_20, SKIPPED_16 = 0x80000, 0x8000
"""What the data registers hold for a quantity that is left out (oversampling 0), and for all since a reset."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which of the two chips it is."""

    name: str
    identities: tuple[int, ...]
    sister: str
    """Name of the other."""
    sisters: tuple[int, ...]
    difference: str
    """What is to say of the other when it is found instead."""


BME280 = Part("BME280", (CHIP_ID,), "BMP280", BMP280_IDS, "which has no humidity; fit a BME280")
BMP280 = Part("BMP280", BMP280_IDS, "BME280", (CHIP_ID,), 'which can do more; say kind = "bme280"')


class PressureChip:
    """A BME280 or BMP280 on an I2C or SPI bus.

    Args:
        part: which of them.
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, part: Part, settings: Bme280Settings | Bmp280Settings, bus: str, buses: BusProvider) -> None:
        self._part = part
        self._settings = settings
        self._bus_name = bus
        self._buses = buses
        self._chip: Registers | None = None
        self._coefficients = compensation.Coefficients((0,) * 3, (0,) * 9, (0,) * 6)
        self._ctrl_hum = OVERSAMPLING.index(settings.humidity_oversampling)
        self._ctrl_meas = (
            OVERSAMPLING.index(settings.temperature_oversampling) << 5
            | OVERSAMPLING.index(settings.pressure_oversampling) << 2
        )
        self._config = settings.standby_code << 5 | FILTERS.index(settings.filter) << 2

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip, and reads its coefficients anew: it may be another one than before."""
        settings = self._settings
        self._chip = chip = registers(
            self._buses, self._bus_name, FRAMING, address=settings.address, chip_select=settings.chip_select
        )
        self._check_identity(chip)
        chip.write(RESET, bytes((RESET_WORD,)))
        yield from self._wait(chip, STARTUP_S, COPYING, "did not finish its start")
        low = chip.read(*compensation.LOW_BLOCK)
        high = chip.read(*compensation.HIGH_BLOCK) if self._humid else bytes(compensation.HIGH_BLOCK[1])
        if len(set(low[:24])) == 1:
            raise self._error(f"holds no coefficients: all are 0x{low[0]:02x}; replace it")
        self._coefficients = compensation.unpack(low, high)
        # CONFIG is only sure to be taken while asleep, CTRL_HUM only with the next write of CTRL_MEAS.
        chip.write(CONFIG, bytes((self._config,)))
        self._set_humidity(chip)
        if settings.mode is Mode.NORMAL:
            self._measure(chip)
            yield measurement_ms(settings) / 1000

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. In forced mode the measurement takes 4 ms to 113 ms."""
        chip = self._chip
        if chip is None:
            raise self._error("was not started")
        if self._settings.mode is Mode.FORCED:
            self._measure(chip)
            wait_s = measurement_ms(self._settings) / 1000
            yield from self._wait(chip, wait_s, MEASURING, "did not finish its measurement")
        # A chip without humidity takes part as one whose humidity is left out.
        block = chip.read(CTRL_HUM, BURST) if self._humid else b"\0" + chip.read(STATUS, DRY_BURST) + b"\x80\0"
        kept = self._ctrl_meas if self._settings.mode is Mode.FORCED else self._ctrl_meas | MODE_BITS[Mode.NORMAL]
        if (block[0], block[2], block[3]) != (self._ctrl_hum, kept, self._config):
            raise self._error("lost its settings: did its power fail?", Quality.POWER_LOST)
        return self._readings(block[5:])

    def close(self) -> None:
        """See `Driver`."""
        if self._chip is not None and self._settings.mode is Mode.NORMAL:
            with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
                self._chip.write(CTRL_MEAS, bytes((self._ctrl_meas,)))
        self._chip = None

    def _check_identity(self, chip: Registers) -> None:
        identity = chip.read(ID, 1)[0]
        part = self._part
        if identity in part.sisters:
            what = f"is a {part.sister} (identity 0x{identity:02x}), {part.difference}"
            raise self._error(what, Quality.WRONG_CHIP)
        if identity not in part.identities:
            what = f"is no {part.name}: identity 0x{identity:02x} instead of 0x{part.identities[-1]:02x}"
            raise self._error(what, Quality.WRONG_CHIP)

    def _measure(self, chip: Registers) -> None:
        # Setting the humidity again costs two bytes and mends a chip that was reset in between.
        self._set_humidity(chip)
        chip.write(CTRL_MEAS, bytes((self._ctrl_meas | MODE_BITS[self._settings.mode],)))

    def _set_humidity(self, chip: Registers) -> None:
        if self._humid:
            chip.write(CTRL_HUM, bytes((self._ctrl_hum,)))

    @property
    def _humid(self) -> bool:
        return self._part is BME280

    def _wait(self, chip: Registers, first_s: float, bits: int, failure: str) -> Steps[None]:
        yield first_s
        for _ in range(POLLS):
            if not chip.read(STATUS, 1)[0] & bits:
                return
            yield 0.002
        raise self._error(failure, Quality.NOT_READY)

    def _readings(self, data: bytes) -> list[Reading]:
        raw_p = data[0] << 12 | data[1] << 4 | data[2] >> 4
        raw_t = data[3] << 12 | data[4] << 4 | data[5] >> 4
        raw_h = data[6] << 8 | data[7]
        # Alone, each of these is also a measurement (0x80000 is about 26.5 °C); all together they are a reset chip.
        several = self._settings.pressure_oversampling or self._settings.humidity_oversampling
        if several and (raw_t, raw_p, raw_h) == (SKIPPED_20, SKIPPED_20, SKIPPED_16):
            raise self._error("has made no measurement since its reset", Quality.NOT_READY)
        t_fine = compensation.fine_temperature(raw_t, self._coefficients.t)
        celsius = compensation.temperature(t_fine) / 100
        if not compensation.MIN_TEMPERATURE_C - 5 <= celsius <= compensation.MAX_TEMPERATURE_C + 5:
            raise self._error(f"gives {celsius} °C, outside of what it can measure", Quality.OUT_OF_RANGE)
        readings = [Reading("temperature", celsius, "Cel", decimals=2)]
        if self._settings.pressure_oversampling:
            readings.append(self._pressure(raw_p, t_fine))
        if self._settings.humidity_oversampling:
            percent = compensation.humidity(raw_h, t_fine, self._coefficients.h) / 1024
            wet = Quality.CLIPPED if percent in (0.0, 100.0) else Quality.GOOD  # the formula ends there
            readings.append(Reading("humidity", percent, "%", decimals=2, quality=wet))
        return readings

    def _pressure(self, raw: int, t_fine: int) -> Reading:
        value = compensation.pressure(raw, t_fine, self._coefficients.p)
        hectopascal = (value or 0) / 25_600
        if not compensation.MIN_PRESSURE_HPA - 50 <= hectopascal <= compensation.MAX_PRESSURE_HPA + 50:
            raise self._error(f"gives {hectopascal:.2f} hPa, outside of what it can measure", Quality.OUT_OF_RANGE)
        # One step is 2.6 Pa at ×1 and 0.16 Pa at ×16 or with the filter (BMP280, section 3.3.1, Table 4).
        fine = self._settings.pressure_oversampling >= 4 or self._settings.filter > 0
        return Reading("pressure", hectopascal, "hPa", decimals=3 if fine else 2)

    def _error(self, what: str, quality: Quality = Quality.INVALID) -> SensorError:
        where = self._chip.where if self._chip is not None else f"bus {self._bus_name}"
        return SensorError(f"{where}: the chip {what}", quality)


class Bme280(PressureChip):
    """A BME280; see `PressureChip`."""

    def __init__(self, settings: Bme280Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(BME280, settings, bus, buses)


class Bmp280(PressureChip):
    """A BMP280; see `PressureChip`."""

    def __init__(self, settings: Bmp280Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(BMP280, settings, bus, buses)


def identity(bus: I2cBus, address: int) -> int:
    """The identity that Bosch's chips have at 0xD0."""
    return bus.write_read(address, bytes((ID,)), 1)[0]


def _identify(bus: I2cBus, address: int) -> bool:
    return identity(bus, address) in BME280.identities


KIND = DriverKind(
    title="Bosch BME280: temperature, pressure and humidity",
    settings=Bme280Settings,
    build=Bme280,
    families=("i2c", "spi"),
    quantities=(
        Quantity("temperature", "Cel", -40.0, 85.0, "±1.0 °C, ±0.5 °C at 25 °C"),
        Quantity("pressure", "hPa", 300.0, 1100.0, "±1 hPa"),
        Quantity("humidity", "%", 0.0, 100.0, "±3 %"),
    ),
    addresses=(0x76, 0x77),
    identify=_identify,
)
"""Accuracies: data sheet, Tables 2 to 4."""
