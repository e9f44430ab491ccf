"""The SHT4x's bytes. Append only."""

import pytest

from wayside_edge.drivers.sht4x import Sht4x, Sht4xSettings
from wayside_edge.drivers.sht4x.settings import Heater, Precision
from wayside_edge.hal.checksum import crc8
from wayside_testkit.sensing import BoardClock, finish
from wayside_testkit.tape import Tape

START = (("94", ""), ("89", ""), ("", "0ef15f2b6b16"))


def test_checksum_of_the_data_sheet() -> None:
    # "CRC (0xBEEF) = 0x92" (Datasheet SHT4x, "Checksum Calculation"; SHT3x-DIS, Table 20).
    assert crc8(b"\xbe\xef", 0x31, 0xFF) == 0x92


def words(*values: int) -> str:
    return b"".join((raw := value.to_bytes(2, "big")) + bytes((crc8(raw, 0x31, 0xFF),)) for value in values).hex()


# T = -45 + 175·S/65535 and RH = -6 + 125·S/65535 by hand: S = 0x6666 = 26214 gives 25.000 °C, 0x8000 56.501 %.
ANSWER = "666693" + "8000a2"


@pytest.mark.parametrize(
    ("precision", "command"), [(Precision.HIGH, "fd"), (Precision.MEDIUM, "f6"), (Precision.LOW, "e0")]
)
def test_conversation(precision: Precision, command: str) -> None:
    assert words(0x0EF1, 0x2B6B) == START[2][1]
    assert words(0x6666, 0x8000) == ANSWER
    tape = Tape(*START, (command, ""), ("", ANSWER), address=0x44)
    clock = BoardClock()
    driver = Sht4x(Sht4xSettings(precision=precision), "main", tape, clock)
    finish(driver.start(), clock.sleep)
    assert [(r.name, round(float(r.value or 0), 3), r.unit) for r in finish(driver.read(), clock.sleep)] == [
        ("temperature", 25.0, "Cel"),
        ("humidity", 56.501, "%"),
    ]
    assert tape.rest() == 0


@pytest.mark.parametrize(
    ("power", "pulse_s", "command"),
    [
        (Heater.HIGH, 1.0, "39"),
        (Heater.HIGH, 0.1, "32"),
        (Heater.MEDIUM, 1.0, "2f"),
        (Heater.MEDIUM, 0.1, "24"),
        (Heater.LOW, 1.0, "1e"),
        (Heater.LOW, 0.1, "15"),
    ],
)
def test_conversation_with_a_heater_pulse(power: Heater, pulse_s: float, command: str) -> None:
    tape = Tape(*START, ("fd", ""), ("", ANSWER), (command, ""), ("", ANSWER), address=0x44)
    clock = BoardClock()
    settings = Sht4xSettings(heater=power, heater_pulse_s=pulse_s, heater_interval_s=60.0)
    driver = Sht4x(settings, "main", tape, clock)
    finish(driver.start(), clock.sleep)
    clock.sleep(60.0)
    finish(driver.read(), clock.sleep)
    assert tape.rest() == 0
