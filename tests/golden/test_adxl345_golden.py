"""Conversations with an ADXL345 by the register definitions of its data sheet (Rev. E). Append only."""

import pytest

from wayside_edge.drivers.adxl345 import Adxl345, Adxl345Settings
from wayside_shared.quality import Quality
from wayside_testkit.chips import play, refusal
from wayside_testkit.tape import Tape


def test_a_single_measurement_over_i2c() -> None:
    # 256 LSB/g: 1 g, -1 g and the lower end of ±16 g.
    tape = Tape(
        ("00", "e5"),
        ("3800", ""),
        ("1e000000", ""),
        ("2c0a000000", ""),
        ("310b", ""),
        ("3800", ""),
        ("2d08", ""),
        ("2c", "0a080000020b"),
        ("2c", "0a080000020b"),
        ("2c", "0a080000830b"),
        ("32", "000100ff00f0"),
        ("2d00", ""),
        address=0x1D,
    )
    found = play(tape, Adxl345(Adxl345Settings(address=0x1D), "main", tape))
    assert [(r.value, r.quality) for r in found] == [
        (pytest.approx(9.80665), Quality.GOOD),
        (pytest.approx(-9.80665), Quality.GOOD),
        (pytest.approx(-16 * 9.80665), Quality.CLIPPED),
    ]


def test_a_burst_over_spi() -> None:
    # Bit 7 of the address reads, bit 6 goes on to the next registers.
    tape = Tape(
        ("8000", "00e5"),
        ("3800", "0000"),
        ("5e000000", "00000000"),
        ("6c0d000000", "0000000000"),
        ("3108", "0000"),
        ("3880", "0000"),
        ("2d08", "0000"),
        ("ec" + "00" * 6, "000d0800000208"),
        ("ec" + "00" * 6, "000d0800008308"),
        ("f80000", "008002"),
        ("f2" + "00" * 6, "0000010000ff00"),
        ("f2" + "00" * 6, "00ff0100fe0000"),
        ("f80000", "008001"),
        ("ec" + "00" * 6, "000d0800008008"),
        ("2d00", "0000"),
        address=None,
    )
    found = play(tape, Adxl345(Adxl345Settings(range_g=2, fifo_rate_hz=800.0), "spi", tape))
    assert [(round(float(r.value or 0) / 9.80665 * 256), r.age_ns, r.quality) for r in found] == [
        (256, 3_125_000, Quality.OVERRUN),
        (0, 3_125_000, Quality.OVERRUN),
        (255, 3_125_000, Quality.OVERRUN),
        (511, 1_875_000, Quality.CLIPPED),
        (-512, 1_875_000, Quality.CLIPPED),
        (0, 1_875_000, Quality.GOOD),
    ]


def test_more_than_the_fifo_holds_is_noise() -> None:
    tape = Tape(
        ("00", "e5"),
        ("3800", ""),
        ("1e000000", ""),
        ("2c0a000000", ""),
        ("310b", ""),
        ("3880", ""),
        ("2d08", ""),
        ("2c", "0a080000020b"),
        ("2c", "0a080000020b"),
        ("38", "8022"),
        address=0x53,
    )
    quality, message = refusal(lambda: play(tape, Adxl345(Adxl345Settings(fifo_rate_hz=100.0), "main", tape)))
    assert quality is Quality.CHECKSUM
    assert "32 samples holds 34" in message
