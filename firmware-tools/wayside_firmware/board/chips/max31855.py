"""A MAX31855 and its thermocouple, which is as linear as the chip takes it to be.

Source: Maxim Integrated, MAX31855 data sheet, 19-5793, revision 5 (January 2015): Tables 2 to 5, Electrical
Characteristics. The tip is at the signal `probe_celsius`, the chip in the air.
"""

import random
from enum import Enum

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings

CONVERSION_S = 0.07
NOISE_C = 0.1


class Wiring(Enum):
    """The thermocouple's, with the fault bit that it sets."""

    GOOD = 0
    OPEN = 1
    TO_GROUND = 2
    TO_SUPPLY = 4


class Max31855Chip:
    """A MAX31855 on SPI.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self.wiring = Wiring.GOOD
        self._around = around
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment: it converts anew."""
        self._due_s = self._around.clock()
        self._frame = b""

    def transfer(self, data: bytes) -> bytes:
        """Give the frame of the last conversion; what is sent does not matter."""
        now_s = self._around.clock()
        if now_s >= self._due_s:
            self._frame = self._convert().to_bytes(4, "big")
            self._due_s = now_s + CONVERSION_S * (SLOWNESS if self.fault is Fault.SLOW else 1.0)
        return self._frame[: len(data)].ljust(len(data), b"\x00")

    def _convert(self) -> int:
        """Another chip in its place fills the reserved bits; a code out of range is an open thermocouple."""
        wiring = Wiring.OPEN if self.fault is Fault.OUT_OF_RANGE else self.wiring
        tip = self._around.signal("probe_celsius") + self._around.noise * self._random.gauss(0.0, NOISE_C)
        steps = 0x1FFF if wiring is not Wiring.GOOD else min(max(round(tip * 4), -0x2000), 0x1FFF)
        own = min(max(round(self._around.state().celsius * 16), -55 * 16), 127 * 16)
        frame = (steps & 0x3FFF) << 18 | (own & 0xFFF) << 4 | wiring.value
        if wiring is not Wiring.GOOD:
            frame |= 1 << 16
        return frame | 0x00020008 if self.fault is Fault.WRONG_IDENTITY else frame


MODEL = Model(Max31855Chip, spi=True)
