"""The AHT20's bytes. Append only."""

import pytest

from wayside_edge.drivers.aht20 import Aht20, Aht20Settings
from wayside_testkit.sensing import finish
from wayside_testkit.tape import Tape


def ignore(_seconds: float) -> None:
    pass


# By hand: humidity 0x80000 of 2^20 is 50 %, temperature 0x60000 of 2^20 is 0.375 · 200 - 50 = 25 °C.
CALIBRATED = (("ba", ""), ("71", "18"), ("71", "18"))
NEW = (("ba", ""), ("71", "10"), ("be0800", ""), ("71", "18"))


@pytest.mark.parametrize("start", [CALIBRATED, NEW])
def test_conversation(start: tuple[tuple[str, str], ...]) -> None:
    tape = Tape(*start, ("ac3300", ""), ("", "980000000000ff"), ("", "18800006000023"), address=0x38)
    driver = Aht20(Aht20Settings(), "main", tape)
    finish(driver.start(), ignore)
    assert [(r.name, r.value, r.unit) for r in finish(driver.read(), ignore)] == [
        ("temperature", 25.0, "Cel"),
        ("humidity", 50.0, "%"),
    ]
    driver.close()
    assert tape.rest() == 0
