"""Telemetry as one CSV or JSON document, streamed: nothing here grows with the number of samples.

Long documents hold the series one after the other, wide ones are made week by week. Numbers leave PostgreSQL as bare
`time, value` rows and get series, unit and punctuation by replacing delimiters in whole pieces, which costs less than
PostgreSQL forming them for each row; texts, JSON and series with qualities are formed in SQL.
"""

import json
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from wayside_server.domain.cells import guarded
from wayside_server.domain.moments import from_us, to_us
from wayside_server.domain.reading import ExportQuery, Format, Series, Shape
from wayside_server.storage.copy_out import copy_out
from wayside_server.storage.database import Connection, translated
from wayside_server.storage.partitions import WEEK_US, week_start_us
from wayside_server.storage.roles import AS_APP
from wayside_server.storage.scope import NO_TIMEOUT, Scope
from wayside_server.storage.statements import load_statements
from wayside_shared.quality import Quality

_SQL = load_statements("export")
_WHOLE_SECOND = b"2026-05-01 12:00:00"
_DECIMALS = b".000000"
CSV_HEADER = b"series,unit,time,value,quality\n"


async def export(
    conninfo: str, scope: Scope, query: ExportQuery, series: Sequence[Series]
) -> AsyncGenerator[bytes, None]:
    """The document for `query` over `series`, those of them that lie within `scope`, all of it as of one moment.

    Raises:
        StorageError: the database is away, or went away in between.
    """
    with translated():
        connection = await psycopg.AsyncConnection.connect(
            conninfo, options=f"-c timezone=UTC -c DateStyle=ISO -c extra_float_digits=1 {AS_APP}"
        )
        try:
            async with connection.cursor(row_factory=dict_row) as cursor:
                # A wide document merges rows that no index has together.
                await scope.enter(cursor, longest=NO_TIMEOUT, by_index=query.shape is Shape.LONG)
            make = _wide if query.shape is Shape.WIDE else _long
            async with aclosing(make(connection, query, series)) as pieces:
                # Each JSON row begins with a comma; the first one's makes way for the bracket.
                opened = query.format is Format.CSV
                if opened:
                    yield _wide_header(query, series) if query.shape is Shape.WIDE else CSV_HEADER
                async for piece in pieces:
                    yield piece if opened else b"[" + piece[1:]
                    opened = True
            if query.format is Format.JSON:
                yield b"]\n" if opened else b"[]\n"
        finally:
            await connection.close()


