"""The ADS1115's codes and conversations. Append only."""

import pytest

from wayside_edge.drivers.ads1115 import Ads1115, Ads1115Channel, Ads1115Settings
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape


def tape(config: str, answer: str, code: str) -> Tape:
    idle = f"{int(config, 16) | 0x8000:04x}"
    return Tape(
        (f"01{config}", ""),
        ("01", idle),
        (f"01{idle}", ""),
        ("01", config),
        ("01", answer),
        ("00", code),
        ("01", answer),
        address=0x48,
    )


# Ideal output codes of the data sheet's Table "Input Signal Versus Ideal Output Code" (SBAS444D), at ±2.048 V.
@pytest.mark.parametrize(
    ("code", "volt"),
    [
        ("7fff", 2.048 * 32767 / 32768),
        ("0001", 2.048 / 32768),
        ("0000", 0.0),
        ("ffff", -2.048 / 32768),
        ("8000", -2.048),
    ],
)
def test_ideal_output_codes(code: str, volt: float) -> None:
    channel = Ads1115Channel(name="in", input="0-1", full_scale_v=2.048)
    conversation = tape("0587", "8587", code)
    (found,) = play(conversation, Ads1115(Ads1115Settings(channels=[channel]), "main", conversation))
    assert found.value == pytest.approx(volt, abs=1e-12)
    assert found.unit == "V"


def test_a_single_ended_conversation() -> None:
    channel = Ads1115Channel(name="in", input="3", full_scale_v=6.144, scale=2.0, offset=1.0, unit="kPa")
    # MUX 111, PGA 000, single-shot, DR 111 (860/s), the mark, comparator off.
    conversation = tape("71e7", "f1e7", "4000")
    driver = Ads1115(Ads1115Settings(channels=[channel], data_rate_hz=860), "main", conversation)
    (found,) = play(conversation, driver)
    assert (found.name, found.value, found.unit, found.decimals) == ("in", 7.144, "kPa", 4)
