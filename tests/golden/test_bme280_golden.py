"""The BME280's compensation against worked examples. Append only."""

import pytest

from wayside_edge.drivers.bme280 import Bme280, Bme280Settings, compensation
from wayside_edge.drivers.bme280.settings import Mode
from wayside_testkit.sensing import finish
from wayside_testkit.tape import Tape

# A chip's registers as read over the bus, and what three other drivers make of them: 25.0825 °C, 1006.5327 hPa and
# 56.2063 %. Temperature and pressure are the worked example of Bosch's BMP280 data sheet (BST-BMP280-DS001-11,
# section 3.12), which shares these formulas.
LOW = bytes.fromhex("706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017004b")
HIGH = bytes.fromhex("7201001329031e")
RAW_T, RAW_P, RAW_H = 519_888, 415_148, 30_000


def test_coefficients_unpack() -> None:
    found = compensation.unpack(LOW, HIGH)
    assert found.t == (27504, 26435, -1000)
    assert found.p == (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
    assert found.h == (75, 370, 0, 313, 50, 30)


def test_coefficients_that_are_negative_12_bit_numbers() -> None:
    found = compensation.unpack(LOW, bytes((0, 0, 0, 0xFF, 0x2E, 0xFE, 0x80)))
    assert (found.h[3], found.h[4], found.h[5]) == (-2, -30, -128)


def test_worked_example() -> None:
    coefficients = compensation.unpack(LOW, HIGH)
    t_fine = compensation.fine_temperature(RAW_T, coefficients.t)
    assert t_fine == 128422
    assert compensation.temperature(t_fine) == 2508
    # The data sheet prints 25767236, from the floating-point form; its own integer form gives 0.01 Pa less.
    assert compensation.pressure(RAW_P, t_fine, coefficients.p) == 25767233
    assert compensation.humidity(RAW_H, t_fine, coefficients.h) / 1024 == pytest.approx(56.2063, abs=0.01)


def test_agrees_with_the_floating_point_formulas() -> None:
    coefficients = compensation.unpack(LOW, HIGH)
    t_fine = compensation.fine_temperature(RAW_T, coefficients.t)
    value = compensation.pressure(RAW_P, t_fine, coefficients.p)
    assert t_fine / 5120 == pytest.approx(25.0825, abs=0.0005)
    assert value is not None
    assert value / 25600 == pytest.approx(1006.5327, abs=0.0005)


def test_zero_coefficients_do_not_divide() -> None:
    assert compensation.pressure(RAW_P, 128422, (0,) * 9) is None


def test_humidity_stays_between_0_and_100() -> None:
    coefficients = compensation.unpack(LOW, HIGH)
    assert compensation.humidity(0, 128422, coefficients.h) == 0
    assert compensation.humidity(65535, 128422, coefficients.h) == 100 * 1024


def ignore(_seconds: float) -> None:
    pass


START = (("d0", "60"), ("e0b6", ""), ("f3", "00"), ("88", LOW.hex()), ("e1", HIGH.hex()))
DATA = "655ac07eed007530"


def test_forced_conversation() -> None:
    tape = Tape(
        *START,
        ("f500", ""),
        ("f201", ""),
        ("f201", ""),
        ("f425", ""),
        ("f3", "08"),
        ("f3", "00"),
        ("f2", "0100240000" + DATA),
        address=0x76,
    )
    driver = Bme280(Bme280Settings(standby_ms=0.5), "main", tape)
    finish(driver.start(), ignore)
    assert [(r.name, round(float(r.value or 0), 4), r.unit) for r in finish(driver.read(), ignore)] == [
        ("temperature", 25.08, "Cel"),
        ("pressure", 1006.5325, "hPa"),
        ("humidity", 56.2031, "%"),
    ]
    driver.close()
    assert tape.rest() == 0


def test_normal_conversation() -> None:
    settings = Bme280Settings(
        mode=Mode.NORMAL,
        temperature_oversampling=2,
        pressure_oversampling=16,
        humidity_oversampling=1,
        filter=16,
        standby_ms=0.5,
    )
    # The data sheet's suggestion for indoor navigation (section 3.5.3).
    tape = Tape(
        *START,
        ("f510", ""),
        ("f201", ""),
        ("f201", ""),
        ("f457", ""),
        ("f2", "0108571000" + DATA),
        ("f454", ""),
        address=0x76,
    )
    driver = Bme280(settings, "main", tape)
    finish(driver.start(), ignore)
    assert finish(driver.read(), ignore)[0].value == 25.08
    driver.close()
    assert tape.rest() == 0
