from datetime import UTC, datetime, timedelta, timezone

import pytest

from wayside_server.domain.moments import from_us, parse_moment, parse_width, to_text, to_us

NOW_US = 1_780_000_000_123_456


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW_US),
        ("-90s", NOW_US - 90_000_000),
        ("-15m", NOW_US - 900_000_000),
        ("-7d", NOW_US - 7 * 86_400_000_000),
        ("2026-05-01T00:00:00Z", 1_777_593_600_000_000),
        ("2026-05-01T02:00:00.000001+02:00", 1_777_593_600_000_001),
        ("2026-05-01T02:00:00 02:00", 1_777_593_600_000_000),
    ],
)
def test_moments_are_read_exactly(text: str, expected: int) -> None:
    assert parse_moment(text, NOW_US) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-05-01T00:00:00", "2026-13-01T00:00:00Z", "-5y", "+3h", "1e9"])
def test_anything_else_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write RFC 3339 with an offset"):
        parse_moment(text, NOW_US)


def test_texts_are_utc_with_microseconds_and_return_exactly() -> None:
    moment = datetime(2026, 5, 1, 2, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert to_text(moment) == "2026-05-01T00:00:00.000007Z"
    assert from_us(to_us(moment)) == moment
    assert from_us(1 << 62) < datetime(9999, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        ("90", 90_000_000),
        ("0.5", 500_000),
        ("0.000001", 1),
        ("30s", 30_000_000),
        ("1m", 60_000_000),
        ("15m", 900_000_000),
        ("1h", 3_600_000_000),
        ("1.5h", 5_400_000_000),
        ("1d", 86_400_000_000),
        ("1w", 604_800_000_000),
    ],
)
def test_a_width_is_read(text: str, expected_us: int) -> None:
    assert parse_width(text) == expected_us


@pytest.mark.parametrize("text", ["", "m", "-5m", "1y", "1 h", "1e3", "inf", "nan", "1M", "0x10", "1.", "²"])
def test_what_is_no_width_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write seconds as in 90, or 15m, 1h, 1d"):
        parse_width(text)


def test_a_date_is_its_first_moment_in_utc() -> None:
    assert parse_moment("2026-05-01", NOW_US) == parse_moment("2026-05-01T00:00:00Z", NOW_US)
