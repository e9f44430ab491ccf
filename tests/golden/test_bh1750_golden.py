"""The BH1750 against the example of its data sheet. Append only."""

import pytest

from wayside_edge.drivers.bh1750 import Bh1750, Bh1750Settings
from wayside_edge.drivers.bh1750.settings import Resolution
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape

START = (("01", ""), ("07", ""), ("", "0000"))


def test_the_example_of_the_data_sheet() -> None:
    # ROHM No. 11046EDT01: 10000011 10010000 in high resolution is 33680 / 1.2 = 28067 lx.
    tape = Tape(
        *START, ("01", ""), ("07", ""), ("42", ""), ("65", ""), ("20", ""), ("", "8390"), ("00", ""), address=0x23
    )
    (found,) = play(tape, Bh1750(Bh1750Settings(), "main", tape))
    assert (found.name, found.unit) == ("illuminance", "lx")
    assert found.value == pytest.approx(28067, abs=0.5)


def test_high_resolution_2_with_twice_the_time_all_the_time() -> None:
    # A measurement time of 138 is 10001010: 0x44 and 0x6a.
    tape = Tape(*START, ("44", ""), ("6a", ""), ("11", ""), ("", "0190"), ("00", ""), address=0x5C)
    settings = Bh1750Settings(address=0x5C, resolution=Resolution.HIGH2, measurement_time=138, continuous=True)
    (found,) = play(tape, Bh1750(settings, "main", tape))
    assert found.value == pytest.approx(400 / 1.2 / 2 / 2)
