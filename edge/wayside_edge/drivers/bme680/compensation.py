"""The BME680's compensation, and the coefficients that it takes.

Source: Bosch Sensortec, BME680 Datasheet, BST-BME680-DS001-01, revision 1.1 (April 2019): section 3.3.5 with Table 11
for the heater, 3.4.1 for the gas resistance with its tables of constants. For temperature, pressure, humidity and the
BME688's gas the data sheet points to Bosch's BME68x Sensor API (bme68x.c), whose formulas these are: the integer ones
without BME68X_USE_FPU, but for the pressure, the heater and the BME688's gas.
"""

import struct
from dataclasses import dataclass

LOW_BLOCK = (0x8A, 23)
HIGH_BLOCK = (0xE1, 14)
HEATER_BLOCK = (0x00, 5)
"""First register and length of the three blocks of coefficients."""

MIN_PRESSURE_HPA, MAX_PRESSURE_HPA = 300.0, 1100.0
MIN_TEMPERATURE_C, MAX_TEMPERATURE_C = -40.0, 85.0
"""Operating range: what lies far outside comes from a broken transfer or chip."""

GAS_OFFSET = (
    *(2147483647,) * 5,
    2126008810,
    2147483647,
    2130303777,
    *(2147483647,) * 2,
    2143188679,
    2136746228,
    2147483647,
    2126008810,
    *(2147483647,) * 2,
)
GAS_SCALE = (
    4096000000,
    2048000000,
    1024000000,
    512000000,
    255744255,
    127110228,
    64000000,
    32258064,
    16016016,
    8000000,
    4000000,
    2000000,
    1000000,
    500000,
    250000,
    125000,
)
"""By the range of the gas measurement (section 3.4.1, const_array1_int and const_array2_int)."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The trimming values that each chip carries, by their names in the data sheet without `par_`."""

    t: tuple[int, int, int]
    p: tuple[int, int, int, int, int, int, int, int, int, int]
    h: tuple[int, int, int, int, int, int, int]
    g: tuple[int, int, int]
    heat_range: int
    heat_value: int
    switching_error: int


def unpack(low: bytes, high: bytes, heater: bytes) -> Coefficients:
    """The coefficients in the contents of `LOW_BLOCK`, `HIGH_BLOCK` and `HEATER_BLOCK`."""
    t2, t3, p1, p2, p3, p4, p5, p7, p6, p8, p9, p10 = struct.unpack("<hbxHhbxhhbbxxhhB", low)
    h3, h4, h5, h6, h7, t1, g2, g1, g3 = struct.unpack("<bbbBbHhbb", high[3:])
    # H1 and H2 are 12-bit numbers that share register 0xE2: its low half belongs to H1, its high half to H2.
    h1, h2 = high[2] << 4 | high[1] & 0x0F, high[0] << 4 | high[1] >> 4
    value, _, range_bits, _, error_bits = struct.unpack("bBBBb", heater)
    return Coefficients(
        t=(t1, t2, t3),
        p=(p1, p2, p3, p4, p5, p6, p7, p8, p9, p10),
        h=(h1, h2, h3, h4, h5, h6, h7),
        g=(g1, g2, g3),
        heat_range=range_bits >> 4 & 0x03,
        heat_value=value,
        switching_error=error_bits >> 4,
    )


def fine_temperature(raw: int, t: tuple[int, int, int]) -> int:
    """`t_fine`, 1/5120 of a degree Celsius, from the 20-bit `raw`: what the other formulas start from."""
    t1, t2, t3 = t
    distance = (raw >> 3) - (t1 << 1)
    return (distance * t2 >> 11) + (((distance >> 1) * (distance >> 1) >> 12) * (t3 << 4) >> 14)


def temperature(t_fine: int) -> int:
    """Temperature in hundredths of a degree Celsius."""
    return (t_fine * 5 + 128) >> 8


def pressure(raw: int, t_fine: int, p: tuple[int, int, int, int, int, int, int, int, int, int]) -> float | None:
    """Pressure in Pa from the 20-bit `raw`; None when the coefficients would divide by zero.

    In floating-point numbers: the integer form cuts the pressure to 256 Pa before it takes the third power, which makes
    steps of up to 8 Pa.
    """
    p1, p2, p3, p4, p5, p6, p7, p8, p9, p10 = p
    half = t_fine / 2 - 64_000
    offset = half * half * p6 / 131_072 + half * p5 * 2
    offset = offset / 4 + p4 * 65_536
    slope = (p3 * half * half / 16_384 + p2 * half) / 524_288
    slope = (1 + slope / 32_768) * p1
    if slope == 0:
        return None
    value = (1_048_576 - raw - offset / 4096) * 6250 / slope
    correction = p9 * value * value / 2_147_483_648 + value * p8 / 32_768 + (value / 256) ** 3 * p10 / 131_072
    return value + (correction + p7 * 128) / 16


def humidity(raw: int, t_fine: int, h: tuple[int, int, int, int, int, int, int]) -> int:
    """Relative humidity in thousandths of a percent, 0 to 100 %, from the 16-bit `raw`."""
    h1, h2, h3, h4, h5, h6, h7 = h
    celsius = temperature(t_fine)
    left = raw - h1 * 16 - (_divide(celsius * h3, 100) >> 1)
    bend = _divide(celsius * _divide(celsius * h5, 100) >> 6, 100)
    slope = h2 * (_divide(celsius * h4, 100) + bend + 16_384) >> 10
    value = left * slope
    curve = (h6 << 7) + _divide(celsius * h7, 100) >> 4
    value += curve * ((value >> 14) * (value >> 14) >> 10) >> 1
    return min(max((value >> 10) * 1000 >> 12, 0), 100_000)


def gas_resistance(raw: int, gas_range: int, switching_error: int) -> int:
    """Resistance in Ω of a BME680 from its 10-bit `raw` and the range, 0 to 15."""
    base = (1340 + 5 * switching_error) * GAS_OFFSET[gas_range] >> 16
    divisor = (raw << 15) - 16_777_216 + base
    return ((GAS_SCALE[gas_range] * base >> 9) + (divisor >> 1)) // divisor


def gas_resistance_high(raw: int, gas_range: int) -> float:
    """Resistance in Ω of a BME688 from its 10-bit `raw` and the range, 0 to 15."""
    return 1_000_000 * (262_144 >> gas_range) / (4096 + 3 * (raw - 512))


def heater_resistance(target_c: float, ambient_c: float, coefficients: Coefficients) -> int:
    """What the register `res_heat_0` must be for the hot plate to be at `target_c` when the air is at `ambient_c`."""
    g1, g2, g3 = coefficients.g
    resistance = (g1 / 16 + 49) * (1 + (g2 / 32_768 * 0.0005 + 0.00235) * target_c) + g3 / 1024 * ambient_c
    trimmed = resistance * 4 / (4 + coefficients.heat_range) / (1 + coefficients.heat_value * 0.002)
    return min(max(round(3.4 * (trimmed - 25)), 0), 0xFF)


def heater_wait(milliseconds: int) -> int:
    """What the register `gas_wait_0` must be: six bits of a time, and two of a factor of 1, 4, 16 or 64.

    A time that has no such form becomes the next shorter one.
    """
    factor = 0
    while milliseconds > 0x3F:
        milliseconds //= 4
        factor += 1
    return factor << 6 | milliseconds


def _divide(dividend: int, divisor: int) -> int:
    """Integer division as C does it: towards zero."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient
