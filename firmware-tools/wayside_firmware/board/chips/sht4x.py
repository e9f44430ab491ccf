"""An SHT4x: what its bus sees, with the time that its measurements take.

Source: Sensirion, Datasheet SHT4x: table of I2C commands, timing table (typical times), "Conversion of Signal
Output", "Heater Operation".
"""

import math
import random

from wayside_firmware.board.chip import Fault, Model, Surroundings
from wayside_firmware.board.commands import CommandChip, share

MEASURE = {0xFD: (0.0069, 0.02, 0.04), 0xF6: (0.0037, 0.03, 0.07), 0xE0: (0.0013, 0.06, 0.10)}
"""Typical time in seconds; repeatability as one standard deviation's third, of humidity in % and temperature in °C."""
HEAT = {0x39: (1.0, 60.0), 0x32: (0.1, 30.0), 0x2F: (1.0, 33.0), 0x24: (0.1, 16.0), 0x1E: (1.0, 6.0), 0x15: (0.1, 3.0)}
"""Seconds, and about how many kelvin that makes."""
SERIAL, RESET = 0x89, 0x94
COOLING_S = 8.0


class Sht4xChip(CommandChip):
    """An SHT4x in some air."""

    width = 1

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self._hot = (0.0, 0.0)

    def command(self, command: int, arguments: list[int]) -> None:
        """See `CommandChip`."""
        if command in MEASURE:
            self._measure(*MEASURE[command])
        elif command in HEAT:
            seconds, kelvin = HEAT[command]
            self._hot = (self.around.clock() + seconds, kelvin)
            self._measure(seconds, 0.02, 0.04)
        elif command == SERIAL and self.fault is not Fault.WRONG_IDENTITY:
            self.answer(0x0EF1, self.around.seed & 0xFFFF)
        elif command == RESET:
            self.busy(0.0005)

    def power_cycle(self) -> None:
        """See `CommandChip`."""
        super().power_cycle()
        self._hot = (0.0, 0.0)

    def _measure(self, seconds: float, percent: float, celsius: float) -> None:
        state = self.around.state()
        heat = self._heat()
        noise = self.around.noise
        warm = state.celsius + heat + noise * self._random.gauss(0.0, celsius / 3)
        # Warmer air at the same content of water: about half the relative humidity for each 11 K.
        damp = state.percent * 2 ** (-heat / 11.0) + noise * self._random.gauss(0.0, percent / 3)
        raw_t, raw_h = share(warm, -45.0, 175.0), share(damp, -6.0, 125.0)
        if self.fault is Fault.OUT_OF_RANGE:
            raw_t, raw_h = 0xFFFF, 0xFFFF
        self.answer(raw_t, raw_h, after_s=self.takes(seconds))

    def _heat(self) -> float:
        end_s, kelvin = self._hot
        since_s = max(self.around.clock() - end_s, 0.0)
        return kelvin * math.exp(-since_s / COOLING_S)


MODEL = Model(Sht4xChip, address=0x44)
