"""The driver of the TMP117, and of the TMP119, which has the same registers.

Source: Texas Instruments, TMP117 data sheet, SNOSD82D (September 2022): section "Register Map"; soft reset 2 ms: Table
"Configuration Register Field Descriptions"; range: "Recommended Operating Conditions".
"""

from collections.abc import Sequence
from contextlib import suppress

from wayside_edge.drivers.tmp117.settings import AVERAGES, CYCLES_S, Mode, Tmp117Settings
from wayside_edge.errors import BusError
from wayside_edge.hal.chip import I2cDriver, signed
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

RESULT, CONFIG, DEVICE_ID = 0x00, 0x01, 0x0F
IDENTITY = 0x117
"""The lowest twelve bits; the others are the revision, by which a TMP119 differs."""
DATA_READY, EEPROM_BUSY, SOFT_RESET = 0x2000, 0x1000, 0x0002
CONTINUOUS, SHUT_DOWN, ONE_SHOT = 0b00 << 10, 0b01 << 10, 0b11 << 10
FLAGS, MODE_BITS = 0xF000, 0x0C00
RESET_S = 0.002
NO_RESULT = 0x8000
STEP_C = 1 / 128
LOW_C, HIGH_C = -55.0, 150.0


class Tmp117(I2cDriver):
    """A TMP117 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Tmp117Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings
        self._config = CYCLES_S.index(settings.cycle_s) << 7 | AVERAGES.index(settings.averages) << 5

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip, which loads its offset from its EEPROM."""
        self.connect()
        self._check_identity()
        self.put_word(CONFIG, SOFT_RESET)
        yield from self.poll(
            lambda: not self.word(CONFIG) & EEPROM_BUSY,
            RESET_S,
            "does not finish with its EEPROM: is something writing?",
        )
        self.put_word(CONFIG, self._config | (SHUT_DOWN if self._settings.mode is Mode.ONE_SHOT else CONTINUOUS))
        if self._settings.mode is Mode.CONTINUOUS:
            yield self._settings.conversion_s

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. In one shot it takes 18 ms to 1.1 s."""
        if self._settings.mode is Mode.ONE_SHOT:
            self.put_word(CONFIG, self._config | ONE_SHOT)
            yield from self.poll(self._ready, self._settings.conversion_s, "did not finish its measurement")
        fresh = self._settings.mode is Mode.ONE_SHOT or self._ready()
        word = self.word(RESULT)
        self._check_identity()  # a TMP102 that took its place has twice the steps, and settings that look alike
        if word == NO_RESULT:
            raise self.error("has made no measurement since its reset", Quality.NOT_READY)
        celsius = signed(word, 16) * STEP_C
        if not LOW_C - 5 <= celsius <= HIGH_C + 5:
            raise self.error(f"gives {celsius} °C, outside of what it can measure", Quality.OUT_OF_RANGE)
        quality = Quality.GOOD if fresh else Quality.STALE
        return [Reading("temperature", celsius, "Cel", decimals=3, quality=quality)]

    def close(self) -> None:
        """See `Driver`."""
        with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
            if self._bus is not None:
                self.put_word(CONFIG, self._config | SHUT_DOWN)
        self.disconnect()

    def _check_identity(self) -> None:
        identity = self.word(DEVICE_ID)
        if identity & 0xFFF != IDENTITY:
            what = f"is no TMP117: identity 0x{identity:04x} instead of 0x0117; check kind and address"
            raise self.error(what, Quality.WRONG_CHIP)

    def _ready(self) -> bool:
        """Whether there is a new measurement; asking clears the flag."""
        found = self.word(CONFIG)
        mode = found & MODE_BITS
        # After its one shot the chip is shut down.
        kept = mode in (ONE_SHOT, SHUT_DOWN) if self._settings.mode is Mode.ONE_SHOT else mode == CONTINUOUS
        if not kept or found & ~FLAGS & ~MODE_BITS != self._config:
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        return bool(found & DATA_READY)


def _identify(bus: I2cBus, address: int) -> bool:
    return int.from_bytes(bus.write_read(address, bytes((DEVICE_ID,)), 2), "big") & 0xFFF == IDENTITY


KIND = DriverKind(
    title="Texas Instruments TMP117: temperature to a tenth of a degree",
    settings=Tmp117Settings,
    build=Tmp117,
    families=("i2c",),
    quantities=(Quantity("temperature", "Cel", LOW_C, HIGH_C, "±0.1 °C from -20 °C to 50 °C, ±0.3 °C elsewhere"),),
    addresses=(0x48, 0x49, 0x4A, 0x4B),
    identify=_identify,
)
"""Accuracy: Table "Electrical Characteristics", TMP117."""
