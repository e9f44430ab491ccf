"""What the pages show: numbers and times as people read them, and the account as a bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from wayside_server.domain.account import Account
from wayside_server.domain.reading import JsonValue
from wayside_shared.quality import Quality, label_of

_MIN_WIDTH = 0.6
"""Percent of the bar: a single missing sample among billions must be seen."""
_MAX_TEXT = 60
_HEX_BYTES = 8
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
_SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
"""Units of time, which nobody reads by the million."""

UNIT_SIGNS = {
    "1": "",
    "{count}": "",
    "Cel": "°C",
    "deg": "°",
    "deg/s": "°/s",
    "Ohm": "Ω",
    "By": "B",
    "By/s": "B/s",
    "[ppm]": "ppm",
    "[ppb]": "ppb",
    "ug/m3": "µg/m³",
    "g/m3": "g/m³",
    "m3": "m³",
    "m/s2": "m/s²",
}
"""Signs that people know, for UCUM codes that only programs do; all other codes are shown as they are."""

QUALITY_WORDS: Mapping[int, str] = {
    Quality.CLIPPED: "at the end of the chip's range",
    Quality.UNSTABLE: "not settled yet",
    Quality.STALE: "not measured again since",
    Quality.OVERRUN: "samples before it were lost on the board",
    Quality.PARTIAL: "some readings in its window had no value",
    Quality.ABSENT: "no chip answers",
    Quality.BUS_FAULT: "the bus fails",
    Quality.CHECKSUM: "wrong checksum",
    Quality.NOT_READY: "the chip did not finish in time",
    Quality.OUT_OF_RANGE: "out of the chip's range",
    Quality.WRONG_CHIP: "another chip answers",
    Quality.OPEN_CIRCUIT: "sensing element disconnected or shorted",
    Quality.POWER_LOST: "the chip lost its supply",
    Quality.INVALID: "no valid measurement; see the agent's log",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the bar; `start` and `width` are percent of it."""

    kind: str
    label: str
    count: int
    start: float
    width: float


def bar(account: Account) -> Sequence[Segment]:
    """What became of the accepted samples, as parts that fill the bar; parts of nothing are left out."""
    parts = [
        ("stored", "stored", account.stored),
        ("pending", "pending", account.pending),
        ("dropped", "dropped", account.dropped_total),
        ("rejected", "rejected", account.rejected_total),
        ("missing", "missing", account.missing),
    ]
    present = [part for part in parts if part[2] > 0]
    total = sum(count for _, _, count in present)
    widths = [max(100 * count / total, _MIN_WIDTH) for _, _, count in present]
    scale = 100 / sum(widths) if widths else 1.0
    segments = []
    start = 0.0
    for (kind, label, count), width in zip(present, widths, strict=True):
        segments.append(Segment(kind, label, count, round(start, 3), round(width * scale, 3)))
        start += width * scale
    return segments


def ago(moment: datetime | None, now: datetime) -> str:
    """How long before `now` that was, as in '3 min ago'."""
    if moment is None:
        return "never"
    return f"{_span(moment, now)} ago" if (now - moment).total_seconds() >= 2 else "just now"


def lasting(moment: datetime, now: datetime) -> str:
    """How long it has been so since `moment`, as in 'for 3 min'."""
    return f"for {_span(moment, now)}" if (now - moment).total_seconds() >= 2 else "since just now"


def _span(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    for size, unit in _SPANS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def quality_text(code: int) -> str:
    """What a quality says, in words that fit a tile; a code that this version does not know is told as such."""
    return QUALITY_WORDS.get(code) or label_of(code)


def value_text(value: JsonValue, unit: str = "") -> str:
    """A latest value in `unit`, short enough for a table; `sign_text` belongs behind it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "—"}[value]
    if isinstance(value, float | int):
        size, _ = _scale(value, unit)
        if size == 1:
            return f"{value:.7g}"
        return f"{round(value / size, 1):.7g}" if unit in _SECONDS else f"{value / size:.5g}"
    text = str(value)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def sign_text(value: JsonValue, unit: str) -> str:
    """The sign of `unit` behind `value_text`, with the thousand's power that it leaves to it, as in 70.8 GB.

    A long time is told in minutes, hours or days.
    """
    if isinstance(value, bool) or not isinstance(value, float | int):
        return unit_text(unit)
    return _scale(value, unit)[1]


def _scale(value: float, unit: str) -> tuple[float, str]:
    """By what to divide a value in `unit`, and the sign of what it is in then."""
    if unit in _SECONDS:
        seconds = abs(value) * _SECONDS[unit]
        longer = ((size / _SECONDS[unit], sign) for size, sign in _SPANS if seconds >= 2 * size)
        return next(longer, (1.0, unit))
    sizes = ((size, prefix + unit_text(unit)) for size, prefix in _PREFIXES if abs(value) >= size)
    return next(sizes, (1.0, unit_text(unit)))


def hex_lines(head: bytes) -> Sequence[str]:
    """Bytes as people compare them: offset, hexadecimal and ASCII, eight a line so that a phone shows them whole."""
    lines = []
    for offset in range(0, len(head), _HEX_BYTES):
        part = head[offset : offset + _HEX_BYTES]
        ascii_signs = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{offset:04x}  {part.hex(' '):<{3 * _HEX_BYTES - 1}}  {ascii_signs}")
    return lines


def kind_text(kind: str) -> str:
    """A kind of refusal as a heading: 'API key', 'Broker: no certificate'."""
    text = kind.replace("_", " ").replace("api key", "API key")
    return text[:1].upper() + text[1:]


def stopped(sentence: str) -> str:
    """`sentence` with its full stop, unless a sign ends it already."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def sentence(text: str) -> str:
    """A message as a sentence of its own: with a capital, and ended."""
    return stopped(text[:1].upper() + text[1:])


def section_of(path: str) -> str:
    """The page of the navigation that `path` belongs to: `/enrol` for `/enrol/tokens`, the first page for a device."""
    first = f"/{path.split('/')[1]}"
    return "/" if first == "/devices" else first


def unit_text(unit: str) -> str:
    """The sign of a UCUM code; empty for a bare number."""
    return UNIT_SIGNS.get(unit, unit)


def utc_text(moment: datetime | None) -> str:
    """A time for a tooltip, to the second."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
