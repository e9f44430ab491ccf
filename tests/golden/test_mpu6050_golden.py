"""Conversations with an MPU-6050, and its formulas (RM-MPU-6000A-00, revision 4.2, registers 59 to 72). Append only."""

import pytest

from wayside_edge.drivers.mpu6050 import Mpu6050, Mpu6050Settings, Parts
from wayside_shared.quality import Quality
from wayside_testkit.chips import play, refusal
from wayside_testkit.sensing import finish
from wayside_testkit.tape import Tape


def ignore(_seconds: float) -> None:
    pass


def start(setup: str) -> tuple[tuple[str, str], ...]:
    return (
        ("75", "68"),
        ("6b80", ""),
        ("6b", "40"),
        ("6b01", ""),
        (f"19{setup}", ""),
        ("19", setup),
        ("3811", ""),
    )


def test_a_single_measurement() -> None:
    # 1 g on z, 16384 LSB/g; 131 LSB to a deg/s; 340 LSB/°C and 36.53 °C at 0.
    tape = Tape(
        *start("00030000"),
        ("19", "00030000"),
        ("3a", "00" + "00" * 14),
        ("19", "00030000"),
        ("3a", "01" + "20000000c000" + "0154" + "0083ff7d7fff"),
        address=0x69,
    )
    driver = Mpu6050(Mpu6050Settings(address=0x69), "main", tape)
    finish(driver.start(), ignore)
    found = {reading.name: reading for reading in finish(driver.read(), ignore)}
    assert {name: reading.value for name, reading in found.items()} == {
        "acceleration_x": pytest.approx(4.903325),
        "acceleration_y": 0.0,
        "acceleration_z": pytest.approx(-9.80665),
        "rotation_x": pytest.approx(1.0),
        "rotation_y": pytest.approx(-1.0),
        "rotation_z": pytest.approx(250.13, abs=0.005),
        "temperature": pytest.approx(37.53),
    }
    assert found["rotation_z"].quality is Quality.CLIPPED
    assert tape.rest() == 0


def test_a_burst() -> None:
    tape = Tape(
        *start("04010800"),
        ("2378", ""),
        ("6a00", ""),
        ("6a04", ""),
        ("6a40", ""),
        ("3a", "01"),
        ("6a", "4001" + "00" * 6 + "001c"),
        ("74", "400000000000" + "000000000000" + "c00000000000" + "000000000042"),
        ("3a", "01" + "00" * 6 + "0000"),
        ("6a", "4001" + "00" * 6 + "000c"),
        address=0x68,
    )
    settings = Mpu6050Settings(fifo_rate_hz=200, bandwidth_hz=184, rotation_range_dps=500)
    driver = Mpu6050(settings, "main", tape)
    finish(driver.start(), ignore)
    found = finish(driver.read(), ignore)
    assert [(r.name, round(float(r.value or 0), 4), r.age_ns) for r in found] == [
        ("acceleration_x", 9.8066, 12_500_000),
        ("acceleration_y", 0.0, 12_500_000),
        ("acceleration_z", 0.0, 12_500_000),
        ("rotation_x", 0.0, 12_500_000),
        ("rotation_y", 0.0, 12_500_000),
        ("rotation_z", 0.0, 12_500_000),
        ("acceleration_x", -9.8066, 7_500_000),
        ("acceleration_y", 0.0, 7_500_000),
        ("acceleration_z", 0.0, 7_500_000),
        ("rotation_x", 0.0, 7_500_000),
        ("rotation_y", 0.0, 7_500_000),
        ("rotation_z", 1.0076, 7_500_000),
        ("temperature", 36.53, 0),
    ]
    assert tape.rest() == 0


def test_an_overflow() -> None:
    tape = Tape(
        *start("00060000"),
        ("2308", ""),
        *(("6a00", ""), ("6a04", ""), ("6a40", ""), ("3a", "01")),
        ("6a", "4001" + "00" * 6 + "0006"),
        ("74", "400000000000"),
        ("3a", "11" + "00" * 6 + "0000"),
        ("6a", "4001" + "00" * 6 + "03ff"),
        *(("6a00", ""), ("6a04", ""), ("6a40", ""), ("3a", "01")),
        address=0x68,
    )
    settings = Mpu6050Settings(fifo_rate_hz=1000, bandwidth_hz=5, fifo_parts=Parts.ACCELERATION)
    driver = Mpu6050(settings, "main", tape)
    finish(driver.start(), ignore)
    assert [(reading.name, reading.quality) for reading in finish(driver.read(), ignore)] == [
        *((f"acceleration_{axis}", Quality.INVALID) for axis in "xyz"),
        ("temperature", Quality.GOOD),
    ]
    assert tape.rest() == 0


def test_more_than_the_fifo_holds_is_noise() -> None:
    restart = (("6a00", ""), ("6a04", ""), ("6a40", ""), ("3a", "01"))
    tape = Tape(*start("00030000"), ("2378", ""), *restart, ("6a", "4001" + "00" * 6 + "0401"), address=0x68)
    quality, message = refusal(lambda: play(tape, Mpu6050(Mpu6050Settings(fifo_rate_hz=1000), "main", tape)))
    assert quality is Quality.CHECKSUM
    assert "1024 bytes holds 1025" in message
