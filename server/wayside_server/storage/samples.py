"""Columns of samples as binary COPY: built with NumPy, no Python code for each row."""

from collections.abc import Sequence

import numpy as np

from wayside_shared.columns import Block

POSTGRES_EPOCH_US = 946_684_800 * 1_000_000
"""PostgreSQL counts microseconds from 2000-01-01; everybody else from 1970."""

_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("series_size", ">i4"),
        ("series", ">i4"),
        ("ts_size", ">i4"),
        ("ts", ">i8"),
        ("value_size", ">i4"),
        ("value", ">f8"),
    ]
)
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


def copy_rows(parts: Sequence[tuple[int, Block]]) -> bytes:
    """The samples of number blocks as the input of `COPY sample (series_id, ts, value) … BINARY`.

    Args:
        parts: series id and block of each; every block holds numbers.

    Source: PostgreSQL documentation, COPY, "Binary Format".
    """
    rows = np.empty(sum(len(block) for _, block in parts), dtype=_ROW)
    rows["fields"] = 3
    rows["series_size"] = 4
    rows["ts_size"] = 8
    rows["value_size"] = 8
    at = 0
    for series_id, block in parts:
        part = rows[at : at + len(block)]
        part["series"] = series_id
        part["ts"] = block.times_us - POSTGRES_EPOCH_US
        part["value"] = block.numbers
        at += len(block)
    return b"".join((_HEADER, rows.tobytes(), _TRAILER))
