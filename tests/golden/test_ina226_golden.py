"""The INA226 against the worked example of its data sheet. Append only."""

import pytest

from wayside_edge.drivers.ina226 import Ina226, Ina226Settings
from wayside_edge.drivers.ina226.settings import Alert
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape

# SBOS547B, Table "Calculating Current and Power": 10 A through 2 mΩ at 12 V, current LSB 1 mA.
SETTINGS = {"shunt_ohm": 0.002, "max_current_a": 32.768}


def test_the_calibration_of_the_worked_example() -> None:
    settings = Ina226Settings(**SETTINGS)
    assert settings.calibration == 0x0A00
    assert settings.current_step_a == pytest.approx(1e-3, rel=1e-12)


def test_the_worked_example_as_a_conversation() -> None:
    tape = Tape(
        ("fe", "5449"),
        ("ff", "2260"),
        ("008000", ""),
        ("050a00", ""),
        ("004523", ""),
        ("06", "0000"),
        ("06", "0008"),
        ("02", "2570"),
        ("01", "1f40"),
        ("04", "2710"),
        ("03", "12b8"),
        ("00", "4523"),
        ("05", "0a00"),
        ("004520", ""),
        address=0x40,
    )
    found = play(tape, Ina226(Ina226Settings(**SETTINGS), "main", tape))
    assert [(reading.name, reading.unit) for reading in found] == [
        ("bus_voltage", "V"),
        ("shunt_voltage", "mV"),
        ("current", "A"),
        ("power", "W"),
    ]
    assert [float(reading.value or 0) for reading in found] == pytest.approx([11.98, 20.0, 10.0, 119.8], rel=1e-12)


def test_an_alert_as_a_conversation() -> None:
    settings = Ina226Settings(averages=1, conversion_us=140, alert=Alert.CURRENT_UNDER, alert_limit=-0.5)
    tape = Tape(
        ("fe", "5449"),
        ("ff", "2260"),
        ("008000", ""),
        ("050800", ""),
        ("07b1e0", ""),  # -20000 steps of 2.5 µV: -50 mV, -0.5 A
        ("064001", ""),
        ("004003", ""),
        ("06", "4019"),
        ("02", "2570"),
        ("01", "a240"),  # -24000 steps: -60 mV
        ("04", "a240"),
        ("03", "2cec"),
        ("00", "4003"),
        ("05", "0800"),
        ("004000", ""),
        address=0x40,
    )
    found = play(tape, Ina226(settings, "main", tape))
    assert [float(reading.value or 0) for reading in found[:4]] == pytest.approx([11.98, -60.0, -0.6, 7.1875], rel=1e-9)
    assert found[-1].value is True
