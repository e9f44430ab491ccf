"""The MCP9808's data format as a conversation. Append only."""

import pytest

from wayside_edge.drivers.mcp9808 import Mcp9808, Mcp9808Settings
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape


# DS25095A, section "Ambient Temperature Register": three flags, the sign, then sixteenths of a degree.
@pytest.mark.parametrize(
    ("word", "celsius"), [("c194", 25.25), ("0000", 0.0), ("c001", 0.0625), ("3fff", -0.0625), ("3e6c", -25.25)]
)
def test_the_data_format(word: str, celsius: float) -> None:
    tape = Tape(
        ("06", "0054"),
        ("07", "0400"),
        ("0803", ""),
        ("010600", ""),
        ("01", "0600"),
        ("05", word),
        ("01", "0600"),
        address=0x18,
    )
    (found,) = play(tape, Mcp9808(Mcp9808Settings(), "main", tape))
    assert (found.name, found.value, found.unit, found.decimals) == ("temperature", celsius, "Cel", 2)
