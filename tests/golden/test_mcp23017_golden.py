"""Conversations with an MCP23017. Append only."""

from wayside_edge.drivers.mcp23017 import Mcp23017, Mcp23017Input, Mcp23017Settings
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape

# DS20001952C, Table "Control Register Summary (IOCON.BANK = 0)": IODIR, IPOL, GPINTEN, DEFVAL, INTCON, IOCON, GPPU.
SET = "ffff" + "0180" + "0100" + "0000" + "0000" + "0404" + "0100"


def test_pins_polarity_pull_up_and_edges() -> None:
    inputs = [
        Mcp23017Input(name="door", pin="A0", pull_up=True, inverted=True, edges=True),
        Mcp23017Input(name="mains", pin="B7", inverted=True),
        Mcp23017Input(name="level", pin="B0"),
    ]
    tape = Tape(
        ("0500", ""),
        ("0a04", ""),
        ("00" + SET, ""),
        ("00", SET),
        ("00", SET + "0100" + "0100" + "0101"),
        address=0x20,
    )
    found = play(tape, Mcp23017(Mcp23017Settings(inputs=inputs), "main", tape))
    assert [(reading.name, reading.value, reading.unit) for reading in found] == [
        ("door", True, "1"),
        ("door_changed", False, "1"),
        ("mains", False, "1"),
        ("level", True, "1"),
    ]
