"""The driver of the BME680 and the BME688.

Source: Bosch Sensortec, BME680 Datasheet, BST-BME680-DS001-01, revision 1.1 (April 2019): modes in section 3.1, gas in
3.3.5 and 3.4.1, registers in 5.2 and 5.3. The time that a measurement takes, and what differs in a BME688: Bosch's
BME68x Sensor API (bme68x.c, bme68x_get_meas_dur and the variants).
"""

from collections.abc import Sequence

from wayside_edge.drivers.bme680 import compensation
from wayside_edge.drivers.bme680.settings import FILTERS, OVERSAMPLING, Bme680Settings
from wayside_edge.errors import SensorError
from wayside_edge.hal.registers import SpiFraming, registers
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Registers, Steps
from wayside_shared.quality import Quality

HEATER_TARGET, HEATER_WAIT, CTRL_GAS_0, CTRL_HUM, CTRL_MEAS, CONFIG = 0x5A, 0x64, 0x70, 0x72, 0x74, 0x75
FIELD, ID, RESET, VARIANT = 0x1D, 0xD0, 0xE0, 0xF0
FIELD_LENGTH = 17
"""Status, pressure, temperature, humidity and gas; a BME688 has its gas in the last two."""
CHIP_ID, BMX280_IDS, RESET_WORD = 0x61, {0x58: "BMP280", 0x60: "BME280"}, 0xB6
VARIANT_HIGH = 0x01
"""A BME688."""
NEW_DATA, GAS_VALID, HEATER_STABLE = 0x80, 0x20, 0x10
FORCED = 0b01
HEATER_OFF = 0x08
RUN_GAS = {False: 0x10, True: 0x20}
"""By whether it is a BME688."""
RESET_S = 0.010
POLLS, POLL_S = 10, 0.010
FRAMING = SpiFraming(mode=0, max_speed_hz=10_000_000, paired=True)
"""Only for how registers are written over I2C; on SPI the chip has pages, which this driver does not turn."""
AMBIENT_C = 25.0
"""Until there is a measurement."""
GAS_FULL = 1023


