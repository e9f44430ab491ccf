"""The BME680's bytes and compensation. Append only."""

import pytest

from wayside_edge.drivers.bme680 import Bme680, Bme680Settings, compensation
from wayside_edge.drivers.bme680.compensation import Coefficients
from wayside_shared.quality import Quality
from wayside_testkit.sensing import finish
from wayside_testkit.tape import Tape

# Registers in the form of a chip's. Pimoroni's driver, which has Bosch's integer formulas, makes 21.37 °C, 987.64 hPa,
# 43.202 % and 115 550.3 Ω of them.
LOW = "65670300418f58d75800e01b80ff231e0000d3fbfaf51e"
HIGH = "3f6b2f002d14789cb965afe8e212"
HEATER = "2e00100010"
FIELD = "8000" + "560cc0" + "764140" + "511f" + "000000" + "9bb6" + "0000"
VALUES = [
    ("temperature", 21.37, "Cel"),
    ("pressure", 987.644, "hPa"),
    ("humidity", 43.202, "%"),
    ("gas_resistance", 115_550.0, "Ohm"),
]


def ignore(_seconds: float) -> None:
    pass


def unpacked() -> Coefficients:
    return compensation.unpack(bytes.fromhex(LOW), bytes.fromhex(HIGH), bytes.fromhex(HEATER))


def test_coefficients_unpack() -> None:
    found = unpacked()
    assert found.t == (26041, 26469, 3)
    assert found.p == (36673, -10408, 88, 7136, -128, 30, 35, -1069, -2566, 30)
    assert found.h == (763, 1014, 0, 45, 20, 120, -100)
    assert found.g == (-30, -5969, 18)
    assert (found.heat_range, found.heat_value, found.switching_error) == (1, 46, 1)


def test_coefficients_that_are_negative() -> None:
    found = compensation.unpack(bytes.fromhex(LOW), bytes.fromhex(HIGH), b"\xf0\x00\xff\x00\xff")
    assert (found.heat_range, found.heat_value, found.switching_error) == (3, -16, -1)


@pytest.mark.parametrize(
    ("milliseconds", "register"),
    [(1, 0x01), (63, 0x3F), (64, 0x50), (100, 0x59), (150, 0x65), (252, 0x7F), (1000, 0xBE), (4032, 0xFF)],
)
def test_heating_times(milliseconds: int, register: int) -> None:
    # 100 ms as 0x59 is the example of the data sheet, section 3.2.1.
    assert compensation.heater_wait(milliseconds) == register


def test_conversation_with_gas() -> None:
    tape = Tape(
        ("d0", "61"),
        ("e0b6", ""),
        ("8a", LOW),
        ("e1", HIGH),
        ("00", HEATER),
        ("f0", "00"),
        ("7508", ""),
        ("7202", ""),
        ("70007110", ""),
        ("6465", ""),
        ("5a76", ""),
        ("748d", ""),
        ("1d", "20" + FIELD[2:]),
        ("1d", FIELD),
        ("70", "001002008c08"),
        ("5a76", ""),
        ("748d", ""),
        ("1d", FIELD.replace("9bb6", "9ba6")),
        ("70", "001002008c08"),
        address=0x76,
    )
    driver = Bme680(Bme680Settings(), "main", tape)
    finish(driver.start(), ignore)
    found = finish(driver.read(), ignore)
    assert [(r.name, round(float(r.value or 0), 3), r.unit) for r in found] == VALUES
    assert {r.quality for r in found} == {Quality.GOOD}
    assert finish(driver.read(), ignore)[3].quality is Quality.UNSTABLE
    driver.close()
    assert tape.rest() == 0


def test_conversation_without_gas() -> None:
    tape = Tape(
        ("d0", "61"),
        ("e0b6", ""),
        ("8a", LOW),
        ("e1", HIGH),
        ("00", HEATER),
        ("f0", "01"),
        ("7508", ""),
        ("7202", ""),
        ("70087100", ""),
        ("748d", ""),
        ("1d", FIELD),
        ("70", "080002008c08"),
        address=0x77,
    )
    driver = Bme680(Bme680Settings(address=0x77, heater_c=0), "main", tape)
    finish(driver.start(), ignore)
    assert [(r.name, round(float(r.value or 0), 3), r.unit) for r in finish(driver.read(), ignore)] == VALUES[:3]
    assert tape.rest() == 0
