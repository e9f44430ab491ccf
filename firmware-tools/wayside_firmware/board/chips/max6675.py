"""A MAX6675 and its thermocouple.

Source: Maxim Integrated, MAX6675 data sheet, 19-2235, revision 2 (April 2014): Serial Interface, Electrical
Characteristics. The tip is at the signal `probe_celsius`.
"""

import random

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings

CONVERSION_S = 0.17
NOISE_C = 0.15


class Max6675Chip:
    """A MAX6675 on SPI: it begins a conversion when it is deselected, and breaks it off when it is selected.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self.open = False
        self._around = around
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self._begun_s = self._around.clock() - CONVERSION_S
        self._frame = 0

    def transfer(self, data: bytes) -> bytes:
        """Give the frame of the last conversion that ended; what is sent does not matter."""
        now_s = self._around.clock()
        takes_s = CONVERSION_S * (SLOWNESS if self.fault is Fault.SLOW else 1.0)
        if now_s - self._begun_s >= takes_s:
            self._frame = self._convert(now_s - self._begun_s - takes_s)
        self._begun_s = now_s
        frame = self._frame | 0x0002 if self.fault is Fault.WRONG_IDENTITY else self._frame
        return frame.to_bytes(2, "big")[: len(data)].ljust(len(data), b"\x00")

    def _convert(self, ago_s: float) -> int:
        """One conversion, made `ago_s` before now; a code out of range is an open thermocouple."""
        if self.open or self.fault is Fault.OUT_OF_RANGE:
            return 0x7FFC
        tip = self._around.signal("probe_celsius", ago_s) + self._around.noise * self._random.gauss(0.0, NOISE_C)
        return min(max(round(tip * 4), 0), 0xFFF) << 3


MODEL = Model(Max6675Chip, spi=True)
