"""The driver of the MAX31855.

Source: Maxim Integrated, MAX31855 data sheet, 19-5793, revision 5 (January 2015): Tables 2 to 5 (frame and formats),
Electrical Characteristics (conversion time), Serial-Interface Timing Characteristics (5 MHz), Table 1 (types).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wayside_edge.hal.chip import SpiDriver, signed
from wayside_edge.ports import BusProvider, DriverKind, Quantity, Reading, Steps
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

MODE = 0
MAX_SPEED_HZ = 5_000_000
CONVERSION_S = 0.1
"""Longest conversion; the chip makes one after the other while it is not selected."""
STARTUP_S = 0.2
"""From power-on to the first conversion."""
RESERVED, FAULT = 1 << 17 | 1 << 3, 1 << 16
FAULTS = 0b111
"""Short to VCC, short to ground, open circuit (Table 3); the fault bit is their sum."""
ALL_ONES = 0xFFFFFFFF
JUNCTION_HALF, SIGN = 0xFFFF, 1 << 31
"""A MAX6675 has no second half, and no sign: its frame reads as twice the temperature, with a cold junction at 0 °C."""
NEAR_ZERO_C = 1.0
"""A cold junction that was within this of 0 °C may be at 0.0000 °C next time."""
MIN_C, MAX_C = -270.0, 1800.0
MIN_JUNCTION_C, MAX_JUNCTION_C = -55.0, 127.0
"""Table 5: what the chip can say of itself."""


@dataclass(frozen=True, slots=True)
class Max31855Settings:
    """Settings of a sensor of kind `max31855`."""

    chip_select: int = setting("Chip select on the SPI bus: Y of /dev/spidevX.Y.", 0, minimum=0, maximum=255)


class Max31855(SpiDriver):
    """A MAX31855 on an SPI bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Max31855Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.chip_select, mode=MODE, max_speed_hz=MAX_SPEED_HZ)
        self._near_zero = False

    def start(self) -> Steps[None]:
        """See `Driver`. The chip has no identity: its frame's fixed bits tell it."""
        self.connect()
        self._near_zero = False
        self._frame()
        yield STARTUP_S

    def read(self) -> Sequence[Reading]:
        """See `Driver`. Gives what the chip converted last; a thermocouple that is broken leaves the cold junction."""
        frame = self._frame()
        junction = _junction(frame)
        if not MIN_JUNCTION_C <= junction <= MAX_JUNCTION_C:
            raise self.error(f"gives {junction} °C for itself, which it cannot have", Quality.OUT_OF_RANGE)
        return [_thermocouple(frame), Reading("cold_junction", junction, "Cel", decimals=4)]

    def close(self) -> None:
        """See `Driver`. The chip has nothing to switch off."""
        self.disconnect()

    def _frame(self) -> int:
        frame = int.from_bytes(self.transfer(bytes(4)), "big")
        if frame in (0, ALL_ONES):  # all zero would be 0.00 °C at both ends of the wire, to the last bit
            raise self.error(f"does not answer: all bits are {frame & 1}; check its power and wiring", Quality.ABSENT)
        if frame & RESERVED or bool(frame & FAULT) != bool(frame & FAULTS):
            what = f"gives 0x{frame:08x}, which is no frame of a MAX31855; check the chip and shorten the wires"
            raise self.error(what, Quality.CHECKSUM)
        if not frame & (JUNCTION_HALF | SIGN) and not self._near_zero:
            what = "sends half a frame, as a MAX6675 does, or is itself at 0.0000 °C all at once; check kind"
            raise self.error(what, Quality.WRONG_CHIP)
        self._near_zero = abs(_junction(frame)) <= NEAR_ZERO_C
        return frame


def _junction(frame: int) -> float:
    return signed(frame >> 4, 12) / 16


def _thermocouple(frame: int) -> Reading:
    celsius = signed(frame >> 18, 14) / 4
    if frame & FAULTS:
        return Reading("temperature", None, "Cel", quality=Quality.OPEN_CIRCUIT)
    if not MIN_C <= celsius <= MAX_C:
        return Reading("temperature", None, "Cel", quality=Quality.OUT_OF_RANGE)
    return Reading("temperature", celsius, "Cel", decimals=2)


KIND = DriverKind(
    title="Maxim MAX31855: thermocouple and cold junction",
    settings=Max31855Settings,
    build=Max31855,
    families=("spi",),
    quantities=(
        Quantity("temperature", "Cel", MIN_C, MAX_C, "±2 °C from -200 °C to 700 °C (type K), ±4 °C to 1350 °C"),
        Quantity("cold_junction", "Cel", MIN_JUNCTION_C, MAX_JUNCTION_C, "±2 °C from -20 °C to 85 °C"),
    ),
)
"""Accuracies: data sheet, Thermal Characteristics."""
