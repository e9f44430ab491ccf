"""Conversations with an MCP3008 by Figures 5-1 and 5-2 and Equation 4-2 of its data sheet (DS21295). Append only."""

import pytest

from wayside_edge.drivers.mcp3008 import Mcp3008, Mcp3008Channel, Mcp3008Settings
from wayside_testkit.sensing import finish
from wayside_testkit.tape import Tape


def ignore(_seconds: float) -> None:
    pass


def answer(code: int) -> str:
    """Floating bits, the null bit, B9 to B0, B1 to B9."""
    return f"{int('1' * 12 + '0' + f'{code:010b}' + f'{code:010b}'[-2::-1], 2):08x}"


ALIVE = [(f"03{channel << 5:02x}0000", answer(0x155)) for channel in range(8)]


@pytest.mark.parametrize(("code", "volt"), [(0x000, 0.0), (0x001, 0.005), (0x200, 2.56), (0x3FE, 5.11), (0x3FF, 5.115)])
def test_codes_of_a_reference_of_5_12_v(code: int, volt: float) -> None:
    tape = Tape(*ALIVE, ("03a00000", answer(code)), *([] if code else ALIVE), address=None)
    driver = Mcp3008(Mcp3008Settings(reference_v=5.12, channels=[Mcp3008Channel(input="5", name="x")]), "spi", tape)
    finish(driver.start(), ignore)
    assert finish(driver.read(), ignore)[0].value == pytest.approx(volt)
    assert tape.rest() == 0


@pytest.mark.parametrize(
    ("source", "command"),
    [("0-1", "02000000"), ("1-0", "02200000"), ("6-7", "02c00000"), ("7-6", "02e00000"), ("7", "03e00000")],
)
def test_configuration_bits_of_table_5_2(source: str, command: str) -> None:
    tape = Tape(*ALIVE, (command, answer(0x2A5)), address=None)
    settings = Mcp3008Settings(reference_v=1.024, channels=[Mcp3008Channel(input=source, name="x")])
    driver = Mcp3008(settings, "spi", tape)
    finish(driver.start(), ignore)
    assert finish(driver.read(), ignore)[0].value == pytest.approx(0.677)
    assert tape.rest() == 0


def test_the_bits_as_written_out() -> None:
    assert answer(0x2A5) == "fff54a95"
