"""The TMP102's data formats as conversations. Append only."""

import pytest

from wayside_edge.drivers.tmp102 import Tmp102, Tmp102Settings
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape


# SBOS397, Table "12-Bit Temperature Data Format".
@pytest.mark.parametrize(
    ("code", "celsius"),
    [
        (0x7FF, 127.9375),
        (0x640, 100.0),
        (0x500, 80.0),
        (0x190, 25.0),
        (0x004, 0.25),
        (0x000, 0.0),
        (0xFFC, -0.25),
        (0xE70, -25.0),
        (0xC90, -55.0),
    ],
)
def test_twelve_bits(code: int, celsius: float) -> None:
    tape = Tape(
        ("01", "60a0"),
        ("010180", ""),
        ("018180", ""),
        ("01", "61a0"),
        ("01", "e1a0"),
        ("00", f"{code << 4:04x}"),
        ("01", "e1a0"),
        address=0x48,
    )
    (found,) = play(tape, Tmp102(Tmp102Settings(), "main", tape))
    assert (found.name, found.value, found.unit) == ("temperature", celsius, "Cel")


# The same, Table "13-Bit Temperature Data Format".
@pytest.mark.parametrize(("code", "celsius"), [(0x0960, 150.0), (0x0800, 128.0), (0x07FF, 127.9375), (0x1C90, -55.0)])
def test_thirteen_bits(code: int, celsius: float) -> None:
    word = f"{code << 3 | 1:04x}"
    kept = ("01", "e190")
    tape = Tape(("01", "60a0"), ("010190", ""), ("018190", ""), kept, ("00", word), kept, address=0x48)
    (found,) = play(tape, Tmp102(Tmp102Settings(extended=True), "main", tape))
    assert found.value == celsius
