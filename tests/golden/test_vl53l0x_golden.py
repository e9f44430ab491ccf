"""A conversation with a VL53L0X, as ST's API 1.0.2 leads it. Append only."""

from wayside_edge.drivers.vl53l0x import Vl53l0x, Vl53l0xSettings, sequence
from wayside_shared.quality import Quality
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape

WAKE = [("8001", ""), ("ff01", ""), ("0000", "")]
SLEEP = [("0001", ""), ("ff00", ""), ("8000", "")]

START = [
    ("c0", "eeaa"),
    *[("bf00", ""), ("c0", "00"), ("bf01", ""), ("c0", "0000"), ("c0", "eeaa")],
    *[("89", "00"), ("8901", ""), ("8800", "")],
    *[*WAKE, ("91", "3c"), *SLEEP],
    *[("60", "00"), ("6012", ""), ("440020", ""), ("01ff", "")],
    *[*WAKE, ("ff06", ""), ("83", "00"), ("8304", "")],
    *[("ff07", ""), ("8101", ""), ("8001", ""), ("946b", ""), ("8300", ""), ("83", "00"), ("83", "10")],
    *[("8301", ""), ("92", "85"), ("8100", ""), ("ff06", ""), ("83", "04"), ("8300", "")],
    *[("ff01", ""), ("0001", ""), ("ff00", ""), ("8000", "")],
    *[("b0", "feffffff0f00"), ("ff01", ""), ("4f00", ""), ("4e2c", ""), ("ff00", ""), ("b6b4", "")],
    ("b000f001000000", ""),
    *[(pair, "") for pair in sequence._TUNING.split()],
    *[("0a04", ""), ("84", "11"), ("8401", ""), ("0b01", ""), ("01e8", ""), ("71028a", "")],
    *[("0101", ""), ("0041", ""), ("13", "00"), ("13", "04"), ("0b01", ""), ("0000", "")],
    *[("0102", ""), ("0001", ""), ("13", "04"), ("0b01", ""), ("0000", "")],
    ("01e8", ""),
]


def test_start_and_one_measurement() -> None:
    tape = Tape(
        *START,
        *[("01", "e8"), ("71", "028a")],
        *[*WAKE, ("913c", ""), *SLEEP, ("0001", "")],
        *[("13", "00"), ("13", "04"), ("14", "5900" + "0500" + "0000" + "0400" + "0020" + "0159"), ("0b01", "")],
        address=0x29,
    )
    found = play(tape, Vl53l0x(Vl53l0xSettings(), "main", tape))
    assert [(r.name, r.value, r.unit, r.quality) for r in found] == [("distance", 345, "mm", Quality.GOOD)]


def test_the_tuning_has_all_of_sts_settings() -> None:
    pairs = list(sequence.tuning())
    assert len(pairs) == 80
    assert sum(register * 256 + value for register, value in pairs) % 65_521 == 22_649
