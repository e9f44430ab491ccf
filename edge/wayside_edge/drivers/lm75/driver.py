"""The driver of the LM75 and its kin.

Source: NXP, LM75B data sheet, Rev. 6.1 (February 2015): sections "Register list", "Configuration register",
"Temperature register", "Overtemperature shutdown threshold (Tos) and hysteresis (Thyst) registers". Texas Instruments,
LM75A (SNOS808) and TMP75 (SBOS288) data sheets: longest conversion times of 0.3 s and 0.32 s; resolution bits of the
TMP75's configuration register.
"""

from collections.abc import Sequence

from wayside_edge.drivers.lm75.settings import ADDRESSES, Lm75Settings
from wayside_edge.hal.chip import I2cDriver, decimals_of, signed
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

TEMPERATURE, CONFIG, HYSTERESIS, LIMIT = 0, 1, 2, 3
MARK = 0x08
"""The alarm waits for two faults, not one: is 0 after power-on, so a chip that was reset shows."""
TWELVE_BITS = 0x60
"""R1 and R0 of TMP75 and DS75; others have these bits at 0."""
UNUSED = 0x000F
"""Bits of temperature and limits that none of the family has: always 0."""
LONGEST_S = 0.32
LOW_C, HIGH_C = -55.0, 125.0


class Lm75(I2cDriver):
    """An LM75 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Lm75Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings
        self._config = MARK | (TWELVE_BITS if settings.bits == 12 else 0)

    def start(self) -> Steps[None]:
        """See `Driver`. The chip has no identity: bits that it lacks must be 0, and it must keep a setting."""
        self.connect()
        words = [self.word(register) for register in (TEMPERATURE, HYSTERESIS, LIMIT)]
        if any(word & UNUSED for word in words):
            found = ", ".join(f"0x{word:04x}" for word in words)
            raise self.error(f"is no LM75: its registers hold {found}; check kind and address", Quality.WRONG_CHIP)
        self.put(CONFIG, bytes((self._config,)))
        kept = self.get(CONFIG, 1)[0]
        if kept != self._config:
            what = f"is no LM75 of {self._settings.bits} bits: keeps 0x{kept:02x} where 0x{self._config:02x} was set"
            raise self.error(what, Quality.WRONG_CHIP)
        yield LONGEST_S

    def read(self) -> Sequence[Reading]:
        """See `Driver`. The chip measures all the time."""
        word = self.word(TEMPERATURE)
        if self.get(CONFIG, 1)[0] != self._config:
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        celsius = (signed(word, 16) >> (16 - self._settings.bits)) * self._settings.step_c
        if not LOW_C - 5 <= celsius <= HIGH_C + 2.9375:  # the family ends at 127.9375 °C
            raise self.error(f"gives {celsius} °C, outside of what it can measure", Quality.OUT_OF_RANGE)
        return [Reading("temperature", celsius, "Cel", decimals=decimals_of(self._settings.step_c))]

    def close(self) -> None:
        """See `Driver`. It goes on measuring, as after power-on."""
        self.disconnect()


def _identify(bus: I2cBus, address: int) -> bool:
    """Whether limits and configuration are as an LM75 has them after power-on, or as this driver leaves them."""
    # The limits first: reading the others clears flags of a TMP117.
    limits = [bus.write_read(address, bytes((register,)), 2) for register in (HYSTERESIS, LIMIT)]
    if limits != [b"\x4b\x00", b"\x50\x00"]:
        return False
    config = bus.write_read(address, bytes((CONFIG,)), 1)[0]
    temperature = bus.write_read(address, bytes((TEMPERATURE,)), 2)
    return config in (0, MARK, MARK | TWELVE_BITS) and not temperature[1] & UNUSED


KIND = DriverKind(
    title="LM75, LM75A, LM75B, PCT2075, TMP75, DS75: temperature",
    settings=Lm75Settings,
    build=Lm75,
    families=("i2c",),
    quantities=(Quantity("temperature", "Cel", LOW_C, HIGH_C, "±2 °C from -25 °C to 100 °C, ±3 °C elsewhere"),),
    addresses=ADDRESSES,
    identify=_identify,
)
"""Accuracy: LM75B data sheet, Table "Temp-to-digital converter static characteristics"."""
