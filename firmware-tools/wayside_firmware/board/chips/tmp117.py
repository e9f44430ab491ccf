"""A TMP117 at register level.

Source: Texas Instruments, TMP117 data sheet, SNOSD82D (September 2022): section "Register Map"; typical conversion time
15.5 ms.
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings, WordChip

RESULT, CONFIG, OFFSET, DEVICE_ID = 0x00, 0x01, 0x07, 0x0F
AVERAGES = (1, 8, 32, 64)
CYCLES_S = (0.0155, 0.125, 0.25, 0.5, 1.0, 4.0, 8.0, 16.0)
READY, BUSY = 0x2000, 0x1000
LOAD_S = 0.0015
"""Time to load from the EEPROM after power-on and reset."""


class Tmp117Chip(WordChip):
    """A TMP117 in some air.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self.writing_eeprom = False
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self.words = {RESULT: 0x8000, CONFIG: 0x0220, 2: 0x6000, 3: 0x8000, OFFSET: 0, DEVICE_ID: 0x0117}
        self._flags = 0
        self._loaded_s = self.around.clock() + LOAD_S
        self._due_s: float | None = self._loaded_s + self._conversion_s()

    def set(self, register: int, value: int) -> None:
        """See `WordChip`."""
        self._advance()
        if register == CONFIG and value & 2:
            self.power_cycle()
        elif register == CONFIG:
            self.words[CONFIG] = value & 0x0FFC
            shut_down = value >> 10 & 3 == 1
            self._due_s = None if shut_down else self.around.clock() + self._conversion_s()
        elif register in (2, 3, OFFSET):
            self.words[register] = value

    def get(self, register: int) -> int:
        """See `WordChip`."""
        self._advance()
        if register == DEVICE_ID and self.fault is Fault.WRONG_IDENTITY:
            return 0x0000
        if register not in (CONFIG, RESULT):
            return self.words.get(register, 0)
        flags, self._flags = self._flags, 0
        if register == RESULT:
            return self.words[RESULT]
        busy = BUSY if self.writing_eeprom or self.around.clock() < self._loaded_s else 0
        return self.words[CONFIG] | flags | busy

    def _conversion_s(self) -> float:
        return self.takes(0.0155 * AVERAGES[self.words[CONFIG] >> 5 & 3])

    def _advance(self) -> None:
        if self._due_s is None or self.around.clock() < self._due_s:
            return
        times = AVERAGES[self.words[CONFIG] >> 5 & 3]
        celsius = self.around.state().celsius + self._random.gauss(0.0, 0.0078) * self.around.noise / times**0.5
        if self.fault is Fault.OUT_OF_RANGE:
            celsius = 255.0
        offset = self.words[OFFSET] - (0x10000 if self.words[OFFSET] & 0x8000 else 0)
        self.words[RESULT] = min(max(round(celsius * 128) + offset, -0x7FFF), 0x7FFF) & 0xFFFF
        self._flags = READY
        if self.words[CONFIG] >> 10 & 3 == 3:
            self.words[CONFIG] = self.words[CONFIG] & ~0x0C00 | 0x0400
            self._due_s = None
        else:
            cycle_s = CYCLES_S[self.words[CONFIG] >> 7 & 7]
            self._due_s = self.around.clock() + max(self.takes(cycle_s), self._conversion_s())


MODEL = Model(Tmp117Chip, address=0x48)
