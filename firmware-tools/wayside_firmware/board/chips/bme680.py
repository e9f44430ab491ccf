"""A BME680, or BME688, at register level: what its bus sees, with the time that its measurements take.

Source: Bosch Sensortec, BME680 Datasheet, BST-BME680-DS001-01, revision 1.1 (April 2019): section 3.3.5 for the heater,
3.4.1 for the gas resistance, 5.2 and 5.3 for the registers. The compensation that is turned round here is the
floating-point form of Bosch's BME68x Sensor API (bme68x.c with BME68X_USE_FPU); drivers use the integer form, so the
two check each other.
"""

import random
import struct
from dataclasses import dataclass, replace

from wayside_firmware.board.chip import Fault, Model, RegisterChip, Surroundings
from wayside_firmware.board.inverse import nearest_code

OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)
FILTERS = (1, 2, 4, 8, 16, 32, 64, 128)
FIELD, HEATER_TARGET, HEATER_WAIT, ID, RESET, VARIANT = 0x1D, 0x5A, 0x64, 0xD0, 0xE0, 0xF0
CTRL_GAS_0, CTRL_GAS_1, CTRL_HUM, CTRL_MEAS, CONFIG = 0x70, 0x71, 0x72, 0x74, 0x75
SKIPPED = 0x80000
GAS_OFFSET_PERCENT = (0, 0, 0, 0, 0, -1, 0, -0.8, 0, 0, -0.2, -0.5, 0, -1, 0, 0)
GAS_SCALE_PERCENT = (0, 0, 0, 0, 0.1, 0.7, 0, -0.8, -0.1, 0, 0, 0, 0, 0, 0, 0)
"""By the range of the gas measurement (section 3.4.1, const_array1 and const_array2, as deviations)."""
HEATED_S = 0.020
"""Least time in which the hot plate gets warm (section 3.3.5)."""


@dataclass(frozen=True, slots=True)
class Trimming:
    """Calibration that a chip carries, by the names of the data sheet without `par_`."""

    t: tuple[int, ...] = (26041, 26469, 3)
    p: tuple[int, ...] = (36673, -10408, 88, 7136, -128, 30, 35, -1069, -2566, 30)
    h: tuple[int, ...] = (763, 1014, 0, 45, 20, 120, -100)
    g: tuple[int, ...] = (-30, -5969, 18)
    heat_range: int = 1
    heat_value: int = 46
    switching_error: int = 1

    def blocks(self) -> dict[int, bytes]:
        """The registers, by the first of each block."""
        t1, t2, t3 = self.t
        p1, p2, p3, p4, p5, p6, p7, p8, p9, p10 = self.p
        h1, h2, h3, h4, h5, h6, h7 = self.h
        g1, g2, g3 = self.g
        low = struct.pack("<hbxHhbxhhbbxxhhB", t2, t3, p1, p2, p3, p4, p5, p7, p6, p8, p9, p10)
        high = bytes((h2 >> 4, (h2 & 0xF) << 4 | h1 & 0xF, h1 >> 4))
        high += struct.pack("<bbbBbHhbb", h3, h4, h5, h6, h7, t1, g2, g1, g3)
        heater = struct.pack("bBBBB", self.heat_value, 0, self.heat_range << 4, 0, self.switching_error << 4 & 0xF0)
        return {0x8A: low, 0xE1: high, 0x00: heater}

    def t_fine(self, raw: float) -> float:
        """1/5120 °C from a raw temperature."""
        t1, t2, t3 = self.t
        return (raw / 16384 - t1 / 1024) * t2 + (raw / 131072 - t1 / 8192) ** 2 * t3 * 16

    def pascal(self, raw: float, t_fine: float) -> float:
        """Pressure from a raw one."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9, p10 = self.p
        half = t_fine / 2 - 64000
        offset = (half * half * p6 / 131072 + half * p5 * 2) / 4 + p4 * 65536
        slope = (1 + (p3 * half * half / 16384 + p2 * half) / 524288 / 32768) * p1
        value = (1048576 - raw - offset / 4096) * 6250 / slope
        correction = p9 * value * value / 2147483648 + value * p8 / 32768 + (value / 256) ** 3 * p10 / 131072
        return value + (correction + p7 * 128) / 16

    def percent(self, raw: float, t_fine: float) -> float:
        """Relative humidity from a raw one, not limited."""
        h1, h2, h3, h4, h5, h6, h7 = self.h
        celsius = t_fine / 5120
        value = raw - (h1 * 16 + h3 / 2 * celsius)
        value *= h2 / 262144 * (1 + h4 / 16384 * celsius + h5 / 1048576 * celsius * celsius)
        return value + (h6 / 16384 + h7 / 2097152 * celsius) * value * value

    def ohm(self, raw: float, gas_range: int) -> float:
        """Resistance of a BME680's gas sensor from a raw one."""
        offset = (1340 + 5 * self.switching_error) * (1 + GAS_OFFSET_PERCENT[gas_range] / 100)
        scale = 1 + GAS_SCALE_PERCENT[gas_range] / 100
        return 1 / (scale * 0.000000125 * (1 << gas_range) * ((raw - 512) / offset + 1))

    def heater_celsius(self, code: int, ambient: float) -> float:
        """The temperature that the hot plate is driven to by a code in `res_heat_0`."""
        g1, g2, g3 = self.g
        resistance = (code / 3.4 + 25) * (1 + self.heat_value * 0.002) * (4 + self.heat_range) / 4
        return ((resistance - g3 / 1024 * ambient) / (g1 / 16 + 49) - 1) / (g2 / 32768 * 0.0005 + 0.00235)


