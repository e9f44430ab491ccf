"""The BME280's integer compensation, and the coefficients that it takes.

Source: Bosch Sensortec, BME280 Data sheet, BST-BME280-DS002-15, revision 1.6 (September 2018): section 4.2.2 with
Table 16 (pages 24 and 25) for the storage of the coefficients, section 4.2.3 (pages 25 and 26) for the formulas:
temperature and humidity in 32-bit, pressure in 64-bit integers.
"""

import struct
from dataclasses import dataclass

LOW_BLOCK = (0x88, 26)
HIGH_BLOCK = (0xE1, 7)
"""First register and length of the two blocks of coefficients."""

MIN_PRESSURE_HPA, MAX_PRESSURE_HPA = 300.0, 1100.0
MIN_TEMPERATURE_C, MAX_TEMPERATURE_C = -40.0, 85.0
"""Operating range (data sheet, Tables 2 and 3): what lies far outside comes from a broken transfer or chip."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The trimming values that each chip carries, by their names in the data sheet without `dig_`."""

    t: tuple[int, int, int]
    p: tuple[int, int, int, int, int, int, int, int, int]
    h: tuple[int, int, int, int, int, int]


def unpack(low: bytes, high: bytes) -> Coefficients:
    """The coefficients in the contents of `LOW_BLOCK` and `HIGH_BLOCK`."""
    words = struct.unpack("<HhhHhhhhhhhh", low[:24])
    h2, h3 = struct.unpack("<hB", high[:3])
    # H4 and H5 are signed 12-bit numbers that share register 0xE5: its low half belongs to H4, its high half to H5.
    h4 = struct.unpack("b", high[3:4])[0] << 4 | high[4] & 0x0F
    h5 = struct.unpack("b", high[5:6])[0] << 4 | high[4] >> 4
    h6 = struct.unpack("b", high[6:7])[0]
    return Coefficients(t=words[:3], p=words[3:], h=(low[25], h2, h3, h4, h5, h6))


def fine_temperature(raw: int, t: tuple[int, int, int]) -> int:
    """`t_fine`, 1/5120 of a degree Celsius, from the 20-bit `raw`: what the two other formulas start from."""
    t1, t2, t3 = t
    linear = (((raw >> 3) - (t1 << 1)) * t2) >> 11
    distance = (raw >> 4) - t1
    return linear + ((((distance * distance) >> 12) * t3) >> 14)


def temperature(t_fine: int) -> int:
    """Temperature in hundredths of a degree Celsius."""
    return (t_fine * 5 + 128) >> 8


def pressure(raw: int, t_fine: int, p: tuple[int, int, int, int, int, int, int, int, int]) -> int | None:
    """Pressure in 1/256 Pa from the 20-bit `raw`; None when the coefficients would divide by zero."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = p
    offset = t_fine - 128_000
    scale = offset * offset * p6 + ((offset * p5) << 17) + (p4 << 35)
    slope = ((offset * offset * p3) >> 8) + ((offset * p2) << 12)
    slope = (((1 << 47) + slope) * p1) >> 33
    if slope == 0:
        return None
    value = _divide((((1_048_576 - raw) << 31) - scale) * 3125, slope)
    square = (p9 * (value >> 13) * (value >> 13)) >> 25
    return ((value + square + ((p8 * value) >> 19)) >> 8) + (p7 << 4)


def humidity(raw: int, t_fine: int, h: tuple[int, int, int, int, int, int]) -> int:
    """Relative humidity in 1/1024 of a percent, 0 to 100 %, from the 16-bit `raw`."""
    h1, h2, h3, h4, h5, h6 = h
    offset = t_fine - 76_800
    left = ((raw << 14) - (h4 << 20) - h5 * offset + 16_384) >> 15
    curve = (((offset * h6) >> 10) * (((offset * h3) >> 11) + 32_768)) >> 10
    value = left * (((curve + 2_097_152) * h2 + 8192) >> 14)
    value -= ((((value >> 15) * (value >> 15)) >> 7) * h1) >> 4
    return min(max(value, 0), 419_430_400) >> 12


def _divide(dividend: int, divisor: int) -> int:
    """Integer division as C does it: towards zero."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient
