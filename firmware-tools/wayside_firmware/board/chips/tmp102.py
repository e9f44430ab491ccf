"""A TMP102 at register level.

Source: Texas Instruments, TMP102 data sheet, SBOS397 (revision H, December 2018): section "Register Maps"; typical
conversion time 26 ms.
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings, WordChip

TEMPERATURE, CONFIG, LOW_LIMIT, HIGH_LIMIT = range(4)
CONVERSION_S = 0.026
PERIODS_S = (4.0, 1.0, 0.25, 0.125)
EXTENDED, SHUT_DOWN = 0x0010, 0x0100


class Tmp102Chip(WordChip):
    """A TMP102 in some air.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self.words = {TEMPERATURE: 0, CONFIG: 0x60A0, LOW_LIMIT: 0x4B00, HIGH_LIMIT: 0x5000}
        self._due_s: float | None = self.around.clock() + self.takes(CONVERSION_S)

    def set(self, register: int, value: int) -> None:
        """See `WordChip`."""
        self._advance()
        register &= 3
        if register in (LOW_LIMIT, HIGH_LIMIT):
            self.words[register] = value
        if register != CONFIG:
            return
        self.words[CONFIG] = value & 0x1FD0 | 0x6000 | self.words[CONFIG] & 0x0020
        running = not value & SHUT_DOWN or value & 0x8000
        self._due_s = self.around.clock() + self.takes(CONVERSION_S) if running else None

    def get(self, register: int) -> int:
        """See `WordChip`."""
        self._advance()
        register &= 3
        if register == CONFIG and self.fault is Fault.WRONG_IDENTITY:  # an ADS1115
            return 0x8583
        if register == CONFIG and self.words[CONFIG] & SHUT_DOWN and self._due_s is None:
            return self.words[CONFIG] | 0x8000
        return self.words[register]

    def _advance(self) -> None:
        if self._due_s is None or self.around.clock() < self._due_s:
            return
        config = self.words[CONFIG]
        celsius = self.around.state().celsius + self._random.gauss(0.0, 0.03) * self.around.noise
        if self.fault is Fault.OUT_OF_RANGE:
            celsius = -120.0
        most, shift, mark = (4095, 3, 1) if config & EXTENDED else (2047, 4, 0)
        code = min(max(round(celsius * 16), -most - 1), most)
        self.words[TEMPERATURE] = (code << shift | mark) & 0xFFFF
        shut_down = config & SHUT_DOWN
        self._due_s = None if shut_down else self.around.clock() + self.takes(PERIODS_S[config >> 6 & 3])


MODEL = Model(Tmp102Chip, address=0x48)
