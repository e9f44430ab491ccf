"""The SGP40's bytes. Append only."""

import pytest

from wayside_edge.drivers.sgp40 import Sgp40, Sgp40Settings
from wayside_testkit.sensing import BoardClock, finish
from wayside_testkit.tape import Tape

START = (("202f", ""), ("", "32206c"), ("280e", ""), ("", "d400c6"))


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        # The rows of the data sheet's Table 10: default, minimum, maximum.
        (Sgp40Settings(), "260f8000a2666693"),
        (Sgp40Settings(humidity_percent=0.0, temperature_c=-45.0), "260f000081000081"),
        (Sgp40Settings(humidity_percent=100.0, temperature_c=130.0), "260fffffacffffac"),
    ],
)
def test_conversation(settings: Sgp40Settings, command: str) -> None:
    tape = Tape(*START, (command, ""), ("", "753008"), (command, ""), ("", "753008"), ("3615", ""), address=0x59)
    clock = BoardClock()
    driver = Sgp40(settings, "main", tape, clock)
    finish(driver.start(), clock.sleep)
    assert [(r.name, r.value, r.unit) for r in finish(driver.read(), clock.sleep)] == [("voc_raw", 30_000, "1")]
    driver.close()
    assert tape.rest() == 0