def csv_cell(text: str) -> str:
    """`text` as a CSV cell (RFC 4180) that no spreadsheet takes for a formula."""
    text = guarded(text)
    if any(sign in text for sign in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


async def _long(connection: Connection, query: ExportQuery, series: Sequence[Series]) -> AsyncGenerator[bytes, None]:
    for one in series:
        span = {"id": one.id, "start": from_us(query.start_us), "end": from_us(query.end_us)}
        kinds = await _row(connection, "kinds", span)
        if kinds["others"] or kinds["qualities"]:
            statement = _formed_rows(query.format, one, span, marked=kinds["qualities"])
            async with aclosing(copy_out(connection, statement.as_string(connection))) as pieces:
                async for piece in pieces:
                    yield piece
        elif kinds["numbers"]:
            numbers = _sql("numbers").format(**_literals(span))
            head, middle, tail = _frame(query.format, one)
            async with aclosing(copy_out(connection, numbers.as_string(connection))) as pieces:
                async for piece in pieces:
                    yield frame(piece, head, middle, tail)


def frame(piece: bytes, head: bytes, middle: bytes, tail: bytes) -> bytes:
    """Rows `date time 0x02 value newline` as `head date T time middle value tail`. One copy for each replacement."""
    rows = _with_microseconds(piece, middle).replace(b" ", b"T").replace(b"\n", tail + head)
    return head + rows[: -len(head)]


def _with_microseconds(piece: bytes, middle: bytes) -> bytes:
    """Rows `date time 0x02 …` as `date time middle …`, with all six decimals of the second.

    PostgreSQL leaves out zeros at the end. Times that all lack as many, such as those of whole seconds, need no look
    at each.
    """
    signs = np.frombuffer(piece, np.uint8)
    ends = np.flatnonzero(signs == ord(b"\x02"))
    starts = np.concatenate(([0], np.flatnonzero(signs == ord(b"\n"))[:-1] + 1))
    lacking = len(_WHOLE_SECOND + _DECIMALS) - (ends - starts)
    most = int(lacking.max())
    if most == lacking.min():
        return piece.replace(b"\x02", _DECIMALS[len(_DECIMALS) - most :] + middle)
    added = np.full(lacking.sum(), ord(b"0"), np.uint8)
    added[(lacking.cumsum() - lacking)[lacking == len(_DECIMALS)]] = ord(b".")
    return np.insert(signs, np.repeat(ends, lacking), added).tobytes().replace(b"\x02", middle)


def _frame(kind: Format, series: Series) -> tuple[bytes, bytes, bytes]:
    if kind is Format.CSV:
        return f"{csv_cell(series.name)},{csv_cell(series.unit)},".encode(), b"Z,", b",\n"
    return _json_prefix(series).encode(), b'Z","value":', b"}\n"


def _json_prefix(series: Series) -> str:
    return f',{{"series":{json.dumps(series.name)},"unit":{json.dumps(series.unit)},"time":"'


def _formed_rows(kind: Format, series: Series, span: dict[str, Any], *, marked: bool) -> sql.Composed:
    rows = _rows(kind, series, span, marked=marked)
    if kind is Format.JSON:
        return _sql("long_json").format(prefix=sql.Literal(_json_prefix(series)), rows=rows)
    # COPY quotes these itself; only the guard against formulas is ours.
    name, unit = sql.Literal(guarded(series.name)), sql.Literal(guarded(series.unit))
    return _sql("long_csv").format(name=name, unit=unit, rows=rows)


async def _wide(connection: Connection, query: ExportQuery, series: Sequence[Series]) -> AsyncGenerator[bytes, None]:
    """One statement a week with samples: planning hundreds of series over years at once would take longer."""
    ids = [one.id for one in series]
    start_us, end_us = query.start_us, query.end_us
    while True:
        span = {"ids": ids, "start": from_us(start_us), "end": from_us(end_us)}
        first: datetime | None = (await _row(connection, "first_time", span))["min"]
        if first is None:
            return
        start_us = to_us(first)
        until_us = min(end_us, week_start_us(start_us) + WEEK_US)
        week = {"ids": ids, "start": from_us(start_us), "end": from_us(until_us)}
        marked = {int(row["id"]) for row in await _all(connection, "with_qualities", week)}
        statement = _wide_rows(query, series, from_us(start_us), from_us(until_us), marked)
        async with aclosing(copy_out(connection, statement.as_string(connection))) as pieces:
            async for piece in pieces:
                yield piece
        start_us = until_us


def _wide_rows(
    query: ExportQuery, series: Sequence[Series], start: datetime, end: datetime, marked: Collection[int]
) -> sql.Composed:
    rows = sql.SQL(" UNION ALL ").join(
        _rows(query.format, one, {"id": one.id, "start": start, "end": end}, marked=one.id in marked) for one in series
    )
    turns = _sql("turns").format(rows=rows)
    if query.format is Format.JSON:
        qualities = _sql("wide_json_qualities").format() if query.qualities else sql.Literal("")
        return _sql("wide_json").format(turns=turns, qualities=qualities)
    kinds = ("wide_column", "wide_quality_column") if query.qualities else ("wide_column",)
    columns = sql.SQL(", ").join(_sql(kind).format(label=sql.Literal(_label(one))) for one in series for kind in kinds)
    return _sql("wide_csv").format(columns=columns, turns=turns)


def _wide_header(query: ExportQuery, series: Sequence[Series]) -> bytes:
    endings = ("", " quality") if query.qualities else ("",)
    return (
        ",".join(["time", *(csv_cell(_label(one) + ending) for one in series for ending in endings)]) + "\n"
    ).encode()


def _label(series: Series) -> str:
    return f"{series.name} [{series.unit}]"


def _rows(kind: Format, series: Series, span: dict[str, Any], *, marked: bool) -> sql.Composed:
    parts: dict[str, sql.Composable] = {
        "label": sql.Literal(_label(series)),
        "number_cell": _sql("number_cell"),
        "other_cell": _sql("json_cell") if kind is Format.JSON else _sql("csv_cell").format(),
        **_literals(span),
    }
    if not marked:
        return _sql("rows").format(**parts)
    quality_label = _quality_label()
    marks = _sql("marks").format(quality_label=quality_label, **_literals(span))
    return _sql("marked_rows").format(marks=marks, quality_label=quality_label, **parts)


def _quality_label() -> sql.Composed:
    whens = (
        _sql("quality_when").format(code=sql.Literal(int(quality)), label=sql.Literal(quality.label))
        for quality in Quality
    )
    return _sql("quality_label").format(whens=sql.SQL(" ").join(whens))


def _literals(span: dict[str, Any]) -> dict[str, sql.Literal]:
    return {name: sql.Literal(value) for name, value in span.items()}


def _sql(name: str) -> sql.SQL:
    return sql.SQL(_SQL[name])


async def _row(connection: Connection, statement: str, values: dict[str, Any]) -> DictRow:
    (row,) = await _all(connection, statement, values)
    return row


async def _all(connection: Connection, statement: str, values: dict[str, Any]) -> list[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[statement], values)
        return await cursor.fetchall()
