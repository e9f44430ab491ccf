"""The TMP117's data format and conversations. Append only."""

import pytest

from wayside_edge.drivers.tmp117 import Tmp117, Tmp117Settings
from wayside_edge.drivers.tmp117.settings import Mode
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape


# SNOSD82D, Table "16-Bit Temperature Data Format".
@pytest.mark.parametrize(
    ("word", "celsius"),
    [
        ("3200", 100.0),
        ("0c80", 25.0),
        ("0080", 1.0),
        ("0001", 0.0078125),
        ("0000", 0.0),
        ("ffff", -0.0078125),
        ("ff80", -1.0),
        ("f380", -25.0),
    ],
)
def test_the_data_format_in_one_shot(word: str, celsius: float) -> None:
    # AVG 01 (8), CONV 100, MOD 11; done, the chip is shut down: MOD 01, with the flag that data are ready.
    tape = Tape(
        ("0f", "0117"),
        ("010002", ""),
        ("01", "1220"),
        ("01", "0220"),
        ("010620", ""),
        ("010e20", ""),
        ("01", "0e20"),
        ("01", "2620"),
        ("00", word),
        ("0f", "0117"),
        ("010620", ""),
        address=0x48,
    )
    (found,) = play(tape, Tmp117(Tmp117Settings(), "main", tape))
    assert (found.name, found.value, found.unit) == ("temperature", celsius, "Cel")


def test_a_tmp119_all_the_time() -> None:
    tape = Tape(
        ("0f", "2117"),
        ("010002", ""),
        ("01", "0220"),
        ("010060", ""),
        ("01", "2060"),
        ("00", "0c80"),
        ("0f", "2117"),
        ("010460", ""),
        address=0x49,
    )
    settings = Tmp117Settings(address=0x49, mode=Mode.CONTINUOUS, averages=64, cycle_s=0.0155)
    (found,) = play(tape, Tmp117(settings, "main", tape))
    assert found.value == 25.0
