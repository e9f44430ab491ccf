"""An SGP40: what its bus sees, with the time that its measurements take.

Source: Sensirion, Datasheet SGP40, version 1.0 (July 2020): Tables 8 to 14. How fast the signal settles, and how far
humidity moves it, are plausible numbers, not the data sheet's.
"""

import math
import random

from wayside_firmware.board.chip import Fault, Model, Surroundings
from wayside_firmware.board.commands import CommandChip

FEATURES, SELF_TEST, MEASURE, HEATER_OFF, SERIAL = 0x202F, 0x280E, 0x260F, 0x3615, 0x3682
UNCOMPENSATED = [0x8000, 0x6666]
TICKS_PER_PERCENT = -25.0
WARMING_TICKS, WARMING_S = 4000.0, 12.0


class Sgp40Chip(CommandChip):
    """An SGP40 in some air."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self.broken = False
        """Whether its self-test fails."""
        self.hot_since_s: float | None = None
        """When its hot plate was turned on; None while it is off."""
        self._random = random.Random(around.seed)  # noqa: S311

    def power_cycle(self) -> None:
        """See `CommandChip`: its hot plate is off."""
        super().power_cycle()
        self.hot_since_s = None

    def command(self, command: int, arguments: list[int]) -> None:
        """See `CommandChip`."""
        if command == MEASURE and len(arguments) == 2:
            self._measure(arguments)
        elif command == SELF_TEST:
            self.answer(0x4B00 if self.broken else 0xD400, after_s=self.takes(0.250))
        elif command == HEATER_OFF:
            self.hot_since_s = None
        elif command == FEATURES:
            # In its place answers an SGP41.
            self.answer(0x0040 if self.fault is Fault.WRONG_IDENTITY else 0x3220, after_s=0.0005)
        elif command == SERIAL:
            self.answer(0, 0x0151, self.around.seed & 0xFFFF, after_s=0.0005)

    def _measure(self, arguments: list[int]) -> None:
        now_s = self.around.clock()
        if self.hot_since_s is None:
            self.hot_since_s = now_s
        ticks = self.around.signal("voc_ticks") + self.around.noise * self._random.gauss(0.0, 10.0)
        ticks += TICKS_PER_PERCENT * (self.around.state().percent - 50.0)
        if arguments != UNCOMPENSATED:
            ticks -= TICKS_PER_PERCENT * (arguments[0] * 100.0 / 65535 - 50.0)
        ticks -= WARMING_TICKS * math.exp(-(now_s - self.hot_since_s) / WARMING_S)
        raw = min(max(round(ticks), 0), 0xFFFF)
        self.answer(0xFFFF if self.fault is Fault.OUT_OF_RANGE else raw, after_s=self.takes(0.025))


MODEL = Model(Sgp40Chip, address=0x59)
