"""The driver of the INA226.

Source: Texas Instruments, INA226 data sheet, SBOS547B (September 2024): section "Register Maps" with the tables of each
register, "Programming" with its worked example.
"""

from collections.abc import Sequence
from contextlib import suppress

from wayside_edge.drivers.ina226.settings import (
    AVERAGES,
    BUS_STEP_V,
    CONVERSION_US,
    POWER_STEPS,
    SHUNT_STEP_V,
    Alert,
    Ina226Settings,
    Mode,
)
from wayside_edge.errors import BusError
from wayside_edge.hal.chip import I2cDriver, decimals_of, signed
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

CONFIG, SHUNT, BUS, POWER, CURRENT, CALIBRATION, MASK, LIMIT = range(8)
MANUFACTURER, DIE = 0xFE, 0xFF
TEXAS_INSTRUMENTS, DIE_ID = 0x5449, 0x226
"""The die's identity without its revision, the lowest four bits."""
RESET, FIXED = 0x8000, 0x4000
"""Bits 14 to 12 of CONFIG read 100."""
TRIGGERED, CONTINUOUS = 0b011, 0b111
ALERT_FLAG, CONVERSION_READY, OVERFLOW, LATCH = 0x10, 0x08, 0x04, 0x01
ALERT_BITS = {
    Alert.NONE: 0,
    Alert.CURRENT_OVER: 0x8000,
    Alert.CURRENT_UNDER: 0x4000,
    Alert.BUS_OVER: 0x2000,
    Alert.BUS_UNDER: 0x1000,
    Alert.POWER_OVER: 0x0800,
}
BUS_END = 0x7FFF
"""40.96 V: more than the chip stands; the top bit is always 0."""


class Ina226(I2cDriver):
    """An INA226 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Ina226Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings
        time = CONVERSION_US.index(settings.conversion_us)
        self._config = FIXED | AVERAGES.index(settings.averages) << 9 | time << 6 | time << 3
        self._mode = TRIGGERED if settings.mode is Mode.TRIGGERED else CONTINUOUS

    def start(self) -> Steps[None]:
        """See `Driver`. Checks maker and die, resets the chip and sets it up."""
        self.connect()
        maker, die = self.word(MANUFACTURER), self.word(DIE)
        if (maker, die >> 4) != (TEXAS_INSTRUMENTS, DIE_ID):
            what = f"is no INA226: maker 0x{maker:04x}, die 0x{die:04x}, not 0x5449 and 0x2260; check kind and address"
            raise self.error(what, Quality.WRONG_CHIP)
        self.put_word(CONFIG, RESET)
        self.put_word(CALIBRATION, self._settings.calibration)
        if self._settings.alert is not Alert.NONE:
            self.put_word(LIMIT, self._settings.alert_steps & 0xFFFF)
            self.put_word(MASK, ALERT_BITS[self._settings.alert] | LATCH)
        if self._settings.mode is Mode.CONTINUOUS:
            self.put_word(CONFIG, self._config | CONTINUOUS)
            yield self._settings.conversion_s

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Triggered, it takes 0.3 ms to 19 s: twice the time of a conversion for each average."""
        flags = 0

        def ready() -> bool:
            # Reading the flags clears those of a conversion and of a latched alert.
            nonlocal flags
            flags |= self.word(MASK)
            return bool(flags & CONVERSION_READY)

        if self._settings.mode is Mode.TRIGGERED:
            self.put_word(CONFIG, self._config | TRIGGERED)
            yield from self.poll(ready, self._settings.conversion_s, "did not finish its conversion")
        else:
            ready()
        bus, shunt = self.word(BUS), signed(self.word(SHUNT), 16)
        current, power = signed(self.word(CURRENT), 16), self.word(POWER)
        # After the measurement: a supply that fails while it is read empties the registers that are left.
        if (self.word(CONFIG), self.word(CALIBRATION)) != (self._config | self._mode, self._settings.calibration):
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        quality = Quality.GOOD if flags & CONVERSION_READY else Quality.STALE
        return self._readings(flags, (bus, shunt, current, power), quality)

    def close(self) -> None:
        """See `Driver`."""
        with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
            if self._bus is not None:
                self.put_word(CONFIG, self._config)
        self.disconnect()

    def _readings(self, flags: int, measured: tuple[int, int, int, int], quality: Quality) -> list[Reading]:
        """Bus, shunt, current and power as `measured`, in steps."""
        bus, shunt, current, power = measured
        if bus > BUS_END:
            raise self.error(f"gives {bus * BUS_STEP_V:.3f} V, beyond its range", Quality.OUT_OF_RANGE)
        shunt_quality = Quality.CLIPPED if shunt in (-0x8000, 0x7FFF) else quality
        bus_quality = Quality.CLIPPED if bus == BUS_END else quality
        power_quality = Quality.CLIPPED if Quality.CLIPPED in (shunt_quality, bus_quality) else quality
        readings = [
            Reading("bus_voltage", bus * BUS_STEP_V, "V", decimals=5, quality=bus_quality),
            Reading("shunt_voltage", shunt * SHUNT_STEP_V * 1000, "mV", decimals=4, quality=shunt_quality),
        ]
        if flags & OVERFLOW:
            beyond = Quality.OUT_OF_RANGE
            readings += [Reading("current", None, "A", quality=beyond), Reading("power", None, "W", quality=beyond)]
        else:
            step_a, step_w = self._settings.current_step_a, POWER_STEPS * self._settings.current_step_a
            readings += [
                Reading("current", current * step_a, "A", decimals=decimals_of(step_a), quality=shunt_quality),
                Reading("power", power * step_w, "W", decimals=decimals_of(step_w), quality=power_quality),
            ]
        if self._settings.alert is not Alert.NONE:
            readings.append(Reading("alert", bool(flags & ALERT_FLAG), "1", quality=quality))
        return readings


def _identify(bus: I2cBus, address: int) -> bool:
    # The die first: to Si7021 and HTU21D, which share 0x40, the number of the maker's register is the order to reset.
    if int.from_bytes(bus.write_read(address, bytes((DIE,)), 2), "big") >> 4 != DIE_ID:
        return False
    return int.from_bytes(bus.write_read(address, bytes((MANUFACTURER,)), 2), "big") == TEXAS_INSTRUMENTS


KIND = DriverKind(
    title="Texas Instruments INA226: current, voltage and power, with averages and an alert",
    settings=Ina226Settings,
    build=Ina226,
    families=("i2c",),
    quantities=(
        Quantity("bus_voltage", "V", 0.0, 40.96, "±0.1 % ± 7.5 mV"),
        Quantity("shunt_voltage", "mV", -81.92, 81.9175, "±0.1 % ± 0.01 mV"),
        Quantity("current", "A", -1e6, 1e6, "as the shunt's, and its voltage's"),
        Quantity("power", "W", 0.0, 1e6, "as current and voltage together"),
        Quantity("alert", "1", 0.0, 1.0),
    ),
    addresses=tuple(range(0x40, 0x50)),
    identify=_identify,
)
"""Accuracies: Table "Electrical Characteristics", greatest gain errors and offsets."""