def ohm_high(raw: float, gas_range: int) -> float:
    """Resistance of a BME688's gas sensor from a raw one."""
    return 1e6 * (262144 >> gas_range) / (4096 + (raw - 512) * 3)


def trimming(seed: int) -> Trimming:
    """A calibration such as chips from one reel have; 0 is the typical one."""
    if seed == 0:
        return Trimming()
    spread = random.Random(seed)  # noqa: S311

    def near(values: tuple[int, ...], share: float) -> tuple[int, ...]:
        return tuple(round(value * spread.uniform(1 - share, 1 + share)) for value in values)

    typical = Trimming()
    return replace(
        typical,
        t=near(typical.t, 0.01),
        p=near(typical.p, 0.01),
        h=near(typical.h, 0.03),
        g=near(typical.g, 0.05),
        heat_value=spread.randrange(30, 60),
        switching_error=spread.randrange(-8, 8),
    )


class Bme680Chip(RegisterChip):
    """A BME680 in some air.

    Args:
        around: what it measures, and the clocks.
        calibration: its trimming values; None chooses them by the seed.
        high: whether it is a BME688.
    """

    def __init__(self, around: Surroundings, calibration: Trimming | None = None, *, high: bool = False) -> None:
        super().__init__(around)
        self.trimming = calibration or trimming(around.seed)
        self.high = high
        self.gas_valid = True
        """Whether it does the gas measurements that it is told to do."""
        self.hot_plate_c = 0.0
        """Temperature that the hot plate was driven to last."""
        self._random = random.Random(around.seed)  # noqa: S311
        self._due_s: float | None = None
        self._filtered: tuple[float, float] | None = None
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment: all that was set is lost."""
        self.registers[:] = bytes(256)
        for first, block in self.trimming.blocks().items():
            self.registers[first : first + len(block)] = block
        self.registers[ID] = 0x61
        self.registers[VARIANT] = int(self.high)
        self.registers[FIELD + 2 : FIELD + 10] = bytes((0x80, 0, 0, 0x80, 0, 0, 0x80, 0))
        self._due_s, self._filtered = None, None

    def write(self, data: bytes) -> None:
        """See `I2cChip`: pairs of a register and its value."""
        self.advance()
        if data:
            self.pointer = data[0]
        for register, value in zip(data[::2], data[1::2], strict=False):
            self.set(register, value)

    def read(self, count: int) -> bytes:
        """See `I2cChip`."""
        self.registers[ID] = 0x60 if self.fault is Fault.WRONG_IDENTITY else 0x61
        return super().read(count)

    def set(self, register: int, value: int) -> None:
        """See `RegisterChip`."""
        if register == RESET and value == 0xB6:
            self.power_cycle()
            return
        if HEATER_TARGET - 10 <= register <= CONFIG:
            self.registers[register] = value
        if register == CONFIG:
            self._filtered = None
        if register == CTRL_MEAS and value & 3:
            self.registers[FIELD] = 0x20
            self._due_s = self.around.clock() + self.takes(self._measurement_s())

    def advance(self) -> None:
        """See `RegisterChip`."""
        if self._due_s is not None and self.around.clock() >= self._due_s:
            self._due_s = None
            self.registers[CTRL_MEAS] &= 0xFC
            self._measure()

    def _measurement_s(self) -> float:
        return (sum(self._oversampling()) * 1.85 + 4.0) / 1000 + (self._heating_s() if self._runs_gas() else 0.0)

    def _oversampling(self) -> tuple[int, int, int]:
        control = self.registers[CTRL_MEAS]
        humidity = self.registers[CTRL_HUM] & 7
        return OVERSAMPLING[control >> 5], OVERSAMPLING[control >> 2 & 7], OVERSAMPLING[humidity]

    def _heating_s(self) -> float:
        wait = self.registers[HEATER_WAIT]
        return ((wait & 0x3F) << 2 * (wait >> 6)) / 1000

    def _runs_gas(self) -> bool:
        return bool(self.registers[CTRL_GAS_1] & (0x20 if self.high else 0x10))

    def _measure(self) -> None:
        state, noise = self.around.state(), self.around.noise
        t_times, p_times, h_times = self._oversampling()
        celsius = state.celsius + noise * self._random.gauss(0.0, 0.005)
        pascal = state.pascal + noise * self._random.gauss(0.0, 1.2)
        percent = state.percent + noise * self._random.gauss(0.0, 0.02)
        raw_t = nearest_code(lambda raw: self.trimming.t_fine(raw) / 5120, celsius, 20) if t_times else SKIPPED
        t_fine = self.trimming.t_fine(raw_t)
        raw_p = nearest_code(lambda raw: self.trimming.pascal(raw, t_fine), pascal, 20) if p_times else SKIPPED
        raw_h = nearest_code(lambda raw: self.trimming.percent(raw, t_fine), percent, 16) if h_times else 0x8000
        raw_t, raw_p = self._smoothed(raw_t, raw_p)
        if self.fault is Fault.OUT_OF_RANGE:
            raw_t, raw_p = 0xFFFFF, 0
        field = bytes((0x80, 0)) + (raw_p << 4).to_bytes(3, "big") + (raw_t << 4).to_bytes(3, "big")
        gas = self._gas(state.celsius).to_bytes(2, "big")
        body = field + raw_h.to_bytes(2, "big") + bytes(3)
        self.registers[FIELD : FIELD + 17] = body + (bytes(2) + gas if self.high else gas + bytes(2))

    def _smoothed(self, raw_t: int, raw_p: int) -> tuple[int, int]:
        coefficient = FILTERS[self.registers[CONFIG] >> 2 & 7]
        if self._filtered is None:
            self._filtered = (raw_t, raw_p)
        old_t, old_p = self._filtered
        self._filtered = (old_t + (raw_t - old_t) / coefficient, old_p + (raw_p - old_p) / coefficient)
        return round(self._filtered[0]), round(self._filtered[1])

    def _gas(self, ambient: float) -> int:
        """The two registers of the gas: ten bits, valid, stable, and four bits of range."""
        if not self._runs_gas() or not self.gas_valid:
            return 0
        on = not self.registers[CTRL_GAS_0] & 0x08
        self.hot_plate_c = self.trimming.heater_celsius(self.registers[HEATER_TARGET], ambient) if on else ambient
        stable = 180 <= self.hot_plate_c <= 420 and self._heating_s() >= HEATED_S
        wanted = self.around.signal("gas_ohm") * (1 + self.around.noise * self._random.gauss(0.0, 0.001))
        forward = ohm_high if self.high else self.trimming.ohm
        # The finest range in which the value lies.
        fitting = [each for each in range(16) if forward(1023, each) <= wanted]
        gas_range = min(fitting, default=15)
        raw = nearest_code(lambda raw: forward(raw, gas_range), wanted, 10)
        return raw << 6 | 0x20 | (0x10 if stable else 0) | gas_range


MODEL = Model(Bme680Chip, address=0x76)
