"""An SHT3x: what its bus sees, with the time that its measurements take.

Source: Sensirion, Datasheet SHT3x-DIS, version 5 (May 2018): Table 4 for the typical times, sections 4.3 to 4.13 for
commands, status and formulas.
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings
from wayside_firmware.board.commands import CommandChip, share

LEVELS = {"high": (0.0125, 0.1, 0.06), "medium": (0.0045, 0.15, 0.12), "low": (0.0025, 0.25, 0.24)}
"""Typical time in seconds; repeatability of humidity in % and of temperature in °C (Tables 1 and 2: three sigma)."""
SINGLE = {0x2400: "high", 0x240B: "medium", 0x2416: "low", 0x2C06: "high", 0x2C0D: "medium", 0x2C10: "low"}
RATES = {0x20: 0.5, 0x21: 1.0, 0x22: 2.0, 0x23: 4.0, 0x27: 10.0}
PERIODIC = {
    **dict.fromkeys((0x2032, 0x2130, 0x2236, 0x2334, 0x2737), "high"),
    **dict.fromkeys((0x2024, 0x2126, 0x2220, 0x2322, 0x2721), "medium"),
    **dict.fromkeys((0x202F, 0x212D, 0x222B, 0x2329, 0x272A), "low"),
}
BREAK, RESET, STATUS, CLEAR, FETCH, SERIAL = 0x3093, 0x30A2, 0xF32D, 0x3041, 0xE000, 0x3780
LIMITS = {0xE11F: 0xCD33, 0xE114: 0xC92D, 0xE109: 0x3869, 0xE102: 0x3466}
"""Reads of the limits of the alert, which stand as they were delivered (application note "SHT3x-DIS Alert Mode",
version 1): 80 % and 60 °C to set and 79 % and 58 °C to clear it, 22 % and -9 °C and 20 % and -10 °C below."""
HEATER = {0x306D: True, 0x3066: False}
POWER_ON_STATUS = 0x8010
HEATER_KELVIN = 4.0


class Sht3xChip(CommandChip):
    """An SHT3x in some air."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self._period_s: float | None = None
        self._power_on()

    def command(self, command: int, arguments: list[int]) -> None:
        """See `CommandChip`."""
        if command == BREAK:
            self._period_s = None
            self.busy(0.0008)
        elif self._period_s is None and command in SINGLE:
            self._answer_air(SINGLE[command], self.takes(LEVELS[SINGLE[command]][0]))
        elif command in PERIODIC:
            self._level, self._period_s = PERIODIC[command], self.takes(1.0 / RATES[command >> 8])
            self._due_s = self.around.clock() + self.takes(LEVELS[self._level][0])
        elif command == FETCH:
            self._fetch()
        else:
            self._manage(command)

    def power_cycle(self) -> None:
        """See `CommandChip`: all that was set is lost."""
        super().power_cycle()
        self._power_on()

    def _power_on(self) -> None:
        self._status = POWER_ON_STATUS
        self._period_s = None
        self._level = "high"
        self._due_s = 0.0

    def _manage(self, command: int) -> None:
        if command == STATUS and self.fault is not Fault.WRONG_IDENTITY:
            self.answer(self._status)
        elif command in LIMITS:
            self.answer(LIMITS[command])
        elif command == CLEAR:
            self._status &= ~0x8C10
        elif command in HEATER:
            self._status = self._status & ~0x2000 | (0x2000 if HEATER[command] else 0)
        elif command == RESET and self._period_s is None:
            self._power_on()
            self.busy(0.001)
        elif command == SERIAL and self._period_s is None and self.fault is not Fault.WRONG_IDENTITY:
            self.answer(0x1234, self.around.seed & 0xFFFF)

    def _fetch(self) -> None:
        now_s = self.around.clock()
        if self._period_s is None or now_s < self._due_s:
            return
        self._due_s += ((now_s - self._due_s) // self._period_s + 1) * self._period_s
        self._answer_air(self._level, 0.0)

    def _answer_air(self, level: str, after_s: float) -> None:
        _, percent, celsius = LEVELS[level]
        state, noise = self.around.state(), self.around.noise
        heat = HEATER_KELVIN if self._status & 0x2000 else 0.0
        raw_t = share(state.celsius + heat + noise * self._random.gauss(0.0, celsius / 3), -45.0, 175.0)
        raw_h = share(state.percent * 2 ** (-heat / 11.0) + noise * self._random.gauss(0.0, percent / 3), 0.0, 100.0)
        if self.fault is Fault.OUT_OF_RANGE:
            raw_t, raw_h = 0xFFFF, 0xFFFF
        self.answer(raw_t, raw_h, after_s=after_s)


MODEL = Model(Sht3xChip, address=0x44)
