"""An INA219 at register level.

Source: Texas Instruments, INA219 data sheet, SBOS448G (December 2015): section "Register Maps"; typical conversion
times of the Table "ADC Settings".
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings, WordChip

CONFIG, SHUNT, BUS, POWER, CURRENT, CALIBRATION = range(6)
SINGLE_S = (84e-6, 148e-6, 276e-6, 532e-6)


class Ina219Chip(WordChip):
    """An INA219 that sees the signals `ampere` through its shunt and `bus_volt` behind it.

    Args:
        around: what it measures, and the clocks.
        shunt_ohm: what is soldered to it.
    """

    def __init__(self, around: Surroundings, shunt_ohm: float = 0.1) -> None:
        super().__init__(around)
        self._shunt_ohm = shunt_ohm
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self.words = {CONFIG: 0x399F, SHUNT: 0, BUS: 0, POWER: 0, CURRENT: 0, CALIBRATION: 0}
        self._due_s: float | None = self.around.clock() + self._conversion_s()

    def set(self, register: int, value: int) -> None:
        """See `WordChip`."""
        self._advance()
        if register == CONFIG and value & 0x8000:
            self.power_cycle()
        elif register == CONFIG:
            self.words[CONFIG] = value & 0x3FFF
            if value & 3:  # power-down and ADC off leave the flag
                self.words[BUS] &= ~2
            self._due_s = self.around.clock() + self._conversion_s() if value & 3 else None
        elif register == CALIBRATION:
            self.words[CALIBRATION] = value & 0xFFFE
            self._multiply()

    def get(self, register: int) -> int:
        """See `WordChip`."""
        self._advance()
        if self.fault is Fault.WRONG_IDENTITY and register == CONFIG:  # an INA226
            return 0x4127
        value = self.words.get(register, 0)
        if register == POWER:
            self.words[BUS] &= ~2
        return value

    def _conversion_s(self) -> float:
        config = self.words[CONFIG]
        total_s = 0.0
        for bit, code in ((1, config >> 3 & 15), (2, config >> 7 & 15)):
            if config & bit:
                total_s += SINGLE_S[3] * (1 << (code & 7)) if code & 8 else SINGLE_S[code & 3]
        return self.takes(total_s)

    def _advance(self) -> None:
        if self._due_s is None or self.around.clock() < self._due_s:
            return
        self._convert()
        self._due_s = self.around.clock() + self._conversion_s() if self.words[CONFIG] & 4 else None

    def _convert(self) -> None:
        config, noise = self.words[CONFIG], self.around.noise
        if config & 1:
            most = 4000 << (config >> 11 & 3)
            exact = self.around.signal("ampere") * self._shunt_ohm / 10e-6 + self._random.gauss(0.0, 0.5) * noise
            self.words[SHUNT] = min(max(round(exact), -most), most) & 0xFFFF
        if config & 2:
            most = 8000 if config & 0x2000 else 4000
            exact = self.around.signal("bus_volt") / 4e-3 + self._random.gauss(0.0, 0.3) * noise
            code = 0x1FFF if self.fault is Fault.OUT_OF_RANGE else min(max(round(exact), 0), most)
            self.words[BUS] = code << 3
        self.words[BUS] |= 2
        self._multiply()

    def _multiply(self) -> None:
        """Current and power from what was converted (equations 4 and 5)."""
        shunt = self.words[SHUNT] - (0x10000 if self.words[SHUNT] & 0x8000 else 0)
        current = int(shunt * self.words[CALIBRATION] / 4096)
        power = int(abs(current) * (self.words[BUS] >> 3) / 5000)
        overflow = not -0x8000 <= current <= 0x7FFF or power > 0xFFFF
        self.words[CURRENT], self.words[POWER] = current & 0xFFFF, power & 0xFFFF
        self.words[BUS] = self.words[BUS] & ~1 | overflow


MODEL = Model(Ina219Chip, address=0x40)
