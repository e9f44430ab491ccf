"""The driver of the MAX6675.

Source: Maxim Integrated, MAX6675 data sheet, 19-2235, revision 2 (April 2014): Serial Interface with Figure 2 (frame),
Electrical Characteristics (conversion time, clock).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wayside_edge.hal.chip import SpiDriver
from wayside_edge.ports import BusProvider, DriverKind, Quantity, Reading, Steps
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

MODE = 0
MAX_SPEED_HZ = 4_300_000
CONVERSION_S = 0.22
DUMMY, OPEN, DEVICE_ID, FLOATING = 0x8000, 0x0004, 0x0002, 0x0001
"""The sign that is always 0, the open thermocouple, the identity that is always 0, and the bit that nothing drives."""
TOP = 0xFFF
SIXTEEN = 0xFFFF
OTHERS_RESERVED, OTHERS_FAULT, OTHERS_FAULTS = 1 << 17 | 1 << 3, 1 << 16, 0b111
"""A MAX31855 goes on after 16 bits with its cold junction and these (Maxim 19-5793, Table 2)."""


@dataclass(frozen=True, slots=True)
class Max6675Settings:
    """Settings of a sensor of kind `max6675`."""

    chip_select: int = setting("Chip select on the SPI bus: Y of /dev/spidevX.Y.", 0, minimum=0, maximum=255)
    zero_is_valid: bool = setting(
        "Whether the tip can be at 0 °C or below; else that is taken for a missing chip.", False
    )


class Max6675(SpiDriver):
    """A MAX6675 on an SPI bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Max6675Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.chip_select, mode=MODE, max_speed_hz=MAX_SPEED_HZ)
        self._settings = settings

    def start(self) -> None:
        """See `Driver`. The chip has no identity but its frame's fixed bits, and that it ends after 16 of them."""
        self.connect()
        self._frame()

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Deselecting the chip begins a conversion: a first frame is taken for that alone, and the one
        0.22 s later is the measurement, however long ago the read before was."""
        self._frame()
        yield CONVERSION_S
        frame = self._frame()
        if frame & OPEN:
            raise self.error("has no thermocouple: it is open, or T- is not grounded", Quality.OPEN_CIRCUIT)
        steps = frame >> 3 & TOP
        quality = Quality.GOOD if 0 < steps < TOP else Quality.CLIPPED
        return [Reading("temperature", steps / 4, "Cel", decimals=2, quality=quality)]

    def close(self) -> None:
        """See `Driver`. The chip has nothing to switch off."""
        self.disconnect()

    def _frame(self) -> int:
        answer = self.transfer(bytes(4))
        # Nothing drives the wire then: what looks like the other chip by chance does not do so twice.
        if _of_a_max31855(answer) and _of_a_max31855(self.transfer(bytes(4))):
            raise self.error("goes on after 16 bits, as a MAX31855 does; set kind = max31855", Quality.WRONG_CHIP)
        frame = int.from_bytes(answer[:2], "big")
        if frame == 0xFFFF:
            raise self.error("does not answer: all bits are 1; check its power and wiring", Quality.ABSENT)
        if not frame & ~FLOATING and not self._settings.zero_is_valid:
            what = "gives 0 °C, as a missing one does; check its power and wiring, or set zero_is_valid"
            raise self.error(what, Quality.ABSENT)
        if frame & (DUMMY | DEVICE_ID):
            what = f"gives 0x{frame:04x}, which is no frame of a MAX6675; check the chip and shorten the wires"
            raise self.error(what, Quality.CHECKSUM)
        return frame


def _of_a_max31855(answer: bytes) -> bool:
    frame = int.from_bytes(answer, "big")
    whole = not frame & OTHERS_RESERVED and bool(frame & OTHERS_FAULT) == bool(frame & OTHERS_FAULTS)
    return whole and bool(frame & SIXTEEN)


KIND = DriverKind(
    title="Maxim MAX6675: type K thermocouple",
    settings=Max6675Settings,
    build=Max6675,
    families=("spi",),
    quantities=(Quantity("temperature", "Cel", 0.0, 1023.75, "±2 °C from 0 °C to 700 °C"),),
)
"""Accuracy: data sheet, General Description: 8 LSB."""
