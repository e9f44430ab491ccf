"""The block: readings as they go into a stage and come out of one, laid out so that C can read them in place.

Version 1, little-endian. A header of 16 bytes: `version`, `series`, `readings`, `text_bytes`, each u32. Then for each
series 16 bytes: where its name begins in the text and how long it is, the same of its unit, each u32. Then for each
reading 24 bytes: `time_ns` i64, `value` f64, the number of its series u32, its quality u32 (`wayside_shared.quality`;
from 64 on there is no value, and `value` is NaN). Then the text, UTF-8. All readings of a block are on one clock.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite, nan
from typing import Final, NamedTuple, NoReturn

from wayside_shared.errors import RejectedError
from wayside_shared.quality import FIRST_ABSENT
from wayside_shared.rejects import RejectCode

BLOCK_VERSION: Final = 1
HEADER: Final = struct.Struct("<IIII")
SERIES: Final = struct.Struct("<IIII")
READING: Final = struct.Struct("<qdII")
MAX_BLOCK_SERIES: Final = 1024
MAX_TEXT_BYTES: Final = 256 * 1024
MAX_QUALITY: Final = 255


class BlockSeries(NamedTuple):
    """A series of a block.

    Args:
        name: going in, the whole name (`greenhouse.temperature`); coming out, the name below that of the stage.
        unit: its UCUM code.
    """

    name: str
    unit: str


class BlockReading(NamedTuple):
    """A reading of a block.

    Args:
        time_ns: on the clock that the block is on, in nanoseconds.
        value: a finite number; NaN where the quality says that there is none.
        series: place of its series in the block.
        quality: a code of `wayside_shared.quality`.
    """

    time_ns: int
    value: float
    series: int
    quality: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Readings of some series."""

    series: Sequence[BlockSeries]
    readings: Sequence[BlockReading]

    def encode(self) -> bytes:
        """The bytes of it."""
        return encode_rows(self.series, b"".join([READING.pack(*reading) for reading in self.readings]))


def encode_rows(series: Iterable[tuple[str, str]], rows: bytes | bytearray) -> bytes:
    """The bytes of a block.

    Args:
        series: the names and units of its series, in their order.
        rows: its readings, each packed as `READING`.
    """
    text = bytearray()
    table = []
    for pair in series:
        places: list[int] = []
        for part in pair:
            data = part.encode()
            places += (len(text), len(data))
            text += data
        table.append(SERIES.pack(*places))
    head = HEADER.pack(BLOCK_VERSION, len(table), len(rows) // READING.size, len(text))
    return b"".join((head, *table, rows, text))


def decode_block(data: bytes, *, max_readings: int) -> Block:
    """The block in `data`, which a module wrote: anything may be in it.

    Args:
        data: it, and nothing behind it.
        max_readings: most that it may hold.

    Raises:
        RejectedError: it is no block, or over a limit; nothing else, whatever the bytes.
    """
    if len(data) < HEADER.size:
        raise _malformed("it is shorter than its header")
    version, series_count, reading_count, text_bytes = HEADER.unpack_from(data)
    if version != BLOCK_VERSION:
        raise RejectedError(RejectCode.UNSUPPORTED_VERSION, f"version {version} of the block, not {BLOCK_VERSION}")
    if series_count > MAX_BLOCK_SERIES or reading_count > max_readings or text_bytes > MAX_TEXT_BYTES:
        what = f"{series_count} series, {reading_count} readings, {text_bytes} bytes of text"
        raise RejectedError(
            RejectCode.TOO_LARGE, f"{what}; at most {MAX_BLOCK_SERIES}, {max_readings}, {MAX_TEXT_BYTES}"
        )
    rows_at = HEADER.size + SERIES.size * series_count
    text_at = rows_at + READING.size * reading_count
    if len(data) != text_at + text_bytes:
        raise _malformed(f"it has {len(data)} bytes, not {text_at + text_bytes}")
    text = data[text_at:]
    series = [
        BlockSeries(_part(text, *places[:2]), _part(text, *places[2:]))
        for places in SERIES.iter_unpack(data[HEADER.size : rows_at])
    ]
    readings = list(map(_READING_OF, READING.iter_unpack(data[rows_at:text_at])))
    for reading in readings:
        _, value, place, quality = reading
        if place >= series_count or quality > MAX_QUALITY or (quality < FIRST_ABSENT and not isfinite(value)):
            _refuse(reading, series_count)
    return Block(series, readings)


# Both sides do this for each reading: BlockReading(*row) and a function to check it take three times as long.
_READING_OF: Callable[[tuple[int, float, int, int]], BlockReading] = partial(tuple.__new__, BlockReading)


def _refuse(reading: BlockReading, series_count: int) -> NoReturn:
    if reading.series >= series_count:
        raise _malformed(f"a reading names series {reading.series} of {series_count}")
    if reading.quality > MAX_QUALITY:
        raise _malformed(f"a reading has quality {reading.quality}")
    raise RejectedError(RejectCode.NON_FINITE, f"a reading is {reading.value}, and its quality does not say why")


def _part(text: bytes, begin: int, size: int) -> str:
    if begin + size > len(text):
        raise _malformed("a name or a unit lies outside the text")
    try:
        return text[begin : begin + size].decode()
    except UnicodeDecodeError as error:
        raise RejectedError(RejectCode.BAD_TEXT, "a name or a unit is not UTF-8") from error


def _malformed(what: str) -> RejectedError:
    return RejectedError(RejectCode.MALFORMED, f"no block: {what}")


NO_VALUE: Final = nan
"""The value of a reading that has none."""
