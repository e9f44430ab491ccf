"""An INA226 at register level.

Source: Texas Instruments, INA226 data sheet, SBOS547B (September 2024): section "Register Maps"; typical conversion
times of the Table "Electrical Characteristics".
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings, WordChip

CONFIG, SHUNT, BUS, POWER, CURRENT, CALIBRATION, MASK, LIMIT = range(8)
AVERAGES = (1, 4, 16, 64, 128, 256, 512, 1024)
TIMES_S = (140e-6, 204e-6, 332e-6, 588e-6, 1.1e-3, 2.116e-3, 4.156e-3, 8.244e-3)
READY, OVERFLOW, ALERT = 0x08, 0x04, 0x10


class Ina226Chip(WordChip):
    """An INA226 that sees the signals `ampere` through its shunt and `bus_volt` behind it.

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
        self.words = {CONFIG: 0x4127, MASK: 0, 0xFE: 0x5449, 0xFF: 0x2260}
        self._flags = 0
        self._due_s: float | None = self.around.clock() + self._conversion_s()

    def set(self, register: int, value: int) -> None:
        """See `WordChip`."""
        self._advance()
        if register == CONFIG and value & 0x8000:
            self.power_cycle()
        elif register == CONFIG:
            self.words[CONFIG] = value & 0x0FFF | 0x4000
            if value & 3:
                self._flags &= ~READY
            self._due_s = self.around.clock() + self._conversion_s() if value & 3 else None
        elif register == MASK:
            self.words[MASK] = value & 0xFC03
        elif register in (CALIBRATION, LIMIT):
            self.words[register] = value & (0x7FFF if register == CALIBRATION else 0xFFFF)

    def get(self, register: int) -> int:
        """See `WordChip`."""
        self._advance()
        if self.fault is Fault.WRONG_IDENTITY and register in (0xFE, 0xFF):  # an INA219 has none
            return 0xFFFF
        if register != MASK:
            return self.words.get(register, 0)
        value = self.words[MASK] | self._flags
        self._flags &= ~READY
        if value & 1:
            self._flags &= ~ALERT
        return value

    def _conversion_s(self) -> float:
        config = self.words[CONFIG]
        total_s = TIMES_S[config >> 3 & 7] * (config & 1) + TIMES_S[config >> 6 & 7] * (config >> 1 & 1)
        return self.takes(total_s * AVERAGES[config >> 9 & 7])

    def _advance(self) -> None:
        if self._due_s is None or self.around.clock() < self._due_s:
            return
        self._convert()
        self._due_s = self.around.clock() + self._conversion_s() if self.words[CONFIG] & 4 else None

    def _convert(self) -> None:
        config = self.words[CONFIG]
        rms = 4.0 * self.around.noise / AVERAGES[config >> 9 & 7] ** 0.5
        if config & 1:
            exact = self.around.signal("ampere") * self._shunt_ohm / 2.5e-6 + self._random.gauss(0.0, 1.0) * rms
            self.words[SHUNT] = min(max(round(exact), -0x8000), 0x7FFF) & 0xFFFF
        if config & 2:
            exact = self.around.signal("bus_volt") / 1.25e-3 + self._random.gauss(0.0, 0.2) * rms
            self.words[BUS] = 0xFFFF if self.fault is Fault.OUT_OF_RANGE else min(max(round(exact), 0), 0x7FFF)
        shunt = _signed(self.words.get(SHUNT, 0))
        current = int(shunt * self.words.get(CALIBRATION, 0) / 2048)
        power = int(abs(current) * self.words.get(BUS, 0) / 20000)
        overflow = not -0x8000 <= current <= 0x7FFF or power > 0xFFFF
        self.words[CURRENT], self.words[POWER] = current & 0xFFFF, power & 0xFFFF
        alert = ALERT if self._passed(shunt, power) else self._flags & ALERT * (self.words[MASK] & 1)
        self._flags = READY | OVERFLOW * overflow | alert

    def _passed(self, shunt: int, power: int) -> bool:
        limit, mask = self.words.get(LIMIT, 0), self.words[MASK]
        bus = self.words.get(BUS, 0)
        tests = (
            (0x8000, shunt > _signed(limit)),
            (0x4000, shunt < _signed(limit)),
            (0x2000, bus > limit),
            (0x1000, bus < limit),
            (0x0800, power > limit),
        )
        return any(mask & bit and passed for bit, passed in tests)


def _signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word


MODEL = Model(Ina226Chip, address=0x40)
