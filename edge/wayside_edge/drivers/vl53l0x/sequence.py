"""What a VL53L0X has to be told before it measures: ST publishes no register map, only a program that does it.

Source: STMicroelectronics, VL53L0X API 1.0.2 (STSW-IMG005): `vl53l0x_tuning.h` (the default tuning), VL53L0X_StaticInit
and VL53L0X_set_reference_spads (reference SPADs), vl53l0x_api_core.c (encoding and calculation of timeouts). The names
of the registers are those of `vl53l0x_device.h`; numbers without a name have none there either.
"""

from collections.abc import Iterator

PAGE = 0xFF
"""Chooses what the other registers are; 0 is where measurements happen."""

_TUNING = """
ff01 0000 ff00 0900 1000 1100 2401 25ff 7500 ff01 4e2c 4800 3020
ff00 3009 5400 3104 3203 4083 4625 6000 2700 5006 5100 5296 5608 5730 6100 6200 6400 6500 66a0
ff01 2232 4714 49ff 4a00 ff00 7a0a 7b00 7821
ff01 2334 4200 44ff 4526 4605 4040 0e06 201a 4340 ff00 3403 3544
ff01 3104 4b09 4c05 4d04 ff00 4400 4520 4708 4828 6700 7004 7101 72fe 7600 7700
ff01 0d01 ff00 8001 01f8 ff01 8e01 0001 ff00 8000
"""

PRE_RANGE_PCLKS, FINAL_RANGE_PCLKS = 14, 10
"""Periods of the laser: registers 0x50 and 0x70 of the tuning hold half of each, less 1."""
MSRC_MCLKS, PRE_RANGE_MCLKS = 0x25 + 1, 0x96 + 1
"""Timeouts in macro periods: registers 0x46 and 0x51 of the tuning."""
START_US, END_US, DSS_US, PRE_RANGE_US, FINAL_RANGE_US = 1910, 960, 690, 660, 550
"""Overheads of a measurement and of its steps."""
SPADS, FIRST_APERTURE_SPAD = 48, 12


def tuning() -> Iterator[tuple[int, int]]:
    """ST's default tuning: registers and their values, in the order in which they are written."""
    for pair in _TUNING.split():
        register, value = bytes.fromhex(pair)
        yield register, value


def reference_spads(good: bytes, count: int, *, aperture: bool) -> bytes:
    """Which detectors of the reference array to use: the first `count` good ones of their kind.

    Args:
        good: a bit for each of the 48 that works, least significant first.
        count: how many ST found right for this chip.
        aperture: whether those behind an aperture, which begin at the thirteenth.
    """
    chosen = 0
    bits = int.from_bytes(good, "little")
    for spad in range(FIRST_APERTURE_SPAD if aperture else 0, SPADS):
        if count and bits >> spad & 1:
            chosen |= 1 << spad
            count -= 1
    return chosen.to_bytes(SPADS // 8, "little")


def macro_period_ns(pclks: int) -> int:
    """Length of a macro period in ns with a laser period of `pclks` PLL clocks of 1.655 ns."""
    return (2304 * pclks * 1655 + 500) // 1000


def microseconds(mclks: int, pclks: int) -> int:
    """How long `mclks` macro periods are."""
    period_ns = macro_period_ns(pclks)
    return (mclks * period_ns + period_ns // 2) // 1000


def encode_timeout(mclks: int) -> int:
    """Macro periods as the chip wants them: mantissa in the low byte, exponent in the high one, all less 1."""
    mantissa, exponent = max(mclks - 1, 0), 0
    while mantissa > 0xFF:
        mantissa >>= 1
        exponent += 1
    return exponent << 8 | mantissa


def final_range_timeout(budget_us: int) -> int:
    """The encoded timeout of the last step that makes a whole measurement take `budget_us`."""
    before_us = microseconds(MSRC_MCLKS, PRE_RANGE_PCLKS), microseconds(PRE_RANGE_MCLKS, PRE_RANGE_PCLKS)
    used_us = START_US + END_US + 2 * (before_us[0] + DSS_US) + before_us[1] + PRE_RANGE_US + FINAL_RANGE_US
    period_ns = macro_period_ns(FINAL_RANGE_PCLKS)
    left_mclks = ((budget_us - used_us) * 1000 + period_ns // 2) // period_ns
    return encode_timeout(left_mclks + PRE_RANGE_MCLKS)
