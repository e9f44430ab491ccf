"""The SHT3x's bytes. Append only."""

import pytest

from wayside_edge.drivers.sht3x import Sht3x, Sht3xSettings
from wayside_edge.drivers.sht3x.settings import Mode, Repeatability
from wayside_shared.quality import Quality
from wayside_testkit.sensing import BoardClock, finish
from wayside_testkit.tape import Tape

START = (("3093", ""), ("30a2", ""), ("f32d", ""), ("", "8010e1"), ("3041", ""), ("3066", ""))
# T = -45 + 175·S/65535 and RH = 100·S/65535 by hand: S = 0x6666 gives 25.000 °C, 0x8000 50.001 %.
ANSWER = "666693" + "8000a2"


def heard(driver: Sht3x, clock: BoardClock) -> list[tuple[str, float, str, Quality]]:
    found = finish(driver.read(), clock.sleep)
    return [(r.name, round(float(r.value or 0), 3), r.unit, r.quality) for r in found]


VALUES = [("temperature", 25.0, "Cel", Quality.GOOD), ("humidity", 50.001, "%", Quality.GOOD)]


@pytest.mark.parametrize(
    ("level", "command"), [(Repeatability.HIGH, "2400"), (Repeatability.MEDIUM, "240b"), (Repeatability.LOW, "2416")]
)
def test_single_conversation(level: Repeatability, command: str) -> None:
    tape, clock = Tape(*START, (command, ""), ("", ANSWER), address=0x44), BoardClock()
    driver = Sht3x(Sht3xSettings(repeatability=level), "main", tape, clock)
    finish(driver.start(), clock.sleep)
    assert heard(driver, clock) == VALUES
    driver.close()
    assert tape.rest() == 0


@pytest.mark.parametrize(
    ("rate_hz", "level", "command"),
    [
        (0.5, Repeatability.HIGH, "2032"),
        (0.5, Repeatability.MEDIUM, "2024"),
        (0.5, Repeatability.LOW, "202f"),
        (1.0, Repeatability.HIGH, "2130"),
        (1.0, Repeatability.MEDIUM, "2126"),
        (1.0, Repeatability.LOW, "212d"),
        (2.0, Repeatability.HIGH, "2236"),
        (2.0, Repeatability.MEDIUM, "2220"),
        (2.0, Repeatability.LOW, "222b"),
        (4.0, Repeatability.HIGH, "2334"),
        (4.0, Repeatability.MEDIUM, "2322"),
        (4.0, Repeatability.LOW, "2329"),
        (10.0, Repeatability.HIGH, "2737"),
        (10.0, Repeatability.MEDIUM, "2721"),
        (10.0, Repeatability.LOW, "272a"),
    ],
)
def test_periodic_conversation(rate_hz: float, level: Repeatability, command: str) -> None:
    lines = ((command, ""), ("e000", ""), ("", ANSWER), ("3093", ""))
    tape, clock = Tape(*START, *lines, address=0x45), BoardClock()
    settings = Sht3xSettings(address=0x45, mode=Mode.PERIODIC, rate_hz=rate_hz, repeatability=level)
    driver = Sht3x(settings, "main", tape, clock)
    finish(driver.start(), clock.sleep)
    assert heard(driver, clock) == VALUES
    driver.close()
    assert tape.rest() == 0
