"""IEC 60751's table, the MAX31865's Table 9 (19-6478: a PT100 at 400 Ohm), and a conversation. Append only."""

import pytest

from wayside_edge.drivers.max31865 import Element, Max31865, Max31865Settings, platinum
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape

IEC_60751 = {
    -200: 18.52,
    -150: 39.72,
    -100: 60.26,
    -50: 80.31,
    -10: 96.09,
    0: 100.00,
    10: 103.90,
    50: 119.40,
    100: 138.51,
    200: 175.86,
    400: 247.09,
    600: 313.71,
    850: 390.48,
}
TABLE_9 = {
    275: 0x81FE,
    300: 0x87B6,
    325: 0x8D64,
    350: 0x9304,
    375: 0x989A,
    400: 0x9E24,
    425: 0xA3A2,
    450: 0xA914,
    475: 0xAE7A,
    500: 0xB3D4,
    525: 0xB922,
    550: 0xBE64,
}


@pytest.mark.parametrize(("celsius", "ohm"), IEC_60751.items())
def test_the_table_of_the_standard(celsius: float, ohm: float) -> None:
    assert platinum.ratio(celsius) * 100 == pytest.approx(ohm, abs=0.00501)
    assert platinum.temperature(ohm / 100) == pytest.approx(celsius, abs=0.015)


def conversation(config: int, thresholds: str, rtd: int) -> Tape:
    return Tape(
        (f"80{config | 0x02:02x}", "0000"),
        (f"83{thresholds}", "0000000000"),
        ("00" * 9, f"00{config:02x}0000{thresholds}00"),
        (f"80{config | 0x82:02x}", "0000"),
        (f"80{config | 0x84:02x}", "0000"),
        ("00" * 9, f"00{config | 0x84:02x}0000{thresholds}00"),
        ("00" * 9, f"00{config | 0x80:02x}0000{thresholds}00"),
        (f"80{config | 0xA0:02x}", "0000"),
        ("00" * 9, f"00{config | 0x80:02x}{rtd:04x}{thresholds}00"),
        (f"80{config:02x}", "0000"),
        address=None,
    )


@pytest.mark.parametrize(("celsius", "rtd"), TABLE_9.items())
def test_table_9(celsius: float, rtd: int) -> None:
    tape = conversation(0x11, "fbc60912", rtd)
    settings = Max31865Settings(reference_ohm=400.0, wires=3)
    found = play(tape, Max31865(settings, "spi", tape))
    assert [reading.value for reading in found] == [pytest.approx(celsius, abs=0.025)]
    assert found[0].decimals == 2


def test_a_pt1000_below_zero_at_60_hz() -> None:
    # 602.56 Ohm of 4300 Ohm are -100 °C (IEC 60751): 4591.8 of 32768.
    tape = conversation(0x00, "ea360870", 4592 << 1)
    found = play(tape, Max31865(Max31865Settings(element=Element.PT1000, wires=4, mains_hz=60), "spi", tape))
    assert [reading.value for reading in found] == [pytest.approx(-100.0, abs=0.01)]
