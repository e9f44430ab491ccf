from datetime import UTC, datetime, timedelta

import pytest

from wayside_server.console.view import (
    QUALITY_WORDS,
    ago,
    bar,
    hex_lines,
    kind_text,
    lasting,
    quality_text,
    unit_text,
    value_text,
)
from wayside_server.domain.account import DeviceRow, StreamRow, settle
from wayside_shared.quality import Quality


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
    assert [value_text(value) for value in (76_158_910_000, -2.5e6, 999_999)] == ["76.159 G", "-2.5 M", "999999"]
    assert len(value_text("x" * 500)) == 60


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
