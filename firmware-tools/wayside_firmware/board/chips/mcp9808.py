"""An MCP9808 at register level.

Source: Microchip, MCP9808 data sheet, DS25095A (2011): chapter "Serial Communication", registers; typical conversion
times of the Table "Temperature Characteristics".
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings, WordChip

CONFIG, TEMPERATURE, MANUFACTURER, DEVICE, RESOLUTION = 0x01, 0x05, 0x06, 0x07, 0x08
TIMES_S = (0.030, 0.065, 0.130, 0.250)
LOCKS = 0x00C0


class Mcp9808Chip(WordChip):
    """An MCP9808 in some air.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self.words = {CONFIG: 0, TEMPERATURE: 0, MANUFACTURER: 0x0054, DEVICE: 0x0400, RESOLUTION: 3}
        self._due_s = self.around.clock() + self._conversion_s()

    def write(self, data: bytes) -> None:
        """See `I2cChip`; the resolution has eight bits."""
        if len(data) == 2 and data[0] == RESOLUTION:
            self._advance()
            self.words[RESOLUTION] = data[1] & 3
            self._due_s = self.around.clock() + self._conversion_s()
        super().write(data)

    def read(self, count: int) -> bytes:
        """See `I2cChip`."""
        if self.pointer == RESOLUTION:
            return bytes((self.words[RESOLUTION],)) * count
        return super().read(count)

    def set(self, register: int, value: int) -> None:
        """See `WordChip`."""
        self._advance()
        if register == CONFIG and not self.words[CONFIG] & LOCKS:
            self.words[CONFIG] = value & 0x07FF
            if value & 0x0100:
                self._due_s = float("inf")
            elif self._due_s == float("inf"):
                self._due_s = self.around.clock() + self._conversion_s()
        elif register in (2, 3, 4):
            self.words[register] = value & 0x1FFC

    def get(self, register: int) -> int:
        """See `WordChip`."""
        self._advance()
        if self.fault is Fault.WRONG_IDENTITY and register in (MANUFACTURER, DEVICE):
            return 0x3333
        return self.words.get(register, 0)

    def _conversion_s(self) -> float:
        return self.takes(TIMES_S[self.words[RESOLUTION]])

    def _advance(self) -> None:
        if self.around.clock() < self._due_s:
            return
        celsius = self.around.state().celsius + self._random.gauss(0.0, 0.03) * self.around.noise
        if self.fault is Fault.OUT_OF_RANGE:
            celsius = -200.0
        steps = 8 >> self.words[RESOLUTION]
        sixteenths = round(celsius * 16 / steps) * steps
        # The limits stand at 0 °C after power-on, and the flags say on which side of them it is.
        flags = 0x2000 if sixteenths < 0 else 0xC000
        self.words[TEMPERATURE] = flags | sixteenths & 0x1FFF
        self._due_s = self.around.clock() + self._conversion_s()


MODEL = Model(Mcp9808Chip, address=0x18)
