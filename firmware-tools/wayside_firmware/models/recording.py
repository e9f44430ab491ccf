"""Recorded series from a CSV file: the server's export, long or wide, or any table with a column of times."""

import csv
import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wayside_shared.errors import ConfigError

LONG: Final = ("series", "unit", "time", "value")
"""Columns of an export in long shape, among others."""
TIME_COLUMNS: Final = ("time", "timestamp", "date", "datetime")
MOST_NAMED: Final = 20
"""Series that a message lists."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A series to read.

    Args:
        name: of the series, or of its column.
        unit: its UCUM code; None for what the file says, or 1 when it says nothing.
    """

    name: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A series of a file.

    Args:
        name: as it was asked for.
        unit: its UCUM code.
        times_ns: UTC in nanoseconds, in the order of the file.
        texts: what stands there; empty texts are left out.
    """

    name: str
    unit: str
    times_ns: NDArray[np.int64]
    texts: Sequence[str]

    def numbers(self) -> NDArray[np.float64]:
        """The texts as numbers.

        Raises:
            ConfigError: one is none.
        """
        try:
            return np.array(self.texts, dtype=np.float64)
        except ValueError as error:
            raise ConfigError(f"{self.name} holds what is no number: {error}") from error


def read(path: Path, wanted: Sequence[Wanted], time_column: str | None = None) -> Sequence[Recorded]:
    """The `wanted` series of a file, in that order. Times without a zone are UTC.

    Raises:
        ConfigError: the file cannot be read, or lacks one.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            long = set(LONG) <= set(header)
            found = _long(path, header, rows, wanted) if long else _wide(path, header, rows, wanted, time_column)
            return [_recorded(path, each, *found[each.name]) for each in wanted]
    except OSError as error:
        raise ConfigError(f"{error.strerror}", source=str(path)) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"no CSV file in UTF-8: {error}", source=str(path)) from error


Cells = tuple[str | None, list[str], list[str]]
"""The unit that the file says, times and values."""


def _long(
    path: Path, header: Sequence[str], rows: Iterator[list[str]], wanted: Sequence[Wanted]
) -> Mapping[str, Cells]:
    name_at, unit_at, time_at, value_at = (header.index(column) for column in LONG)
    times: dict[str, list[str]] = {each.name: [] for each in wanted}
    values: dict[str, list[str]] = {each.name: [] for each in wanted}
    units: dict[str, str] = {}
    others: set[str] = set()
    for cells in rows:
        if len(cells) != len(header) or not cells[value_at]:
            continue
        name = cells[name_at]
        if name in times:
            times[name].append(cells[time_at])
            values[name].append(cells[value_at])
            units[name] = cells[unit_at]
        else:
            others.add(name)
    for name, found in times.items():
        if not found:
            raise ConfigError(
                f"no values of {name!r} in it{_instead(name, sorted(others | set(units)))}", source=str(path)
            )
    return {name: (units.get(name), times[name], values[name]) for name in times}


def _wide(
    path: Path, header: Sequence[str], rows: Iterator[list[str]], wanted: Sequence[Wanted], time_column: str | None
) -> Mapping[str, Cells]:
    names = [name.partition(" [")[0] for name in header]
    places = {each.name: _place(path, header, names, each.name) for each in wanted}
    columns = (time_column,) if time_column else tuple(name for name in TIME_COLUMNS if name in names)
    if not columns:
        raise ConfigError(f"no column of times; name it with --time-column, of {', '.join(header)}", source=str(path))
    time_at = _place(path, header, names, columns[0])
    times: dict[str, list[str]] = {name: [] for name in places}
    values: dict[str, list[str]] = {name: [] for name in places}
    for cells in rows:
        # R writes a row number first and gives that column no name.
        shift = 1 if len(cells) == len(header) + 1 else 0
        if len(cells) < len(header):
            continue
        for name, at in places.items():
            if cells[at + shift]:
                times[name].append(cells[time_at + shift])
                values[name].append(cells[at + shift])
    return {name: (_unit(header[at]), times[name], values[name]) for name, at in places.items()}


def _unit(column: str) -> str | None:
    """The unit in the header of a wide export, `temperature [Cel]`."""
    return column.partition(" [")[2].removesuffix("]") or None


def _place(path: Path, header: Sequence[str], names: Sequence[str], name: str) -> int:
    for among in (header, names):
        if name in among:
            return among.index(name)
    raise ConfigError(f"no column {name!r}{_instead(name, header)}", source=str(path))


def _instead(name: str, there: Collection[str]) -> str:
    """What is there instead of `name`, the likeliest first."""
    if not there:
        return "; it has no series"
    near = difflib.get_close_matches(name, there, 1)
    listed = ", ".join(list(there)[:MOST_NAMED])
    more = f" and {len(there) - MOST_NAMED} more" if len(there) > MOST_NAMED else ""
    return (f"; did you mean {near[0]}? It has " if near else "; it has ") + f"{listed}{more}"


def _recorded(path: Path, wanted: Wanted, unit: str | None, times: Sequence[str], texts: Sequence[str]) -> Recorded:
    if not times:
        raise ConfigError(f"no values of {wanted.name!r} in it", source=str(path))
    if wanted.unit and unit and wanted.unit != unit:
        raise ConfigError(f"{wanted.name!r} is in {unit}, not in {wanted.unit}", source=str(path))
    try:
        stamps = np.array([time_ns(text) for text in times], np.int64)
    except ValueError as error:
        raise ConfigError(f"a time is no ISO 8601: {error}", source=str(path)) from error
    return Recorded(wanted.name, wanted.unit or unit or "1", stamps, texts)


def time_ns(text: str) -> int:
    """UTC in nanoseconds of a time in ISO 8601; one without a zone is UTC.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND * 1000


def time_text(at_ns: int) -> str:
    """The second of a time, for people."""
    return (_EPOCH + at_ns // 1000 * _MICROSECOND).strftime("%Y-%m-%d %H:%M:%S")


def span_text(begin_ns: int, end_ns: int) -> str:
    """From when to when, and how long."""
    seconds = (end_ns - begin_ns) // 10**9
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{time_text(begin_ns)} to {time_text(end_ns)} UTC ({seconds / size:.1f} {unit})"
    return f"{time_text(begin_ns)} to {time_text(end_ns)} UTC ({seconds} s)"
