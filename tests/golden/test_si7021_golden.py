"""The bytes of Si7021 and HTU21D. Append only."""

import pytest

from wayside_edge.drivers.si7021 import Htu21d, Htu21dSettings, Si7021, Si7021Settings
from wayside_edge.hal.checksum import crc8
from wayside_testkit.sensing import finish
from wayside_testkit.tape import Tape


def ignore(_seconds: float) -> None:
    pass


@pytest.mark.parametrize(("data", "checksum"), [("dc", 0x79), ("683a", 0x7C), ("4e85", 0x6B)])
def test_checksums_of_the_data_sheet(data: str, checksum: int) -> None:
    # HTU21D(F) data sheet, "CRC-8 checksum calculations from HTU21D(F)".
    assert crc8(bytes.fromhex(data), 0x31) == checksum


# The temperature 0x683A with its checksum is the data sheet's; by hand it is 24.69 °C, and 24.686 °C without the status
# bits. The humidity 0x7C80 (54.8 %) with the status bits 10 and its checksum is the data sheet's example of a reading.
TEMPERATURE, HUMIDITY = "683a7c", "7c8297"


def test_si7021_conversation() -> None:
    tape = Tape(
        ("fe", ""),
        ("fcc9", "15ffb5"),
        ("f3", ""),
        ("", TEMPERATURE),
        ("f5", ""),
        ("", HUMIDITY),
        ("e7", "3a"),
        address=0x40,
    )
    driver = Si7021(Si7021Settings(), "main", tape)
    finish(driver.start(), ignore)
    assert [(r.name, round(float(r.value or 0), 3), r.unit) for r in finish(driver.read(), ignore)] == [
        ("temperature", 24.692, "Cel"),
        ("humidity", 54.795, "%"),
    ]
    driver.close()
    assert tape.rest() == 0


def test_htu21d_conversation() -> None:
    tape = Tape(
        ("fe", ""),
        ("fcc9", "32006b"),
        ("f3", ""),
        ("", TEMPERATURE),
        ("f5", ""),
        ("", HUMIDITY),
        ("e7", "02"),
        address=0x40,
    )
    driver = Htu21d(Htu21dSettings(), "main", tape)
    finish(driver.start(), ignore)
    assert [(r.name, round(float(r.value or 0), 3), r.unit) for r in finish(driver.read(), ignore)] == [
        ("temperature", 24.686, "Cel"),
        ("humidity", 54.791, "%"),
    ]
    driver.close()
    assert tape.rest() == 0
