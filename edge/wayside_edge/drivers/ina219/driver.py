"""The driver of the INA219.

Source: Texas Instruments, INA219 data sheet, SBOS448G (December 2015): section "Register Maps" with the figures of each
register, "Programming the Calibration Register", Table "Electrical Characteristics".
"""

from collections.abc import Sequence
from contextlib import suppress

from wayside_edge.drivers.ina219.settings import BUS_RANGES_V, SHUNT_RANGES_MV, Ina219Settings, Mode
from wayside_edge.errors import BusError
from wayside_edge.hal.chip import I2cDriver, decimals_of, signed
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

CONFIG, SHUNT, BUS, POWER, CURRENT, CALIBRATION = 0, 1, 2, 3, 4, 5
RESET, CONFIG_AFTER_RESET = 0x8000, 0x399F
INA226_AFTER_RESET = 0x4127
CONVERSION_READY, OVERFLOW = 0x0002, 0x0001
TRIGGERED, CONTINUOUS = 0b011, 0b111
SHUNT_STEP_V, BUS_STEP_V = 10e-6, 4e-3
POWER_STEPS = 20
"""One step of power is 20 of current, in W per A (equation 3)."""


class Ina219(I2cDriver):
    """An INA219 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Ina219Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings
        self._config = (
            BUS_RANGES_V.index(settings.bus_range_v) << 13
            | SHUNT_RANGES_MV.index(settings.shunt_range_mv) << 11
            | settings.adc_code << 7
            | settings.adc_code << 3
        )

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip: what it then has set is all the identity it has."""
        self.connect()
        self.put_word(CONFIG, RESET)
        found = self.word(CONFIG)
        if found != CONFIG_AFTER_RESET:
            name = "is an INA226; set kind" if found == INA226_AFTER_RESET else "is no INA219: check kind"
            raise self.error(f"{name} and address (0x{found:04x} after a reset)", Quality.WRONG_CHIP)
        self.put_word(CALIBRATION, self._settings.calibration)
        if self._settings.mode is Mode.CONTINUOUS:
            self.put_word(CONFIG, self._config | CONTINUOUS)
            yield self._settings.conversion_s

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Triggered, it takes 0.2 ms to 150 ms."""
        fresh = True
        if self._settings.mode is Mode.TRIGGERED:
            self.put_word(CONFIG, self._config | TRIGGERED)
            wait_s = self._settings.conversion_s
            yield from self.poll(self._ready, wait_s, "did not finish its conversion")
        else:
            fresh = self._ready()
        bus, shunt, current = self.word(BUS), signed(self.word(SHUNT), 16), signed(self.word(CURRENT), 16)
        power = self.word(POWER)  # last: it clears the flag that a conversion is ready
        mode = TRIGGERED if self._settings.mode is Mode.TRIGGERED else CONTINUOUS
        # After the measurement: a supply that fails while it is read empties the registers that are left.
        if (self.word(CONFIG), self.word(CALIBRATION)) != (self._config | mode, self._settings.calibration):
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        return self._readings(bus, shunt, current, power, Quality.GOOD if fresh else Quality.STALE)

    def close(self) -> None:
        """See `Driver`."""
        with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
            if self._bus is not None:
                self.put_word(CONFIG, self._config)
        self.disconnect()

    def _ready(self) -> bool:
        return bool(self.word(BUS) & CONVERSION_READY)

    def _readings(self, bus: int, shunt: int, current: int, power: int, quality: Quality) -> list[Reading]:
        settings, code = self._settings, bus >> 3
        most = round(settings.bus_range_v / BUS_STEP_V)
        if code > most:
            raise self.error(f"gives {code * BUS_STEP_V:.3f} V, beyond its range", Quality.OUT_OF_RANGE)
        shunt_quality = Quality.CLIPPED if abs(shunt) >= settings.shunt_range_mv * 100 else quality
        bus_quality = Quality.CLIPPED if code == most else quality
        readings = [
            Reading("bus_voltage", code * BUS_STEP_V, "V", decimals=3, quality=bus_quality),
            Reading("shunt_voltage", shunt * SHUNT_STEP_V * 1000, "mV", decimals=2, quality=shunt_quality),
        ]
        if bus & OVERFLOW:
            beyond = Quality.OUT_OF_RANGE
            return [
                *readings,
                Reading("current", None, "A", quality=beyond),
                Reading("power", None, "W", quality=beyond),
            ]
        step_a, step_w = settings.current_step_a, POWER_STEPS * settings.current_step_a
        power_quality = Quality.CLIPPED if Quality.CLIPPED in (shunt_quality, bus_quality) else quality
        return [
            *readings,
            Reading("current", current * step_a, "A", decimals=decimals_of(step_a), quality=shunt_quality),
            Reading("power", power * step_w, "W", decimals=decimals_of(step_w), quality=power_quality),
        ]


def _identify(bus: I2cBus, address: int) -> bool:
    """Whether the registers hold together as an INA219's: it has no identity. Reading POWER clears a flag."""
    config, shunt, voltage, current, calibration = (
        int.from_bytes(bus.write_read(address, bytes((register,)), 2), "big")
        for register in (CONFIG, SHUNT, BUS, CURRENT, CALIBRATION)
    )
    if config & 0xC000 or calibration & 1 or voltage & 4 or not (calibration or config == CONFIG_AFTER_RESET):
        return False
    return abs(signed(shunt, 16) * calibration / 4096 - signed(current, 16)) <= 1


KIND = DriverKind(
    title="Texas Instruments INA219: current, voltage and power",
    settings=Ina219Settings,
    build=Ina219,
    families=("i2c",),
    quantities=(
        Quantity("bus_voltage", "V", 0.0, 32.0, "±0.5 %"),
        Quantity("shunt_voltage", "mV", -320.0, 320.0, "±0.5 % ± 0.1 mV"),
        Quantity("current", "A", -1e6, 1e6, "as the shunt's, and its voltage's"),
        Quantity("power", "W", 0.0, 1e6, "as current and voltage together"),
    ),
    addresses=tuple(range(0x40, 0x50)),
    identify=_identify,
)
"""Accuracies: Table "Electrical Characteristics", INA219A at 25 °C."""
