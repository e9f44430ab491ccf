"""An ADS1115 at register level.

Source: Texas Instruments, ADS111x data sheet, SBAS444D (January 2018): sections "Config Register", "Data Format",
"Single-Shot Mode".
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings, WordChip

CONVERSION, CONFIG, LO_THRESH, HI_THRESH = 0, 1, 2, 3
RESET_CONFIG = 0x8583
MUX = ((0, 1), (0, 3), (1, 3), (2, 3), (0, None), (1, None), (2, None), (3, None))
FULL_SCALE_V = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256)
RATES_HZ = (8.0, 16.0, 32.0, 64.0, 128.0, 250.0, 475.0, 860.0)
SHARES = (1.0, 0.5, 0.25, 0.125)
"""What of the signal `volt` each input sees: a chain of equal dividers."""
LM75_LIMITS = {LO_THRESH: 0x4B00, HI_THRESH: 0x5000}


class Ads1115Chip(WordChip):
    """An ADS1115 whose inputs see the signal `volt`, a half, a quarter and an eighth of it.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self.words = {CONVERSION: 0, CONFIG: RESET_CONFIG & 0x7FFF, LO_THRESH: 0x8000, HI_THRESH: 0x7FFF}
        self._due_s: float | None = None

    def set(self, register: int, value: int) -> None:
        """See `WordChip`."""
        self._advance()
        register &= 3
        if register == CONVERSION:
            return
        self.words[register] = value & 0x7FFF if register == CONFIG else value
        if register != CONFIG:
            return
        single = bool(value & 0x0100)
        if not single or (value & 0x8000 and self._due_s is None):
            self._due_s = self.around.clock() + self._conversion_s()

    def get(self, register: int) -> int:
        """See `WordChip`."""
        self._advance()
        register &= 3
        if self.fault is Fault.WRONG_IDENTITY:  # an LM75 keeps eight bits of the setting
            return LM75_LIMITS.get(register, self.words[register] & 0xFF00)
        if register == CONFIG and self._due_s is None:
            return self.words[CONFIG] | 0x8000
        return self.words[register]

    def _conversion_s(self) -> float:
        return self.takes(1.0 / RATES_HZ[self.words[CONFIG] >> 5 & 7])

    def _advance(self) -> None:
        if self._due_s is None or self.around.clock() < self._due_s:
            return
        self.words[CONVERSION] = self._code() & 0xFFFF
        single = bool(self.words[CONFIG] & 0x0100)
        self._due_s = None if single else self.around.clock() + self._conversion_s()

    def _code(self) -> int:
        if self.fault is Fault.OUT_OF_RANGE:
            return -0x8000
        high, low = MUX[self.words[CONFIG] >> 12 & 7]
        volt = self.around.signal("volt") * (SHARES[high] - (SHARES[low] if low is not None else 0.0))
        exact = volt / FULL_SCALE_V[self.words[CONFIG] >> 9 & 7] * 32768.0
        if self.around.noise:
            exact += self._random.gauss(0.0, 0.3 * self.around.noise)
        return min(max(round(exact), -0x8000), 0x7FFF)


MODEL = Model(Ads1115Chip, address=0x48)
