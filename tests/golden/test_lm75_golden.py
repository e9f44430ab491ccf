"""The LM75's data formats as conversations. Append only."""

import pytest

from wayside_edge.drivers.lm75 import Lm75, Lm75Settings
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape


# LM75B data sheet, Table "Temp register value": 11 bits.
@pytest.mark.parametrize(
    ("word", "celsius"),
    [
        ("7f00", 127.0),
        ("7ee0", 126.875),
        ("1900", 25.0),
        ("0020", 0.125),
        ("0000", 0.0),
        ("ffe0", -0.125),
        ("e700", -25.0),
        ("c920", -54.875),
        ("c900", -55.0),
    ],
)
def test_eleven_bits(word: str, celsius: float) -> None:
    tape = Tape(
        ("00", "1900"),
        ("02", "4b00"),
        ("03", "5000"),
        ("0108", ""),
        ("01", "08"),
        ("00", word),
        ("01", "08"),
        address=0x48,
    )
    (found,) = play(tape, Lm75(Lm75Settings(bits=11), "main", tape))
    assert (found.name, found.value, found.unit, found.decimals) == ("temperature", celsius, "Cel", 1)


@pytest.mark.parametrize(("bits", "config", "celsius"), [(9, "08", -25.5), (12, "68", -25.0625)])
def test_other_resolutions(bits: int, config: str, celsius: float) -> None:
    tape = Tape(
        ("00", "0000"),
        ("02", "4b00"),
        ("03", "5000"),
        (f"01{config}", ""),
        ("01", config),
        ("00", "e6f0"),
        ("01", config),
        address=0x48,
    )
    (found,) = play(tape, Lm75(Lm75Settings(bits=bits), "main", tape))
    assert found.value == celsius
