"""The driver of the TMP102.

Source: Texas Instruments, TMP102 data sheet, SBOS397 (revision H, December 2018): sections "Configuration Register",
"Temperature Register" with the Tables "12-Bit Temperature Data Format" and "13-Bit Temperature Data Format", "One-Shot
/ Conversion Ready (OS)"; Table "Electrical Characteristics" for the conversion time.
"""

from collections.abc import Sequence

from wayside_edge.drivers.tmp102.settings import Tmp102Settings
from wayside_edge.hal.chip import I2cDriver, signed
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

TEMPERATURE, CONFIG, LOW_LIMIT, HIGH_LIMIT = 0, 1, 2, 3
ONE_SHOT, TWELVE_BITS, SHUT_DOWN = 0x8000, 0x6000, 0x0100
RATE_4_HZ, ALERT, EXTENDED = 0x0080, 0x0020, 0x0010
"""RATE_4_HZ is what power-on sets, TWELVE_BITS cannot be changed, ALERT is the chip's own."""
EXTENDED_DATA = 0x0001
"""Lowest bit of the temperature: which format it has."""
ALWAYS_ZERO = 0x000F
LONGEST_S = 0.035
STEP_C = 1 / 16
LOW_C, HIGH_C = -55.0, 150.0


class Tmp102(I2cDriver):
    """A TMP102 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Tmp102Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings
        # Written without the bits that it keeps at 1: what then has none of them is a chip that keeps all it is given.
        self._written = SHUT_DOWN | RATE_4_HZ | (EXTENDED if settings.extended else 0)
        self._config = self._written | TWELVE_BITS

    def start(self) -> None:
        """See `Driver`. The chip has no identity: bits that it keeps at 1 and at 0 tell it."""
        self.connect()
        self._check_like(self.word(CONFIG))
        self.put_word(CONFIG, self._written)

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Takes 35 ms."""
        self.put_word(CONFIG, self._written | ONE_SHOT)
        yield from self.poll(self._ready, LONGEST_S, "did not finish its measurement")
        word = self.word(TEMPERATURE)
        self._ready()  # a supply that failed since the measurement ended has emptied the register
        if bool(word & EXTENDED_DATA) != self._settings.extended:
            raise self.error("gives its temperature in the other format: did its power fail?", Quality.POWER_LOST)
        bits = 13 if self._settings.extended else 12
        code = signed(word, 16) >> (16 - bits)
        celsius = code * STEP_C
        if not LOW_C - 5 <= celsius <= HIGH_C + 5:
            raise self.error(f"gives {celsius} °C, outside of what it can measure", Quality.OUT_OF_RANGE)
        quality = Quality.CLIPPED if bits == 12 and code == 0x7FF else Quality.GOOD
        return [Reading("temperature", celsius, "Cel", decimals=2, quality=quality)]

    def close(self) -> None:
        """See `Driver`. After one shot the chip sleeps by itself."""
        self.disconnect()

    def _check_like(self, config: int) -> None:
        if not _like_a_tmp102(config):
            what = f"is no TMP102: its configuration is 0x{config:04x}; check kind and address"
            raise self.error(what, Quality.WRONG_CHIP)

    def _ready(self) -> bool:
        found = self.word(CONFIG)
        self._check_like(found)
        if found & ~ONE_SHOT & ~ALERT != self._config:
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        return bool(found & ONE_SHOT)


def _like_a_tmp102(config: int) -> bool:
    return config & (TWELVE_BITS | ALWAYS_ZERO) == TWELVE_BITS


def _identify(bus: I2cBus, address: int) -> bool:
    """Whether limits and configuration are a TMP102's; an LM75 has the same limits, an INA226 may have the rest."""
    # The limits first: reading the others clears flags of a TMP117.
    limits = [bus.write_read(address, bytes((register,)), 2) for register in (LOW_LIMIT, HIGH_LIMIT)]
    if limits != [b"\x4b\x00", b"\x50\x00"]:
        return False
    return _like_a_tmp102(int.from_bytes(bus.write_read(address, bytes((CONFIG,)), 2), "big"))


KIND = DriverKind(
    title="Texas Instruments TMP102: temperature",
    settings=Tmp102Settings,
    build=Tmp102,
    families=("i2c",),
    quantities=(
        Quantity("temperature", "Cel", LOW_C, HIGH_C, "±2 °C from -25 °C to 85 °C, ±3 °C from -40 °C to 125 °C"),
    ),
    addresses=(0x48, 0x49, 0x4A, 0x4B),
    identify=_identify,
)
"""Accuracy: Table "Electrical Characteristics", greatest errors."""
