"""An LM75B, and other members of its family, at register level.

Source: NXP, LM75B data sheet, Rev. 6.1 (February 2015): section "Register list"; typical conversion time 100 ms.
"""

import random

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings

TEMPERATURE, CONFIG, HYSTERESIS, LIMIT = range(4)
PERIOD_S = 0.1


class Lm75Chip:
    """An LM75 in some air.

    Args:
        around: what it measures, and the clocks.
        bits: that it measures: 9, 11 or 12.
    """

    def __init__(self, around: Surroundings, bits: int = 11) -> None:
        self.fault = Fault.NONE
        self._around = around
        self._bits = bits
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self._words = {TEMPERATURE: 0, HYSTERESIS: 0x4B00, LIMIT: 0x5000}
        self._config = 0
        self._pointer = 0
        self._due_s = self._around.clock() + self._period_s()

    def write(self, data: bytes) -> None:
        """Take a write: a pointer, then a register."""
        self._advance()
        if data:
            self._pointer = data[0] & 3
        if len(data) > 1 and self._pointer == CONFIG:
            self._config = data[1] & (0x7F if self._bits == 12 else 0x1F)
        elif len(data) > 2 and self._pointer in (HYSTERESIS, LIMIT):
            self._words[self._pointer] = (data[1] << 8 | data[2]) & 0xFF80

    def read(self, count: int) -> bytes:
        """Give the register pointed at, over and over."""
        self._advance()
        wrong = self.fault is Fault.WRONG_IDENTITY  # an ADS1115
        if self._pointer == CONFIG:
            return bytes((0x85 if wrong else self._config,)) * count
        word = 0x7FFF if wrong and self._pointer == LIMIT else self._words[self._pointer]
        return (word.to_bytes(2, "big") * count)[:count]

    def _period_s(self) -> float:
        return PERIOD_S * (SLOWNESS if self.fault is Fault.SLOW else 1.0)

    def _advance(self) -> None:
        if self._around.clock() < self._due_s or self._config & 1:
            return
        celsius = self._around.state().celsius + self._random.gauss(0.0, 0.06) * self._around.noise
        if self.fault is Fault.OUT_OF_RANGE:
            celsius = -120.0
        steps = 1 << (self._bits - 8)
        code = min(max(round(celsius * steps), -128 * steps), 128 * steps - 1)
        self._words[TEMPERATURE] = (code << (16 - self._bits)) & 0xFFFF
        self._due_s = self._around.clock() + self._period_s()


MODEL = Model(Lm75Chip, address=0x48)
