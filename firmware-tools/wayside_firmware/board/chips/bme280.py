"""A BME280 at register level: what its bus sees, with the time that its measurements take.

Source: Bosch Sensortec, BME280 Data sheet, BST-BME280-DS002-15, revision 1.6 (September 2018): modes 3.3, resolution
and filter 3.4, registers 5.3 and 5.4, appendix 8.1 for the floating-point compensation that is turned round here, 9.1
for the typical measurement time. Drivers use the integer form of section 4.2.3, so the two check each other.
"""

import math
import random
import struct
from dataclasses import dataclass

from wayside_firmware.board.air import State
from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings
from wayside_firmware.board.inverse import nearest_code

SKIPPED_20, SKIPPED_16 = 0x80000, 0x8000
OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)
FILTERS = (1, 2, 4, 8, 16, 16, 16, 16)
STANDBY_S = (0.0005, 0.0625, 0.125, 0.25, 0.5, 1.0, 0.01, 0.02)
ID, RESET, CTRL_HUM, STATUS, CTRL_MEAS, CONFIG, DATA = 0xD0, 0xE0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF7
NVM_COPY_S = 0.0015
CATCH_UP = 64
"""Measurements of normal mode worked out after a pause; the strongest filter has forgotten older ones by 98 %."""


@dataclass(frozen=True, slots=True)
class Trimming:
    """Calibration that a chip carries, by the names of the data sheet without `dig_`."""

    t: tuple[int, ...] = (27504, 26435, -1000)
    p: tuple[int, ...] = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
    h: tuple[int, ...] = (75, 370, 0, 313, 50, 30)

    def low_block(self) -> bytes:
        """Registers 0x88 to 0xA1."""
        return struct.pack("<HhhHhhhhhhhhBB", *self.t, *self.p, 0, self.h[0])

    def high_block(self) -> bytes:
        """Registers 0xE1 to 0xE7."""
        _, h2, h3, h4, h5, h6 = self.h
        packed = bytes((h4 >> 4 & 0xFF, (h5 & 0xF) << 4 | h4 & 0xF, h5 >> 4 & 0xFF))
        return struct.pack("<hB", h2, h3) + packed + struct.pack("b", h6)

    def t_fine(self, raw: float) -> float:
        """1/5120 °C from a raw temperature."""
        t1, t2, t3 = self.t
        return (raw / 16384 - t1 / 1024) * t2 + (raw / 131072 - t1 / 8192) ** 2 * t3

    def pascal(self, raw: float, t_fine: float) -> float:
        """Pressure from a raw one."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.p
        half = t_fine / 2 - 64000
        offset = (half * half * p6 / 32768 + half * p5 * 2) / 4 + p4 * 65536
        slope = (1 + (p3 * half * half / 524288 + p2 * half) / 524288 / 32768) * p1
        value = (1048576 - raw - offset / 4096) * 6250 / slope
        return value + (p9 * value * value / 2147483648 + value * p8 / 32768 + p7) / 16

    def percent(self, raw: float, t_fine: float) -> float:
        """Relative humidity from a raw one, not limited."""
        h1, h2, h3, h4, h5, h6 = self.h
        above = t_fine - 76800
        curve = 1 + h6 / 67108864 * above * (1 + h3 / 67108864 * above)
        value = (raw - (h4 * 64 + h5 / 16384 * above)) * h2 / 65536 * curve
        return value * (1 - h1 * value / 524288)


def trimming(seed: int) -> Trimming:
    """A calibration such as chips from one reel have: 0 is the example that data sheets and drivers are tested with."""
    if seed == 0:
        return Trimming()
    spread = random.Random(seed)  # noqa: S311
    typical = Trimming()

    def near(values: tuple[int, ...], share: float) -> tuple[int, ...]:
        return tuple(round(value * spread.uniform(1 - share, 1 + share)) for value in values)

    return Trimming(near(typical.t, 0.03), near(typical.p, 0.02), near(typical.h, 0.05))


class Bme280Chip:
    """A BME280 in some air, on I2C or SPI.

    Args:
        around: what it measures, and the clocks.
        calibration: its trimming values; None chooses them by the seed.
    """

    identities = (0x60, 0x58)
    """Its own, and that of the chip that is there instead."""
    standby_s = STANDBY_S
    humid = True

    def __init__(self, around: Surroundings, calibration: Trimming | None = None) -> None:
        self.fault = Fault.NONE
        self._around = around
        self._trimming = calibration or trimming(around.seed)
        self._random = random.Random(around.seed)  # noqa: S311
        self._clock = around.clock
        self._pointer = 0
        self._registers = bytearray(256)
        self._power_on()

    def power_cycle(self) -> None:
        """Take its supply away for a moment: all that was set is lost."""
        self._power_on()

    def write(self, data: bytes) -> None:
        """Take a write: a register address, then pairs of value and next address (section 6.2.1)."""
        self._advance()
        if data:
            self._pointer = data[0]
        for register, value in zip(data[::2], data[1::2], strict=False):
            self._set(register, value)

    def read(self, count: int) -> bytes:
        """Give registers from the one addressed on; all as they stand at one moment (section 4.1)."""
        self._advance()
        start, self._pointer = self._pointer, (self._pointer + count) & 0xFF
        registers = bytearray(self._registers)
        registers[ID] = self.identities[self.fault is Fault.WRONG_IDENTITY]
        return bytes(registers[(start + position) & 0xFF] for position in range(count))

    def transfer(self, data: bytes) -> bytes:
        """Take a transfer over SPI: the top bit of the address tells a read (section 6.3)."""
        if data[0] & 0x80:
            self._pointer = data[0]
            return b"\xff" + self.read(len(data) - 1)
        self.write(bytes(value if position % 2 else value | 0x80 for position, value in enumerate(data)))
        return b"\xff" * len(data)

    def _power_on(self) -> None:
        self._registers[:] = bytes(256)
        self._registers[0x88:0xA2] = self._trimming.low_block()
        self._registers[DATA : DATA + 6] = bytes((0x80, 0, 0, 0x80, 0, 0))
        if self.humid:
            self._registers[0xE1:0xE8] = self._trimming.high_block()
            self._registers[DATA + 6 : DATA + 8] = bytes((0x80, 0))
        else:
            self._registers[0xA0:0xA2] = bytes(2)
        self._registers[STATUS] = 0x01
        self._ready_s = self._clock() + NVM_COPY_S
        self._humidity_code = 0
        self._due_s: float | None = None
        self._filtered: tuple[float, float] | None = None

    def _set(self, register: int, value: int) -> None:
        if register == RESET and value == 0xB6:
            self._power_on()
        elif register == CTRL_HUM and self.humid:
            self._registers[CTRL_HUM] = value & 0x07
        elif register == CONFIG and self._registers[CTRL_MEAS] & 3 != 3:
            self._registers[CONFIG] = value & 0xFD
        elif register == CTRL_MEAS:
            self._registers[CTRL_MEAS] = value
            self._humidity_code = self._registers[CTRL_HUM]
            self._due_s = self._clock() + self._measurement_s() if value & 3 else None

    def _measurement_s(self) -> float:
        t, p, h = self._oversampling()
        typical_s = (1.0 + 2.0 * t + (2.0 * p + 0.5 if p else 0.0) + (2.0 * h + 0.5 if h else 0.0)) / 1000
        return typical_s * (SLOWNESS if self.fault is Fault.SLOW else 1.0)

    def _oversampling(self) -> tuple[int, int, int]:
        control = self._registers[CTRL_MEAS]
        return OVERSAMPLING[control >> 5], OVERSAMPLING[control >> 2 & 7], OVERSAMPLING[self._humidity_code]

    def _advance(self) -> None:
        """Let everything happen that was due by now."""
        now_s = self._clock()
        copying = 0x01 if now_s < self._ready_s else 0
        if self._due_s is not None and now_s >= self._due_s:
            self._finish(now_s, self._due_s)
        begun_s = None if self._due_s is None else self._due_s - self._measurement_s()
        measuring = 0x08 if begun_s is not None and now_s >= begun_s else 0
        self._registers[STATUS] = copying | measuring

    def _finish(self, now_s: float, due_s: float) -> None:
        if self._registers[CTRL_MEAS] & 3 != 3:
            self._measure(now_s - due_s)
            self._registers[CTRL_MEAS] &= 0xFC
            self._due_s = None
            return
        period_s = self._measurement_s() + self.standby_s[self._registers[CONFIG] >> 5]
        done = int((now_s - due_s) // period_s) + 1
        for back in range(min(done, CATCH_UP) - 1, -1, -1):
            self._measure(now_s - due_s - (done - 1 - back) * period_s)
        self._due_s = due_s + done * period_s

    def _measure(self, ago_s: float) -> None:
        """Fill the data registers with what the air was `ago_s` seconds before now."""
        t_times, p_times, h_times = self._oversampling()
        state = self._noisy(self._around.air(self._around.wall() - ago_s), t_times, p_times, h_times)
        coefficient = FILTERS[self._registers[CONFIG] >> 2 & 7]
        held = self._trimming
        raw_t = nearest_code(lambda raw: held.t_fine(raw) / 5120, state.celsius, 20) if t_times else SKIPPED_20
        raw_t = _resolved(raw_t, t_times, coefficient)
        t_fine = held.t_fine(raw_t)
        raw_p = (
            nearest_code(lambda raw: self._trimming.pascal(raw, t_fine), state.pascal, 20) if p_times else SKIPPED_20
        )
        raw_p = _resolved(raw_p, p_times, coefficient)
        raw_h = (
            nearest_code(lambda raw: self._trimming.percent(raw, t_fine), state.percent, 16) if h_times else SKIPPED_16
        )
        raw_t, raw_p = self._smoothed(raw_t, raw_p, coefficient)
        pressure, temperature = (raw << 4 for raw in (raw_p, raw_t))
        if self.fault is Fault.OUT_OF_RANGE:
            pressure, temperature = 0, 0xFFFFF0
        self._registers[DATA : DATA + 6] = pressure.to_bytes(3, "big") + temperature.to_bytes(3, "big")
        if self.humid:
            self._registers[DATA + 6 : DATA + 8] = raw_h.to_bytes(2, "big")

    def _smoothed(self, raw_t: int, raw_p: int, coefficient: int) -> tuple[int, int]:
        """What the IIR filter makes of them (section 3.4.4); its first value passes as it is."""
        if self._filtered is None or coefficient == 1:
            self._filtered = (raw_t, raw_p)
        else:
            old_t, old_p = self._filtered
            self._filtered = (old_t + (raw_t - old_t) / coefficient, old_p + (raw_p - old_p) / coefficient)
        return round(self._filtered[0]), round(self._filtered[1])

    def _noisy(self, state: State, t_times: int, p_times: int, h_times: int) -> State:
        """`state` with the noise of one conversion (section 3.6), less by the root of those averaged."""
        if not self._around.noise:
            return state

        def error(rms: float, times: int) -> float:
            return self._around.noise * self._random.gauss(0.0, rms) / math.sqrt(max(times, 1))

        return State(
            state.celsius + error(0.005, t_times),
            state.pascal + error(3.3, p_times),
            state.percent + error(0.04, h_times),
        )


def _resolved(raw: int, times: int, coefficient: int) -> int:
    """`raw` with the bits that count: 16 at one conversion to 20 at sixteen, all 20 with the filter (section 3.4)."""
    if coefficient > 1 or times in (0, 16):
        return raw
    dropped = 5 - times.bit_length()
    return min((raw + (1 << dropped >> 1)) >> dropped << dropped, (1 << 20) - 1)


MODEL = Model(Bme280Chip, address=0x76, spi=True)
