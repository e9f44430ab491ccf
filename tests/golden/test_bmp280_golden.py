"""The BMP280's bytes, and the BME280's over SPI. Append only."""

import pytest

from wayside_edge.drivers.bme280 import Bme280, Bme280Settings, Bmp280, Bmp280Settings
from wayside_edge.drivers.bme280.settings import Mode
from wayside_testkit.sensing import finish
from wayside_testkit.tape import Tape

# The worked example of the data sheet (BST-BMP280-DS001-23, section 3.12): 519888 and 415148 are 25.08 °C and
# 100653.27 Pa.
LOW = "706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017"
DATA = "655ac07eed00"
VALUES = [("temperature", 25.08, "Cel"), ("pressure", 1006.533, "hPa")]


def ignore(_seconds: float) -> None:
    pass


def heard(driver: Bmp280 | Bme280) -> list[tuple[str, float, str]]:
    return [(r.name, round(float(r.value or 0), 3), r.unit) for r in finish(driver.read(), ignore)]


START = (("d0", "58"), ("e0b6", ""), ("f3", "00"), ("88", LOW + "0000"))


def test_forced_conversation() -> None:
    tape = Tape(*START, ("f500", ""), ("f425", ""), ("f3", "08"), ("f3", "00"), ("f3", "00240000" + DATA), address=0x76)
    driver = Bmp280(Bmp280Settings(standby_ms=0.5), "main", tape)
    finish(driver.start(), ignore)
    assert heard(driver) == VALUES
    driver.close()
    assert tape.rest() == 0


def test_normal_conversation() -> None:
    tape = Tape(*START, ("f5f0", ""), ("f457", ""), ("f3", "0857f000" + DATA), ("f454", ""), address=0x77)
    settings = Bmp280Settings(
        address=0x77,
        mode=Mode.NORMAL,
        temperature_oversampling=2,
        pressure_oversampling=16,
        filter=16,
        standby_ms=4000.0,
    )
    driver = Bmp280(settings, "main", tape)
    finish(driver.start(), ignore)
    assert heard(driver) == VALUES
    driver.close()
    assert tape.rest() == 0


def got(register: str, answer: str) -> tuple[str, str]:
    """A read over SPI: the register, and zeros while the answer comes."""
    return register + "00" * (len(answer) // 2), "ff" + answer


def put(data: str) -> tuple[str, str]:
    """A write over SPI."""
    return data, "ff" * (len(data) // 2)


@pytest.mark.parametrize("identity", ["56", "57", "58"])
def test_conversation_over_spi(identity: str) -> None:
    lines = (
        got("d0", identity),
        put("60b6"),
        got("f3", "00"),
        got("88", LOW + "0000"),
        put("7500"),
        put("7425"),
        got("f3", "00"),
        got("f3", "00240000" + DATA),
    )
    tape = Tape(*lines, address=None)
    driver = Bmp280(Bmp280Settings(standby_ms=0.5), "spi", tape)
    finish(driver.start(), ignore)
    assert heard(driver) == VALUES
    assert tape.rest() == 0


def test_conversation_of_a_bme280_over_spi() -> None:
    lines = (
        got("d0", "60"),
        put("60b6"),
        got("f3", "00"),
        got("88", LOW + "004b"),
        got("e1", "7201001329031e"),
        put("7500"),
        put("7201"),
        put("7201"),
        put("7425"),
        got("f3", "00"),
        got("f2", "0100240000" + DATA + "7530"),
    )
    tape = Tape(*lines, address=None)
    driver = Bme280(Bme280Settings(standby_ms=0.5), "spi", tape)
    finish(driver.start(), ignore)
    assert heard(driver) == [*VALUES, ("humidity", 56.203, "%")]
    assert tape.rest() == 0
