"""Reading a recorded CSV file row by row, in constant memory."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from wayside_edge.drivers.replay.settings import ReplaySettings
from wayside_edge.errors import BusError, SensorError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a recording.

    Args:
        time_ns: its time in UTC nanoseconds; None when it could not be read.
        values: one for each configured column; None where the cell is empty, NaN where it is no number.
    """

    time_ns: int | None
    values: tuple[float | None, ...]


def rows(settings: ReplaySettings) -> Iterator[Row]:
    """The rows of the file, read as they are asked for.

    Raises:
        BusError: the file cannot be read.
        SensorError: it is no CSV, or lacks a configured column.
    """
    parse_time = time_parser(settings.time_format, ZoneInfo(settings.zone))
    try:
        with settings.file.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            time_at, *columns = [
                _position(settings, header, name)
                for name in (settings.time_column, *(column.column for column in settings.columns))
            ]
            for cells in reader:
                # R writes a row number first and gives that column no name.
                shift = 1 if len(cells) == len(header) + 1 else 0
                if cells:
                    yield Row(
                        _time(cells, time_at + shift, parse_time), tuple(_number(cells, at + shift) for at in columns)
                    )
    except OSError as error:
        raise BusError(f"{settings.file}: {error.strerror}; correct 'file'") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise SensorError(f"{settings.file} is no CSV file in UTF-8: {error}") from error


def time_parser(pattern: str, zone: ZoneInfo) -> Callable[[str], int]:
    """A function from a text as `pattern` describes it (see `ReplaySettings`) to UTC nanoseconds.

    The function raises ValueError for other texts. A local time that a change of clocks repeats is the first of both.
    """
    if pattern in ("unix_s", "unix_ms"):
        scale = 10**9 if pattern == "unix_s" else 10**6
        return lambda text: round(float(text) * scale) if "." in text else int(text) * scale

    def parse(text: str) -> int:
        moment = datetime.fromisoformat(text) if pattern == "iso" else datetime.strptime(text, pattern)  # noqa: DTZ007
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return (moment - _EPOCH) // _MICROSECOND * 1000

    return parse


def _position(settings: ReplaySettings, header: list[str], name: str) -> int:
    if name not in header:
        raise SensorError(f"{settings.file} has no column {name!r}; it has {', '.join(header)[:200]}")
    return header.index(name)


def _time(cells: list[str], at: int, parse: Callable[[str], int]) -> int | None:
    try:
        return parse(cells[at].strip())
    except (ValueError, IndexError, OverflowError):
        return None


def _number(cells: list[str], at: int) -> float | None:
    text = cells[at].strip() if at < len(cells) else ""
    try:
        return float(text) if text else None
    except ValueError:
        return NAN
