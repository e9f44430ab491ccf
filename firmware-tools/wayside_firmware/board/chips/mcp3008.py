"""An MCP3008, bit by bit as its clock line moves it.

Source: Microchip, MCP3004/3008 data sheet, DS21295, section 5 with Figures 5-1 and 5-2, section 4.2.

Input n is at (8 - n)/8 of the signal `volt`; VREF is 3.3 V.
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings

REFERENCE_V = 3.3
BITS, BITS_OF_MCP3208 = 10, 12
NOISE_LSB = 0.3


class Mcp3008Chip:
    """An MCP3008 on SPI.

    Args:
        around: what it measures.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self._around = around
        self._random = random.Random(around.seed)  # noqa: S311

    def transfer(self, data: bytes) -> bytes:
        """Take `data`: the first one is the start, four bits say what, and after one bit the answer begins."""
        length = 8 * len(data)
        heard = f"{int.from_bytes(data, 'big'):0{length}b}"
        start = heard.find("1")
        if start < 0 or start + 6 > length:
            return b"\xff" * len(data)
        said = "1" * (start + 6) + self._answer(int(heard[start + 1 : start + 5].ljust(4, "0"), 2))
        # DOUT floats until the null bit, here high; after the result it repeats it backwards, then it stays low.
        return int(said[:length].ljust(length, "0"), 2).to_bytes(len(data), "big")

    def _answer(self, configuration: int) -> str:
        bits = BITS_OF_MCP3208 if self.fault is Fault.WRONG_IDENTITY else BITS
        result = f"{self._code(configuration, bits):0{bits}b}"
        return "0" + result + result[-2::-1]

    def _code(self, configuration: int, bits: int) -> int:
        channel = configuration & 7
        volt = self._volt(channel) if configuration & 8 else self._volt(channel) - self._volt(channel ^ 1)
        if self.fault is Fault.OUT_OF_RANGE:
            volt = 2 * REFERENCE_V
        noise = self._around.noise * self._random.gauss(0.0, NOISE_LSB)
        return min(max(int(volt / REFERENCE_V * (1 << bits) + noise), 0), (1 << bits) - 1)

    def _volt(self, channel: int) -> float:
        return self._around.signal("volt") * (8 - channel) / 8


MODEL = Model(Mcp3008Chip, spi=True)
