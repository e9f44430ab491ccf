"""A VEML7700 at register level.

Source: Vishay, VEML7700 data sheet, document 84286: tables of registers; application note 84323: resolution, and the
formula for bright light, which is turned round here.
"""

import random

from wayside_firmware.board.chip import Fault, Model, RegisterChip, Surroundings

CONFIG, LIGHT, WHITE, IDENTITY = 0x00, 0x04, 0x05, 0x07
GAINS = (1.0, 2.0, 0.125, 0.25)
TIMES_S = {0b1100: 0.025, 0b1000: 0.05, 0b0000: 0.1, 0b0001: 0.2, 0b0010: 0.4, 0b0011: 0.8}


class Veml7700Chip(RegisterChip):
    """A VEML7700 in the light of the signal `lux`.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self._words = dict.fromkeys(range(8), 0)
        self._words.update({CONFIG: 0x0001, IDENTITY: 0xC481})
        self._due_s: float | None = None

    def write(self, data: bytes) -> None:
        """See `I2cChip`; registers have 16 bits, low byte first."""
        self.advance()
        if data:
            self.pointer = data[0]
        if len(data) == 3 and self.pointer < LIGHT:
            self._words[self.pointer] = data[1] | data[2] << 8
            if self.pointer == CONFIG:
                self._due_s = None if data[1] & 1 else self.around.clock() + self._integration_s()

    def read(self, count: int) -> bytes:
        """See `I2cChip`."""
        self.advance()
        word = self._words.get(self.pointer, 0)
        if self.pointer == IDENTITY and self.fault is Fault.WRONG_IDENTITY:  # a VEML6075
            word = 0x0026
        return (word.to_bytes(2, "little") * count)[:count]

    def advance(self) -> None:
        """See `RegisterChip`."""
        if self._due_s is None or self.around.clock() < self._due_s:
            return
        gain = GAINS[self._words[CONFIG] >> 11 & 3]
        per_count = 0.0042 * 0.8 / TIMES_S[self._words[CONFIG] >> 6 & 15] * 2.0 / gain
        exact = given(self.around.signal("lux")) / per_count + self._random.gauss(0.0, 0.7) * self.around.noise
        if self.fault is Fault.OUT_OF_RANGE:
            exact = 1e6
        self._words[LIGHT] = min(max(round(exact), 0), 0xFFFF)
        self._words[WHITE] = min(2 * self._words[LIGHT], 0xFFFF)
        self._due_s = self.around.clock() + self._integration_s()

    def _integration_s(self) -> float:
        return self.takes(TIMES_S.get(self._words[CONFIG] >> 6 & 15, 0.1))


def given(lux: float) -> float:
    """What the chip gives, in lx, for `lux` of light: less than there is."""
    low, high = 0.0, max(lux, 0.0)
    for _ in range(60):
        middle = (low + high) / 2
        if 6.0135e-13 * middle**4 - 9.3924e-9 * middle**3 + 8.1488e-5 * middle**2 + 1.0023 * middle < lux:
            low = middle
        else:
            high = middle
    return (low + high) / 2


MODEL = Model(Veml7700Chip, address=0x10)
