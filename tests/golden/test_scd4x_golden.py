"""The SCD4x's bytes. Append only."""

import pytest

from wayside_edge.drivers.scd4x import Scd4x, Scd4xSettings
from wayside_edge.drivers.scd4x.settings import Mode
from wayside_testkit.sensing import BoardClock, finish
from wayside_testkit.tape import Tape

# Examples of the data sheet (version 1.3, section 3): the answer to read_measurement is 500 ppm, 25 °C and 37 %; the
# serial number is 0xF896 9F07 3BBE; the offset 0x07E6 is 5.4 °C; the pressure 0x03DB is 987 hPa; the altitude 0x079E
# is 1950 m.
SERIAL = "f896319f07c23bbe89"
MEASUREMENT = "01f4336667a25eb93c"
IDLE = (("36f6", ""), ("3f86", ""), ("3682", ""), ("", SERIAL), ("3646", ""))
READ = (("e4b8", ""), ("", "800604"), ("ec05", ""), ("", MEASUREMENT))


def ppm_celsius_percent(driver: Scd4x, clock: BoardClock) -> list[float]:
    return [round(float(reading.value or 0), 1) for reading in finish(driver.read(), clock.sleep)]


@pytest.mark.parametrize(
    ("settings", "commands"),
    [
        (Scd4xSettings(), ("241d05da29", "24160001b0", "2427000081", "21b1")),
        (
            Scd4xSettings(mode=Mode.LOW_POWER, temperature_offset_c=5.4, altitude_m=1950, automatic_calibration=False),
            ("241d07e648", "2416000081", "2427079e09", "21ac"),
        ),
        (Scd4xSettings(ambient_pressure_hpa=987.0), ("241d05da29", "24160001b0", "e00003db42", "21b1")),
    ],
)
def test_conversation(settings: Scd4xSettings, commands: tuple[str, ...]) -> None:
    tape = Tape(*IDLE, *((command, "") for command in commands), *READ, ("3f86", ""), address=0x62)
    clock = BoardClock()
    driver = Scd4x(settings, "main", tape, clock)
    finish(driver.start(), clock.sleep)
    assert ppm_celsius_percent(driver, clock) == [500.0, 25.0, 37.0]
    driver.close()
    assert tape.rest() == 0


def test_forced_calibration() -> None:
    set_up = (("241d05da29", ""), ("24160001b0", ""), ("2427000081", ""), ("21b1", ""))
    # The example of the data sheet: to 480 ppm, which takes -50 ppm.
    calibration = (("3f86", ""), ("362f01e0b4", ""), ("", "7fce7b"), ("21b1", ""))
    tape, clock = Tape(*IDLE, *set_up, *calibration, *READ, address=0x62), BoardClock()
    driver = Scd4x(Scd4xSettings(forced_calibration_ppm=480), "main", tape, clock)
    finish(driver.start(), clock.sleep)
    clock.sleep(185.0)
    assert ppm_celsius_percent(driver, clock) == [500.0, 25.0, 37.0, -50.0]
    assert tape.rest() == 0
