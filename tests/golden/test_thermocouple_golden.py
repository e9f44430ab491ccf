"""Frames of the MAX31855 (19-5793, Tables 4 and 5) and of the MAX6675 (19-2235, Serial Interface). Append only."""

import pytest

from wayside_edge.drivers.max6675 import Max6675, Max6675Settings
from wayside_edge.drivers.max31855 import Max31855, Max31855Settings
from wayside_shared.quality import Quality
from wayside_testkit.chips import play, refusal
from wayside_testkit.tape import Tape

TABLE_4 = {
    "01100100000000": 1600.0,
    "00111110100000": 1000.0,
    "00000110010011": 100.75,
    "00000001100100": 25.0,
    "00000000000000": 0.0,
    "11111111111111": -0.25,
    "11111111111100": -1.0,
    "11110000011000": -250.0,
}
TABLE_5 = {
    "011111110000": 127.0,
    "011001001001": 100.5625,
    "000110010000": 25.0,
    "000000000000": 0.0,
    "111111111111": -0.0625,
    "111111110000": -1.0,
    "111011000000": -20.0,
    "110010010000": -55.0,
}
PAIRS = [(t, j) for t in TABLE_4 for j in TABLE_5 if TABLE_4[t] or TABLE_5[j]]


BEFORE = "01900010"
"""25 °C with the cold junction next to 0 °C."""


def frame(thermocouple: str, junction: str, fault: int = 0) -> str:
    return f"{int(thermocouple + '0' + ('1' if fault else '0') + junction + f'0{fault:03b}', 2):08x}"


@pytest.mark.parametrize(("thermocouple", "junction"), PAIRS)
def test_max31855_tables_4_and_5(thermocouple: str, junction: str) -> None:
    answer = frame(thermocouple, junction)
    tape = Tape(("00000000", BEFORE), ("00000000", answer), address=None)
    found = play(tape, Max31855(Max31855Settings(), "spi", tape))
    assert [reading.value for reading in found] == [TABLE_4[thermocouple], TABLE_5[junction]]


@pytest.mark.parametrize("fault", [1, 2, 4, 7])
def test_max31855_faults(fault: int) -> None:
    answer = frame("01111111111111", "000110010000", fault)
    tape = Tape(("00000000", answer), ("00000000", answer), address=None)
    found = play(tape, Max31855(Max31855Settings(), "spi", tape))
    assert [(reading.value, reading.quality) for reading in found] == [
        (None, Quality.OPEN_CIRCUIT),
        (25.0, Quality.GOOD),
    ]


@pytest.mark.parametrize("answer", ["01921900", "01901908", "01911900", "01901901"])
def test_max31855_what_contradicts_itself(answer: str) -> None:
    tape = Tape(("00000000", answer), address=None)
    assert refusal(lambda: play(tape, Max31855(Max31855Settings(), "spi", tape)))[0] is Quality.CHECKSUM


@pytest.mark.parametrize("answer", ["00000000", "ffffffff"])
def test_max31855_what_nobody_says(answer: str) -> None:
    tape = Tape(("00000000", answer), address=None)
    assert refusal(lambda: play(tape, Max31855(Max31855Settings(), "spi", tape)))[0] is Quality.ABSENT


def test_max31855_a_junction_that_cannot_be() -> None:
    answer = frame("00000001100100", "100000000000")
    tape = Tape(("00000000", answer), ("00000000", answer), address=None)
    assert refusal(lambda: play(tape, Max31855(Max31855Settings(), "spi", tape)))[0] is Quality.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("answer", "celsius"), [("0008", 0.25), ("0009", 0.25), ("0320", 25.0), ("3e80", 500.0), ("7ff0", 1023.5)]
)
def test_max6675_frames(answer: str, celsius: float) -> None:
    tape = Tape(*[("00000000", answer + "0000")] * 3, address=None)
    assert [reading.value for reading in play(tape, Max6675(Max6675Settings(), "spi", tape))] == [celsius]


@pytest.mark.parametrize(
    ("answer", "quality"),
    [
        ("0000", Quality.ABSENT),
        ("0001", Quality.ABSENT),
        ("ffff", Quality.ABSENT),
        ("8320", Quality.CHECKSUM),
        ("0322", Quality.CHECKSUM),
        ("0324", Quality.OPEN_CIRCUIT),
    ],
)
def test_max6675_what_is_no_measurement(answer: str, quality: Quality) -> None:
    tape = Tape(*[("00000000", answer + "0000")] * 3, address=None)
    assert refusal(lambda: play(tape, Max6675(Max6675Settings(), "spi", tape)))[0] is quality
