"""A BH1750 at the level of its instructions.

Source: ROHM, BH1750FVI Technical Note, No. 11046EDT01, Rev. D (November 2011): "Instruction Set Architecture"; typical
measurement times of "Electrical Characteristics".
"""

import random

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings


class Bh1750Chip:
    """A BH1750 in the light of the signal `lux`.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self._around = around
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self._awake = False
        self._counts = 0
        self._time = 69
        self._mode = 0
        self._due_s: float | None = None

    def write(self, data: bytes) -> None:
        """Take instructions."""
        self._advance()
        for instruction in data:
            self._take(instruction)

    def read(self, count: int) -> bytes:
        """Give the result of the last measurement."""
        self._advance()
        if self.fault is Fault.WRONG_IDENTITY:
            return bytes((0x80,)) * count
        return self._counts.to_bytes(2, "big")[:count].ljust(count, b"\xff")

    def _take(self, instruction: int) -> None:
        if instruction in (0x00, 0x01):
            self._awake, self._due_s = bool(instruction), None
        elif instruction == 0x07 and self._awake:
            self._counts = 0
        elif instruction & 0xF8 == 0x40:
            self._time = (instruction & 7) << 5 | self._time & 0x1F
        elif instruction & 0xE0 == 0x60:
            self._time = self._time & 0xE0 | instruction & 0x1F
        elif instruction in (0x10, 0x11, 0x13, 0x20, 0x21, 0x23):
            self._awake, self._mode = True, instruction
            self._due_s = self._around.clock() + self._measurement_s()

    def _measurement_s(self) -> float:
        typical_s = 0.016 if self._mode & 3 == 3 else 0.120
        return typical_s * self._time / 69.0 * (SLOWNESS if self.fault is Fault.SLOW else 1.0)

    def _advance(self) -> None:
        if self._due_s is None or self._around.clock() < self._due_s:
            return
        sensitivity = 1.2 * self._time / 69.0 * (2.0 if self._mode & 3 == 1 else 1.0)
        exact = self._around.signal("lux") * sensitivity + self._random.gauss(0.0, 0.5) * self._around.noise
        if self.fault is Fault.OUT_OF_RANGE:
            exact = 1e6
        self._counts = min(max(round(exact), 0), 0xFFFF)
        if self._mode & 0x20:
            self._awake, self._due_s = False, None
        else:
            self._due_s = self._around.clock() + self._measurement_s()


MODEL = Model(Bh1750Chip, address=0x23)
