from datetime import UTC, datetime, timedelta, timezone

import pytest

from wayside_server.domain.moments import from_us, parse_moment, to_text, to_us

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
