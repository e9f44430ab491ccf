"""The VEML7700's table of resolutions, correction and conversations. Append only."""

import pytest

from wayside_edge.drivers.veml7700 import Veml7700, Veml7700Settings
from wayside_edge.drivers.veml7700.driver import corrected
from wayside_edge.drivers.veml7700.settings import Range
from wayside_testkit.chips import play
from wayside_testkit.tape import Tape


# Document 84286, Table "Resolution and maximum detection range": gain 2, 1, 1/4, 1/8 across, 800 ms to 25 ms down.
@pytest.mark.parametrize(
    ("integration_ms", "resolutions"),
    [
        (800, (0.0042, 0.0084, 0.0336, 0.0672)),
        (400, (0.0084, 0.0168, 0.0672, 0.1344)),
        (200, (0.0168, 0.0336, 0.1344, 0.2688)),
        (100, (0.0336, 0.0672, 0.2688, 0.5376)),
        (50, (0.0672, 0.1344, 0.5376, 1.0752)),
        (25, (0.1344, 0.2688, 1.0752, 2.1504)),
    ],
)
def test_the_table_of_resolutions(integration_ms: int, resolutions: tuple[float, ...]) -> None:
    for gain, expected in zip((2.0, 1.0, 0.25, 0.125), resolutions, strict=True):
        assert Range(gain, integration_ms).lux_per_count == pytest.approx(expected, rel=1e-12)


def test_the_correction() -> None:
    # 6.0135e-13 x⁴ - 9.3924e-9 x³ + 8.1488e-5 x² + 1.0023 x, worked out by hand at 1000 and 10,000.
    assert corrected(1000.0) == pytest.approx(0.60135 - 9.3924 + 81.488 + 1002.3, rel=1e-12)
    assert corrected(10_000.0) == pytest.approx(6013.5 - 9392.4 + 8148.8 + 10_023.0, rel=1e-12)
    assert corrected(0.0) == 0.0


def test_a_fixed_range_as_a_conversation() -> None:
    tape = Tape(
        ("07", "81c4"),
        ("030000", ""),
        ("00111a", ""),  # gain 1/4, 50 ms, the mark, shut down
        ("00101a", ""),
        ("00", "101a"),
        ("04", "e803"),
        ("00111a", ""),
        address=0x10,
    )
    settings = Veml7700Settings(auto_range=False, gain=0.25, integration_ms=50, correct=False)
    (found,) = play(tape, Veml7700(settings, "main", tape))
    assert (found.name, found.unit) == ("illuminance", "lx")
    assert found.value == pytest.approx(537.6)


def test_the_automatic_range_as_a_conversation() -> None:
    tape = Tape(
        ("07", "81c4"),
        ("030000", ""),
        ("001110", ""),  # gain 1/8, 100 ms
        ("001010", ""),
        ("00", "1010"),
        ("04", "0a00"),  # ten counts: 5.4 lx, 1280 at the finest
        ("00d108", ""),  # gain 2, 800 ms
        ("00d008", ""),
        ("00", "d008"),
        ("04", "0205"),
        ("00d108", ""),
        address=0x10,
    )
    (found,) = play(tape, Veml7700(Veml7700Settings(), "main", tape))
    assert found.value == pytest.approx(corrected(1282 * 0.0042))
    assert found.decimals == 3
