"""An ADXL345 at register level, which samples by its own clock and keeps samples in its FIFO.

Source: Analog Devices, ADXL345 data sheet, Rev. E: Table 1, FIFO, Interrupts, Register Definitions.

What it feels: signal `acceleration_g` on x, half of it reversed on y, and standard gravity with a quarter of it on z.
"""

import random
import struct
from collections import deque

from wayside_firmware.board.chip import Fault, Model, RegisterChip, Surroundings

BW_RATE, POWER_CTL, INT_SOURCE, DATA_FORMAT, DATA, FIFO_CTL, FIFO_STATUS = 0x2C, 0x2D, 0x30, 0x31, 0x32, 0x38, 0x39
DATA_READY, WATERMARK, OVERRUN = 0x80, 0x02, 0x01
FAST = 14
"""Rate code of 1600 Hz: from there on the last bit is 0 in full resolution (Data Formatting of Upper Data Rates)."""
DEPTH = 32
WAKE_S = 0.0011
NOISE_G = 0.003
"""RMS at 100 Hz: 0.75 LSB (Table 1)."""


class Adxl345Chip(RegisterChip):
    """An ADXL345 on I2C or SPI.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment: all that was set is lost."""
        self.registers[:] = bytes(256)
        self.registers[BW_RATE] = 0x0A
        self.registers[INT_SOURCE] = WATERMARK
        self._fifo: deque[bytes] = deque()
        self._next_s = 0.0

    def read(self, count: int) -> bytes:
        """Give registers from the pointer on; reading data takes one sample out of the FIFO."""
        self.advance()
        self.registers[0] = 0xE6 if self.fault is Fault.WRONG_IDENTITY else 0xE5
        self.registers[FIFO_STATUS] = len(self._fifo)
        if self._fifo:
            self.registers[DATA : DATA + 6] = self._fifo[0]
        start, self.pointer = self.pointer, (self.pointer + count) & 0xFF
        found = bytes(self.registers[(start + offset) & 0xFF] for offset in range(count))
        if start < DATA + 6 and start + count > DATA:
            if self._fifo:
                self._fifo.popleft()
            self.registers[INT_SOURCE] &= ~(OVERRUN | (0 if self._fifo else DATA_READY))
        return found

    def set(self, register: int, value: int) -> None:
        """Take a write of one register."""
        if register in (0, INT_SOURCE, FIFO_STATUS) or DATA <= register < DATA + 6:
            return
        self.registers[register] = value
        if register in (BW_RATE, POWER_CTL):
            self._next_s = self.around.clock() + WAKE_S + self._period_s()
        if register == FIFO_CTL and not value & 0xC0:
            self._fifo.clear()

    def advance(self) -> None:
        """Take the samples that were due by now."""
        now_s = self.around.clock()
        if not self.registers[POWER_CTL] & 0x08 or now_s < self._next_s - 1e-9:
            return
        period_s = self._period_s()
        due = int((now_s - self._next_s) / period_s + 1e-6) + 1
        for number in range(max(due - 2 * DEPTH, 0), due):
            self._sample(max(now_s - self._next_s - number * period_s, 0.0))
        self._next_s += due * period_s

    def transfer(self, data: bytes) -> bytes:
        """Take a transfer over SPI: the top bit of the address reads, the next one goes on to more registers."""
        self.pointer = data[0] & 0x3F
        if data[0] & 0x80:
            return b"\x00" + self.read(len(data) - 1)
        self.write(bytes((self.pointer, *data[1:])) if data[0] & 0x40 else bytes((self.pointer, *data[1:2])))
        return bytes(len(data))

    def _period_s(self) -> float:
        return self.takes(2.0 ** (15 - (self.registers[BW_RATE] & 0x0F)) / 3200)

    def _sample(self, ago_s: float) -> None:
        g = self.around.signal("acceleration_g", ago_s)
        sample = struct.pack("<3h", *(self._code(value) for value in (g, -g / 2, 1 + g / 4)))
        if self.registers[FIFO_CTL] & 0xC0:
            self._fifo.append(sample)
            if len(self._fifo) > DEPTH:
                self._fifo.popleft()
                self.registers[INT_SOURCE] |= OVERRUN
        else:
            if self.registers[INT_SOURCE] & DATA_READY:
                self.registers[INT_SOURCE] |= OVERRUN
            self.registers[DATA : DATA + 6] = sample
        self.registers[INT_SOURCE] |= DATA_READY

    def _code(self, g: float) -> int:
        """In full resolution 256 LSB/g; else 10 bits of the range."""
        if self.fault is Fault.OUT_OF_RANGE:
            return 0x7FFF
        g += self.around.noise * self._random.gauss(0.0, NOISE_G)
        settings = self.registers[DATA_FORMAT]
        scale = 1 << (settings & 3)
        limit = 512 * scale if settings & 0x08 else 512
        per_g = 256 if settings & 0x08 else 256 / scale
        code = min(max(round(g * per_g), -limit), limit - 1)
        fast = self.registers[BW_RATE] & 0x0F >= FAST
        return code & ~1 if fast and (settings & 0x08 or scale == 1) else code


MODEL = Model(Adxl345Chip, address=0x53, spi=True)
