"""The INA219 against the worked example of its data sheet. Append only."""

import pytest

from wayside_edge.drivers.ina219 import Ina219, Ina219Settings
from wayside_edge.drivers.ina219.settings import Mode
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape

# SBOS448G, Table "Calculating Current and Power": 10 A through 2 mΩ at 12 V, current LSB 1 mA.
EXAMPLE = {"shunt": "07d0", "bus": "5d98", "calibration": "5000", "current": "2710", "power": "1766"}
SETTINGS = {"shunt_ohm": 0.002, "max_current_a": 32.768, "bus_range_v": 16, "shunt_range_mv": 80}


def test_the_calibration_of_the_worked_example() -> None:
    settings = Ina219Settings(**SETTINGS)
    assert settings.calibration == 0x5000
    assert settings.current_step_a == pytest.approx(1e-3, rel=1e-12)


def test_the_worked_example_as_a_conversation() -> None:
    # CONFIG: 16 V, PG = ÷2, 12 bits, triggered; the bus register has its ready flag beside 2995 steps.
    ready = f"{int(EXAMPLE['bus'], 16) | 2:04x}"
    tape = Tape(
        ("008000", ""),
        ("00", "399f"),
        ("055000", ""),
        ("00099b", ""),
        ("02", EXAMPLE["bus"]),
        ("02", ready),
        ("02", ready),
        ("01", EXAMPLE["shunt"]),
        ("04", EXAMPLE["current"]),
        ("03", EXAMPLE["power"]),
        ("00", "099b"),
        ("05", "5000"),
        ("000998", ""),
        address=0x40,
    )
    found = play(tape, Ina219(Ina219Settings(**SETTINGS), "main", tape))
    assert [(reading.name, reading.unit) for reading in found] == [
        ("bus_voltage", "V"),
        ("shunt_voltage", "mV"),
        ("current", "A"),
        ("power", "W"),
    ]
    assert [float(reading.value or 0) for reading in found] == pytest.approx([11.98, 20.0, 10.0, 119.8], rel=1e-12)


def test_a_continuous_conversation_with_averages_and_a_negative_current() -> None:
    tape = Tape(
        ("008000", ""),
        ("00", "399f"),
        ("052000", ""),
        ("003fff", ""),
        ("02", "5d9a"),
        ("02", "5d9a"),
        ("01", "fc18"),  # -1000 steps of 10 µV
        ("04", "f830"),  # -2000 steps
        ("03", "04ae"),
        ("00", "3fff"),
        ("05", "2000"),
        ("003ff8", ""),
        address=0x40,
    )
    settings = Ina219Settings(max_current_a=1.6384, samples=128, mode=Mode.CONTINUOUS)
    assert settings.calibration == 0x2000
    found = play(tape, Ina219(settings, "main", tape))
    assert [float(reading.value or 0) for reading in found] == pytest.approx([11.98, -10.0, -0.1, 1.198], rel=1e-9)
