import itertools
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from wayside_server.console.pages import STATIC
from wayside_server.console.view import (
    QUALITY_WORDS,
    ago,
    bar,
    hex_lines,
    kind_text,
    lasting,
    quality_text,
    section_of,
    sentence,
    sign_text,
    stopped,
    unit_text,
    value_text,
)
from wayside_server.domain.account import DeviceRow, StreamRow, settle
from wayside_shared.quality import Quality


def _lab(color: str) -> np.ndarray:
    """CIELAB of an sRGB colour as in #0f766e, for the white D65 (IEC 61966-2-1; CIE 15)."""
    part = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_no_two_lines_of_a_chart_are_nearly_alike() -> None:
    palettes = re.findall(r"--line-1: .*", (STATIC / "console.css").read_text())
    assert len(palettes) == 2
    for palette in palettes:
        colors = [_lab(color) for color in re.findall(r"--line-\d: (#\w{6})", palette)]
        assert len(colors) == 8
        # Ten times what is just noticed with both colours side by side.
        assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(colors, 2)) > 23


def test_the_bar_is_filled_and_shows_a_single_missing_sample() -> None:
    stream = StreamRow(bytes(16), 10**9, 10**9 - 1, 0, 0, 3, 9, 10**9, settled_before_pending=10**9 - 1)
    segments = bar(settle(DeviceRow("boiler-7"), [stream]))
    assert [(segment.kind, segment.count) for segment in segments] == [("stored", 10**9 - 1), ("missing", 1)]
    assert segments[1].width > 0.5
    assert segments[0].width + segments[1].width == pytest.approx(100, abs=0.01)
    assert segments[1].start == pytest.approx(segments[0].width, abs=0.01)


def test_a_device_without_samples_has_an_empty_bar() -> None:
    assert bar(settle(DeviceRow("boiler-7"), [])) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "just now"), (-5, "just now"), (59, "59 s ago"), (125, "2 min ago"), (7300, "2 h ago"), (180_000, "2 d ago")],
)
def test_times_are_told_as_people_do(seconds: float, text: str) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert ago(now - timedelta(seconds=seconds), now) == text
    assert ago(None, now) == "never"


@pytest.mark.parametrize(("seconds", "text"), [(0, "since just now"), (59, "for 59 s"), (7300, "for 2 h")])
def test_what_lasts_is_told_as_people_do(seconds: float, text: str) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert lasting(now - timedelta(seconds=seconds), now) == text


def test_every_quality_is_told_in_words() -> None:
    assert set(QUALITY_WORDS) == set(Quality) - {Quality.GOOD}
    assert quality_text(66) == "wrong checksum"
    assert quality_text(200) == "code 200"


def test_values_fit_a_tile() -> None:
    assert [value_text(value) for value in (21.25, 3, True, None, "open")] == ["21.25", "3", "yes", "—", "open"]
    large = (76_158_910_000, -2.5e6, 999_999, "open", True)
    assert [value_text(value) for value in large] == ["76.159", "-2.5", "999999", "open", "yes"]
    assert [sign_text(value, "By") for value in large] == ["GB", "MB", "B", "B", "B"]
    assert len(value_text("x" * 500)) == 60


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (7_775_900.0, "s", "90 d"),
        (-7_775_900, "s", "-90 d"),
        (119.5, "s", "119.5 s"),
        (5_400, "s", "90 min"),
        (2e9, "s", "23148.1 d"),
        (3_000_000, "min", "2083.3 d"),
        (36, "h", "36 h"),
        (0.5, "d", "12 h"),
    ],
)
def test_no_time_is_told_by_the_million(value: float, unit: str, text: str) -> None:
    assert f"{value_text(value, unit)} {sign_text(value, unit)}" == text


def test_a_message_ends_once() -> None:
    assert [stopped(text) for text in ("it is gone", "is it?", "Done.")] == ["it is gone.", "is it?", "Done."]
    assert sentence("there is nothing at /foo") == "There is nothing at /foo."


@pytest.mark.parametrize(
    ("path", "section"), [("/", "/"), ("/devices/boiler-7/log", "/"), ("/enrol/tokens", "/enrol"), ("/audit", "/audit")]
)
def test_a_path_belongs_to_a_page_of_the_navigation(path: str, section: str) -> None:
    assert section_of(path) == section


def test_units_are_shown_by_the_signs_that_people_know() -> None:
    assert [unit_text(unit) for unit in ("Cel", "By", "1", "hPa")] == ["°C", "B", "", "hPa"]


def test_bytes_are_shown_with_offset_and_ascii() -> None:
    assert hex_lines(b"") == []
    assert hex_lines(b"wayside\n\xff~") == [
        "0000  77 61 79 73 69 64 65 0a  wayside.",
        "0008  ff 7e                    .~",
    ]


@pytest.mark.parametrize(
    ("kind", "text"), [("api_key", "API key"), ("broker: no certificate", "Broker: no certificate")]
)
def test_a_kind_reads_as_a_heading(kind: str, text: str) -> None:
    assert kind_text(kind) == text