class Bme680:
    """A BME680 or BME688 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Bme680Settings, bus: str, buses: BusProvider) -> None:
        self._settings = settings
        self._bus_name = bus
        self._buses = buses
        self._chip: Registers | None = None
        self._coefficients = compensation.Coefficients((0,) * 3, (0,) * 10, (0,) * 7, (0,) * 3, 0, 0, 0)
        self._high = False
        self._ambient_c = AMBIENT_C
        self._ctrl_hum = OVERSAMPLING.index(settings.humidity_oversampling)
        self._ctrl_meas = (
            OVERSAMPLING.index(settings.temperature_oversampling) << 5
            | OVERSAMPLING.index(settings.pressure_oversampling) << 2
        )
        self._config = FILTERS.index(settings.filter) << 2

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip, and reads its coefficients anew: it may be another one than before."""
        settings = self._settings
        self._chip = chip = registers(self._buses, self._bus_name, FRAMING, address=settings.address)
        identity = chip.read(ID, 1)[0]
        if identity != CHIP_ID:
            name = BMX280_IDS.get(identity)
            what = f'is a {name}; say kind = "{name.lower()}"' if name else "is no BME680"
            raise self._error(f"{what} (identity 0x{identity:02x} instead of 0x{CHIP_ID:02x})", Quality.WRONG_CHIP)
        chip.write(RESET, bytes((RESET_WORD,)))
        yield RESET_S
        low, high = chip.read(*compensation.LOW_BLOCK), chip.read(*compensation.HIGH_BLOCK)
        if len(set(low)) == 1:
            raise self._error(f"holds no coefficients: all are 0x{low[0]:02x}; replace it")
        self._coefficients = compensation.unpack(low, high, chip.read(*compensation.HEATER_BLOCK))
        self._high = chip.read(VARIANT, 1)[0] == VARIANT_HIGH
        chip.write(CONFIG, bytes((self._config,)))
        chip.write(CTRL_HUM, bytes((self._ctrl_hum,)))
        chip.write(CTRL_GAS_0, self._ctrl_gas)
        if settings.heater_c:
            chip.write(HEATER_WAIT, bytes((compensation.heater_wait(settings.heater_ms),)))

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Takes as long as the oversamplings and the heating."""
        chip = self._chip
        if chip is None:
            raise self._error("was not started")
        if self._settings.heater_c:
            target = compensation.heater_resistance(self._settings.heater_c, self._ambient_c, self._coefficients)
            chip.write(HEATER_TARGET, bytes((target,)))
        chip.write(CTRL_MEAS, bytes((self._ctrl_meas | FORCED,)))
        field = yield from self._field(chip)
        kept = chip.read(CTRL_GAS_0, 6)
        # A chip that still measures shows its mode; what is at 0x73 is not set here.
        now = (*kept[:3], kept[4] & ~FORCED, kept[5])
        if now != (*self._ctrl_gas, self._ctrl_hum, self._ctrl_meas, self._config):
            raise self._error("lost its settings: did its power fail?", Quality.POWER_LOST)
        if not field[0] & NEW_DATA:
            raise self._error("did not finish its measurement", Quality.NOT_READY)
        return self._readings(field)

    def close(self) -> None:
        """See `Driver`. The chip sleeps by itself between measurements."""
        self._chip = None

    @property
    def _ctrl_gas(self) -> bytes:
        """The registers ctrl_gas_0 and ctrl_gas_1."""
        return bytes((0, RUN_GAS[self._high])) if self._settings.heater_c else bytes((HEATER_OFF, 0))

    @property
    def _measurement_s(self) -> float:
        settings = self._settings
        times = settings.temperature_oversampling + settings.pressure_oversampling + settings.humidity_oversampling
        heating_ms = settings.heater_ms if settings.heater_c else 0
        return (times * 1.963 + 0.477 * 9 + 1.0 + heating_ms) / 1000

    def _field(self, chip: Registers) -> Steps[bytes]:
        yield self._measurement_s
        for _ in range(POLLS):
            field = chip.read(FIELD, FIELD_LENGTH)
            if field[0] & NEW_DATA:
                return field
            yield POLL_S
        return field

    def _readings(self, field: bytes) -> list[Reading]:
        raw_p = field[2] << 12 | field[3] << 4 | field[4] >> 4
        raw_t = field[5] << 12 | field[6] << 4 | field[7] >> 4
        raw_h = field[8] << 8 | field[9]
        t_fine = compensation.fine_temperature(raw_t, self._coefficients.t)
        celsius = compensation.temperature(t_fine) / 100
        if not compensation.MIN_TEMPERATURE_C - 5 <= celsius <= compensation.MAX_TEMPERATURE_C + 5:
            raise self._error(f"gives {celsius} °C, outside of what it can measure; replace it", Quality.OUT_OF_RANGE)
        self._ambient_c = celsius
        readings = [Reading("temperature", celsius, "Cel", decimals=2)]
        if self._settings.pressure_oversampling:
            readings.append(self._pressure(raw_p, t_fine))
        if self._settings.humidity_oversampling:
            percent = compensation.humidity(raw_h, t_fine, self._coefficients.h) / 1000
            wet = Quality.CLIPPED if percent in (0.0, 100.0) else Quality.GOOD  # the formula ends there
            readings.append(Reading("humidity", percent, "%", decimals=2, quality=wet))
        if self._settings.heater_c:
            readings.append(self._gas(field[15:17] if self._high else field[13:15]))
        return readings

    def _pressure(self, raw: int, t_fine: int) -> Reading:
        hectopascal = (compensation.pressure(raw, t_fine, self._coefficients.p) or 0) / 100
        if not compensation.MIN_PRESSURE_HPA - 50 <= hectopascal <= compensation.MAX_PRESSURE_HPA + 50:
            what = f"gives {hectopascal:.2f} hPa, outside of what it can measure; replace it"
            raise self._error(what, Quality.OUT_OF_RANGE)
        # One step is 2.9 Pa at ×1 and 0.18 Pa with the filter (data sheet, sections 3.3.2 and 3.3.4).
        fine = self._settings.pressure_oversampling >= 4 or self._settings.filter > 0
        return Reading("pressure", hectopascal, "hPa", decimals=3 if fine else 2)

    def _gas(self, field: bytes) -> Reading:
        raw, flags, gas_range = field[0] << 2 | field[1] >> 6, field[1], field[1] & 0x0F
        if not flags & GAS_VALID:
            return Reading("gas_resistance", None, "Ohm", quality=Quality.NOT_READY)
        ohm: float
        if self._high:
            ohm = compensation.gas_resistance_high(raw, gas_range)
        else:
            ohm = compensation.gas_resistance(raw, gas_range, self._coefficients.switching_error)
        at_end = (gas_range == 0 and raw == 0) or (gas_range == 0x0F and raw == GAS_FULL)
        quality = Quality.CLIPPED if at_end else Quality.GOOD
        if not flags & HEATER_STABLE:
            quality = Quality.UNSTABLE
        return Reading("gas_resistance", float(ohm), "Ohm", decimals=0, quality=quality)

    def _error(self, what: str, quality: Quality = Quality.INVALID) -> SensorError:
        where = self._chip.where if self._chip is not None else f"bus {self._bus_name}"
        return SensorError(f"{where}: the chip {what}", quality)


def _identify(bus: I2cBus, address: int) -> bool:
    return bus.write_read(address, bytes((ID,)), 1)[0] == CHIP_ID


KIND = DriverKind(
    title="Bosch BME680 and BME688: temperature, pressure, humidity and gas resistance",
    settings=Bme680Settings,
    build=Bme680,
    families=("i2c",),
    quantities=(
        Quantity("temperature", "Cel", -40.0, 85.0, "±1.0 °C, ±0.5 °C at 25 °C"),
        Quantity("pressure", "hPa", 300.0, 1100.0, "±0.6 hPa"),
        Quantity("humidity", "%", 0.0, 100.0, "±3 %"),
        Quantity("gas_resistance", "Ohm", 0.0, 1.1e8, "no absolute one: compare a chip with itself"),
    ),
    addresses=(0x76, 0x77),
    identify=_identify,
)
"""Accuracies: data sheet, section 1."""
