"""An MPU-6050 at register level, which samples by its own clock and keeps samples in its FIFO.

Source: InvenSense, MPU-6000 and MPU-6050 Register Map and Descriptions, RM-MPU-6000A-00, revision 4.2 (August 2013),
registers 25 to 28, 35, 56, 58 to 72, 106, 107 and 114 to 117.

What it feels: signal `acceleration_g` on x, half of it reversed on y, and standard gravity with a quarter of it on z;
signal `rotation_dps` in the same shares; the air's temperature.
"""

import random
import struct
from collections import deque

from wayside_firmware.board.chip import Fault, Model, RegisterChip, Surroundings

SMPLRT_DIV, CONFIG, GYRO_CONFIG, ACCEL_CONFIG, FIFO_EN = 0x19, 0x1A, 0x1B, 0x1C, 0x23
INT_ENABLE, INT_STATUS, DATA, USER_CTRL, PWR_MGMT_1 = 0x38, 0x3A, 0x3B, 0x6A, 0x6B
FIFO_COUNT, FIFO_R_W, WHO_AM_I = 0x72, 0x74, 0x75
FIFO_BYTES = 1024
RESET_S = 0.05
LSB_PER_DPS = (131.0, 65.5, 32.8, 16.4)
SHARES = (1.0, -0.5, 0.25)
NOISE_G, NOISE_DPS, NOISE_C = 0.002, 0.05, 0.02
"""RMS of one sample at a middle bandwidth (product specification PS-MPU-6000A-00, section 6: 400 µg/√Hz and
0.05 deg/s)."""


class Mpu6050Chip(RegisterChip):
    """An MPU-6050 on I2C.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self.collected = 0
        """Bytes that went into the FIFO since it was last reset, for tests that ask what became of each."""
        self._power_on()

    @property
    def unread(self) -> int:
        """Bytes in the FIFO."""
        return len(self._fifo)

    def power_cycle(self) -> None:
        """Take its supply away for a moment: all that was set is lost."""
        self._power_on()

    def read(self, count: int) -> bytes:
        """Give registers from the pointer on; at FIFO_R_W the pointer stays, and reading INT_STATUS clears it."""
        self.advance()
        self.registers[FIFO_COUNT : FIFO_COUNT + 2] = len(self._fifo).to_bytes(2, "big")
        self.registers[WHO_AM_I] = 0x70 if self.fault is Fault.WRONG_IDENTITY else 0x68
        data = bytearray()
        for _ in range(count):
            data.append(self._from_fifo() if self.pointer == FIFO_R_W else self.registers[self.pointer])
            if self.pointer == INT_STATUS:
                self.registers[INT_STATUS] = 0
            if self.pointer != FIFO_R_W:
                self.pointer = (self.pointer + 1) & 0xFF
        return bytes(data)

    def set(self, register: int, value: int) -> None:
        """Take a write of one register."""
        if register == PWR_MGMT_1 and value & 0x80:
            self._power_on()
            self.registers[PWR_MGMT_1] |= 0x80
            self._reset_until_s = self.around.clock() + self.takes(RESET_S)
            return
        if register == USER_CTRL and value & 0x04:
            if not self.registers[USER_CTRL] & 0x40:
                self._fifo.clear()
                self.collected = 0
            value &= ~0x04
        if register not in (INT_STATUS, WHO_AM_I, FIFO_COUNT, FIFO_COUNT + 1):
            self.registers[register] = value
        if register in (SMPLRT_DIV, CONFIG, PWR_MGMT_1):
            self._next_s = self.around.clock() + self._period_s()

    def advance(self) -> None:
        """Take the samples that were due by now."""
        now_s = self.around.clock()
        if self.registers[PWR_MGMT_1] & 0x80 and now_s >= self._reset_until_s:
            self.registers[PWR_MGMT_1] &= 0x7F
        if self.registers[PWR_MGMT_1] & 0xC0:
            return
        period_s = self._period_s()
        due = int((now_s - self._next_s) / period_s + 1e-6) + 1 if now_s >= self._next_s - 1e-9 else 0
        # Older samples than the FIFO can hold leave no trace but the overflow.
        skipped = max(due - FIFO_BYTES, 0)
        for number in range(skipped, due):
            self._sample(max(now_s - self._next_s - number * period_s, 0.0))
        self._next_s += due * period_s

    def _power_on(self) -> None:
        self.registers[:] = bytes(256)
        self.registers[PWR_MGMT_1] = 0x40
        self._fifo: deque[int] = deque()
        self._last = 0
        self._next_s = 0.0
        self._reset_until_s = 0.0

    def _period_s(self) -> float:
        rate_hz = 8000.0 if self.registers[CONFIG] & 7 in (0, 7) else 1000.0
        return self.takes((1 + self.registers[SMPLRT_DIV]) / rate_hz)

    def _sample(self, ago_s: float) -> None:
        g = self.around.signal("acceleration_g", ago_s)
        dps = self.around.signal("rotation_dps", ago_s)
        per_g = 16384 >> (self.registers[ACCEL_CONFIG] >> 3 & 3)
        per_dps = LSB_PER_DPS[self.registers[GYRO_CONFIG] >> 3 & 3]
        felt = (SHARES[0] * g, SHARES[1] * g, SHARES[2] * g + 1.0)
        linear = [self._code(value, per_g, NOISE_G) for value in felt]
        angular = [self._code(share * dps, per_dps, NOISE_DPS) for share in SHARES]
        celsius = self.around.state().celsius + self.around.noise * self._random.gauss(0.0, NOISE_C)
        warmth = round((celsius - 36.53) * 340)
        if self.fault is Fault.OUT_OF_RANGE:
            warmth = -32768
        self.registers[DATA : DATA + 14] = struct.pack(">7h", *linear, warmth, *angular)
        self._announce(0x01)
        if self.registers[USER_CTRL] & 0x40:
            self._collect()

    def _code(self, value: float, per_unit: float, noise: float) -> int:
        value += self.around.noise * self._random.gauss(0.0, noise)
        return min(max(round(value * per_unit), -32768), 32767)

    def _collect(self) -> None:
        parts = self.registers[FIFO_EN]
        taken = self.registers[DATA : DATA + 6] if parts & 0x08 else bytearray()
        taken += self.registers[DATA + 6 : DATA + 8] if parts & 0x80 else b""
        for axis, bit in enumerate((0x40, 0x20, 0x10)):
            taken += self.registers[DATA + 8 + 2 * axis : DATA + 10 + 2 * axis] if parts & bit else b""
        self._fifo.extend(taken)
        self.collected += len(taken)
        while len(self._fifo) > FIFO_BYTES:
            self._fifo.popleft()
            self._announce(0x10)

    def _announce(self, bit: int) -> None:
        self.registers[INT_STATUS] |= bit & self.registers[INT_ENABLE]

    def _from_fifo(self) -> int:
        """The oldest byte; from an empty FIFO the one read last (register 116)."""
        if self._fifo:
            self._last = self._fifo.popleft()
        return self._last


MODEL = Model(Mpu6050Chip, address=0x68)
