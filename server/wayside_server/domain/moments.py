"""Times as people and programs write them in requests, and as answers carry them: UTC microseconds inside."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

_RELATIVE = re.compile(r"-(\d{1,9})(s|m|h|d|w)\Z")
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
_WIDTH = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(s|m|h|d|w)?\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A '+' that was not percent-encoded arrives as a space.
_SPACED_OFFSET = re.compile(r" (\d\d:?\d\d)\Z")


def parse_moment(text: str, now_us: int) -> int:
    """UTC microseconds of `text`: RFC 3339 with an offset, a date, `now`, or back from now as in `-90s`, `-24h`, `-7d`.

    A date stands for its first moment in UTC.

    Raises:
        ValueError: it is neither, or lies outside the years 1 to 9999; the message names the fix.
    """
    if text == "now":
        return now_us
    relative = _RELATIVE.match(text)
    if relative is not None:
        return now_us - int(relative[1]) * _SECONDS[relative[2]] * 1_000_000
    try:
        if _DAY.match(text):
            return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))
        moment = datetime.fromisoformat(_SPACED_OFFSET.sub(r"+\1", text))
        if moment.tzinfo is not None:
            return to_us(moment)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        f"{text[:40]!r} is no time; write RFC 3339 with an offset as in 2026-05-01T00:00:00Z, a date as in 2026-05-01 "
        "(UTC), or -24h, or now"
    )


def parse_width(text: str) -> int:
    """Microseconds of `text`: seconds as in `90` or `0.5`, or with a unit as in `30s`, `15m`, `1h`, `1d`, `1w`.

    Raises:
        ValueError: it is neither; the message names the fix.
    """
    found = _WIDTH.match(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no width; write seconds as in 90, or 15m, 1h, 1d")
    return int(Decimal(found[1]) * _SECONDS[found[2] or "s"] * 1_000_000)


def to_us(moment: datetime) -> int:
    """UTC microseconds since 1970 of an aware `moment`, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The aware moment `us` microseconds after 1970, kept within the years that databases and Python share."""
    return _EPOCH + timedelta(microseconds=min(max(us, _FIRST_US), _LAST_US))


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


_FIRST_US = to_us(datetime(1, 1, 2, tzinfo=UTC))
_LAST_US = to_us(datetime(9999, 12, 30, tzinfo=UTC))
