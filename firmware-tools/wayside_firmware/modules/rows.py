"""Readings in CSV: long as the server exports them (`series,unit,time,value,quality`), or wide (`time,name…`)."""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite, nan
from typing import Final, NamedTuple, TextIO

from wayside_shared.errors import ConfigError
from wayside_shared.identifiers import is_series_name
from wayside_shared.quality import FIRST_ABSENT, Quality, label_of
from wayside_shared.stage_block import Block, BlockReading, BlockSeries

US_PER_S: Final = 1_000_000
NS_PER_US: Final = 1000

LONG: Final = ("series", "unit", "time", "value", "quality")
TIME_COLUMNS: Final = ("time", "timestamp", "date", "datetime")
_CODES: Final = {one.label: int(one) for one in Quality}
_WIDE_NAME: Final = re.compile(r"(?P<name>[^\[(]+?)\s*(?:\[(?P<square>.+)\]|\((?P<round>.+)\))?\Z")


class Row(NamedTuple):
    """A reading with its series.

    Args:
        series: name and unit.
        time_ns: UTC.
        value: NaN where there is none.
        quality: its code.
    """

    series: BlockSeries
    time_ns: int
    value: float
    quality: int


def read_rows(file: TextIO, source: str, time_column: str | None = None) -> Iterator[Row]:
    """The rows of a file, as they come.

    In the wide form a name may have its unit behind it, `power [W]` or `power (W)`; without one it is `1`. A time is
    an ISO 8601 moment, in UTC unless it says otherwise, or seconds since 1970.

    Args:
        file: open for reading, with `newline=""`.
        source: its name, for messages.
        time_column: which column of the wide form has the times; None for the first that is named as such.

    Raises:
        ConfigError: a row is none; with its line.
    """
    reader = csv.reader(file)
    header = tuple(each.strip() for each in next(reader, ()))
    try:
        if header[:4] == LONG[:4]:
            for cells in filter(None, reader):
                yield _long(cells)
        else:
            time_at = _time_at(header, time_column)
            columns = [_column(each) for place, each in enumerate(header) if place != time_at]
            for cells in filter(None, reader):
                yield from _wide(cells, time_at, columns)
    except (ValueError, OverflowError) as error:
        raise ConfigError(str(error), source=source, line=reader.line_num) from error


def blocks(rows: Iterator[Row], size: int) -> Iterator[Block]:
    """The rows in blocks of `size` readings; those of one time stay together where they follow each other."""
    held: list[Row] = []
    for row in rows:
        if len(held) >= size and row.time_ns != held[-1].time_ns:
            yield _block(held)
            held = []
        held.append(row)
    if held:
        yield _block(held)


def long_line(series: BlockSeries, reading: BlockReading) -> Sequence[str]:
    """The cells of a reading in the long form."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=reading.time_ns // NS_PER_US)
    value = "" if reading.quality >= FIRST_ABSENT else repr(reading.value)
    label = "" if reading.quality == 0 else label_of(reading.quality)
    return (*series, moment.isoformat().replace("+00:00", "Z"), value, label)


def _block(rows: Sequence[Row]) -> Block:
    places: dict[BlockSeries, int] = {}
    readings = [
        BlockReading(row.time_ns, row.value, places.setdefault(row.series, len(places)), row.quality) for row in rows
    ]
    return Block(list(places), readings)


def _long(cells: Sequence[str]) -> Row:
    if len(cells) not in (len(LONG) - 1, len(LONG)):
        message = f"{len(cells)} cells, not {len(LONG)}"
        raise ValueError(message)
    name, unit, time, value = cells[:4]
    label = cells[4].strip() if len(cells) > 4 else ""
    quality = 0 if not label else _code(label)
    return _row(_series(name, unit), time, value, quality)


def _time_at(header: Sequence[str], time_column: str | None) -> int:
    if time_column is not None and time_column not in header:
        message = f"no column {time_column!r}; it has {', '.join(header)[:300]}"
        raise ValueError(message)
    names = TIME_COLUMNS if time_column is None else (time_column,)
    found = next((place for place, each in enumerate(header) if each in names), None)
    if found is None or len(header) < 2:
        message = f"the first line must be {','.join(LONG)} or time,name…; --time-column names another column of times"
        raise ValueError(message)
    return found


def _wide(cells: Sequence[str], time_at: int, columns: Sequence[BlockSeries]) -> Iterator[Row]:
    if len(cells) != len(columns) + 1:
        message = f"{len(cells)} cells, not {len(columns) + 1}"
        raise ValueError(message)
    values = [each for place, each in enumerate(cells) if place != time_at]
    for series, value in zip(columns, values, strict=True):
        if value.strip():
            yield _row(series, cells[time_at], value, 0)


def _row(series: BlockSeries, time: str, value: str, quality: int) -> Row:
    if quality >= FIRST_ABSENT:
        return Row(series, _time_ns(time), nan, quality)
    number = float(value)
    if not isfinite(number):
        message = f"{value} is no value"
        raise ValueError(message)
    return Row(series, _time_ns(time), number, quality)


def _code(label: str) -> int:
    code = _CODES.get(label)
    if code is None:
        message = f"{label!r} is no quality"
        raise ValueError(message)
    return code


def _column(text: str) -> BlockSeries:
    found = _WIDE_NAME.match(text)
    if found is None:
        message = f"{text!r} cannot name a series"
        raise ValueError(message)
    return _series(found["name"], found["square"] or found["round"] or "1")


def _series(name: str, unit: str) -> BlockSeries:
    if not is_series_name(name):
        message = f"{name!r} cannot name a series"
        raise ValueError(message)
    return BlockSeries(name, unit)


def _time_ns(text: str) -> int:
    try:
        # A number of this size holds microseconds and no more.
        return round(float(text) * US_PER_S) * NS_PER_US
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * NS_PER_US
