"""Answers questions about telemetry from PostgreSQL."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from wayside_server.domain.access import Principal
from wayside_server.domain.account import Account, DeviceRow, RowCount, StreamRow, settle
from wayside_server.domain.moments import from_us
from wayside_server.domain.reading import (
    AVERAGE_DIGITS,
    DEAD_LETTER_HEAD_BYTES,
    QUIET_AFTER,
    Absence,
    Aggregation,
    DeadLetter,
    Device,
    DeviceLogLine,
    ExportQuery,
    HistoryQuery,
    Incident,
    LatestSample,
    Refusal,
    Sample,
    Series,
)
from wayside_server.domain.tenants import Tenant
from wayside_server.errors import ConfigError, NotFoundError, StorageError, UnknownDeviceError
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.export import export
from wayside_server.storage.schema import pending
from wayside_server.storage.scope import NO_TIMEOUT, STATEMENT_TIMEOUT, Scope
from wayside_server.storage.statements import load_statements
from wayside_server.storage.tenants import tenant_of
from wayside_shared.quality import FIRST_ABSENT, Quality

_SQL = {**load_statements("reading"), "usage": load_statements("tenants")["list"]}
_AGGREGATES = load_statements("aggregate")

LIVE_PAGE = 200
"""Samples of one series at a time: three minutes at 1 Hz, so that a resumed stream catches up in small steps."""
_FIRST_US = -(1 << 62)
_LAST_US = 1 << 62
_MAX_ID = (1 << 31) - 1


class PostgresReading:
    """Implements `domain.reading.Reading`.

    Args:
        pool: for all but exports; its connections should belong to nobody but `roles.APP_ROLE`.
        conninfo: the same database; each export has a connection of its own, so that it takes none from the pool.
        installation: another pool for `check`, which must answer before that role is made; `pool` when not given.
    """

    def __init__(self, pool: Pool, conninfo: str, installation: Pool | None = None) -> None:
        self._pool = pool
        self._conninfo = conninfo
        self._installation = installation or pool

    def within(self, asker: Principal) -> "PostgresTenantReading":
        return PostgresTenantReading(self._pool, self._conninfo, Scope.of(asker))

    async def check(self) -> None:
        try:
            async with connection(self._installation) as conn:
                missing = await pending(conn)
        except ConfigError as error:
            raise StorageError(error.message) from error
        if missing:
            raise StorageError(f"{len(missing)} migrations are missing; type: wayside-server migrate")


class PostgresTenantReading:
    """Implements `domain.reading.TenantReading`. Every transaction is read-only and bound to one scope.

    Args:
        pool: as `PostgresReading`.
        conninfo: likewise.
        scope: whose answers these are.
    """

    def __init__(self, pool: Pool, conninfo: str, scope: Scope) -> None:
        self._pool = pool
        self._conninfo = conninfo
        self._scope = scope

    async def devices(self, *, after: str, search: str, limit: int) -> Sequence[Device]:
        rows = await self._rows(
            "devices", {"after": after, "search": search, "limit": limit, "quiet_after": QUIET_AFTER}
        )
        return [Device(**row) for row in rows]

    async def device(self, name: str) -> Device:
        rows = await self._rows("device", {"name": name, "quiet_after": QUIET_AFTER})
        if not rows:
            raise UnknownDeviceError(name)
        return Device(**rows[0])

    async def accounts(self, devices: Sequence[Device]) -> Mapping[str, Account]:
        async with self._snapshot() as cursor:
            return await _accounts(cursor, [device.id for device in devices], {})

    async def account(self, name: str, *, verify: bool = False) -> Account:
        device = await self.device(name)
        async with self._snapshot(NO_TIMEOUT if verify else STATEMENT_TIMEOUT) as cursor:
            counted: dict[int, RowCount] = {}
            if verify:
                found = await (await cursor.execute(_SQL["series_ids"], {"id": device.id})).fetchall()
                values = {"id": device.id, "series_ids": [row["id"] for row in found]}
                row = await (await cursor.execute(_SQL["counted"], values)).fetchone()
                counted = {device.id: RowCount(**row)} if row else {}
            return (await _accounts(cursor, [device.id], counted))[name]

    async def series(self, device: str) -> Sequence[Series]:
        await self.device(device)
        return [Series(**row) for row in await self._rows("series", {"device": device, "names": []})]

    async def latest(self, device: str, *, skip: int = 0, limit: int | None = None) -> Sequence[LatestSample]:
        await self.device(device)
        return [_latest(row) for row in await self._rows("latest", {"device": device, "skip": skip, "limit": limit})]

    async def history(self, query: HistoryQuery) -> Sequence[Sample]:
        await self.device(query.device)
        found = [
            Series(**row) for row in await self._rows("series", {"device": query.device, "names": list(query.series)})
        ]
        missing = set(query.series) - {series.name for series in found}
        if missing:
            raise NotFoundError(f"{query.device} has no series {min(missing)[:128]!r}")
        by_id = {series.id: series for series in found}
        direction = "descending" if query.descending else "ascending"
        if query.aggregation is None:
            statement = sql.Composed([sql.SQL(_SQL[f"history_{direction}"])])
        else:
            aggregate = sql.SQL(_AGGREGATES[query.aggregation.value])
            statement = sql.SQL(_SQL[f"buckets_{direction}"]).format(aggregate=aggregate)
        # What is gathered in buckets needs no order, and the whole range.
        async with self._snapshot(by_index=query.aggregation is None) as cursor:
            await cursor.execute(statement, _history_values(query, list(by_id)))
            rows = await cursor.fetchall()
        if query.aggregation is None:
            return [
                Sample(by_id[row["series_id"]], row["ts"], _value(row), row["quality"] or Quality.GOOD) for row in rows
            ]
        return [_bucket(by_id[row["series_id"]], row, query.aggregation) for row in rows]

    async def export(self, query: ExportQuery) -> AsyncGenerator[bytes, None]:
        await self.device(query.device)
        rows = await self._rows("series", {"device": query.device, "names": list(query.series)})
        missing = set(query.series) - {row["name"] for row in rows}
        if missing:
            raise NotFoundError(f"{query.device} has no series {min(missing)[:128]!r}")
        async with aclosing(export(self._conninfo, self._scope, query, [Series(**row) for row in rows])) as pieces:
            async for piece in pieces:
                yield piece

    async def newer(self, marks: Mapping[int, int]) -> Sequence[Sample]:
        moments = [from_us(us) for us in marks.values()]
        rows = await self._rows("newer", {"ids": list(marks), "marks": moments, "limit": LIVE_PAGE}, by_index=True)
        return [
            Sample(Series(row["id"], row["name"], row["unit"]), row["ts"], _value(row), row["quality"] or Quality.GOOD)
            for row in rows
        ]

    async def dead_letters(self, device: str, *, before_id: int, limit: int) -> Sequence[DeadLetter]:
        await self.device(device)
        values = {"device": device, "before_id": before_id, "limit": limit, "head": DEAD_LETTER_HEAD_BYTES}
        return [DeadLetter(**row) for row in await self._rows("dead_letters", values)]

    async def dead_letter(self, device: str, letter_id: int) -> bytes:
        rows = await self._rows("dead_letter", {"device": device, "id": letter_id})
        if not rows:
            raise NotFoundError(f"{device[:63]} has no dead letter {letter_id}")
        raw: bytes | None = rows[0]["raw"]
        if raw is None:
            raise NotFoundError(f"the bytes of dead letter {letter_id} were not kept: its device had used up its quota")
        return bytes(raw)

    async def log(self, device: str, *, level: int, before_id: int, limit: int) -> Sequence[DeviceLogLine]:
        device_id = (await self.device(device)).id
        values = {"device_id": device_id, "level": level, "before_id": before_id, "limit": limit}
        return [DeviceLogLine(**row) for row in await self._rows("log", values)]

    async def refusals(self, *, before: tuple[date, str] | None, limit: int) -> Sequence[Refusal]:
        day, kind = before or (date.max, "")
        rows = await self._rows("refusals", {"day": day, "kind": kind, "limit": limit})
        return [Refusal(**row) for row in rows]

    async def incidents(self, device: str | None, *, before_id: int, limit: int) -> Sequence[Incident]:
        device_id = None if device is None else (await self.device(device)).id
        rows = await self._rows("incidents", {"device_id": device_id, "before_id": before_id, "limit": limit})
        return [Incident(**row) for row in rows]

    async def usage(self) -> Tenant:
        rows = await self._rows("usage", {"name": None})
        if not rows:
            raise NotFoundError("whoever acts within no tenant has no usage; ask for the list of tenants")
        return tenant_of(rows[0])

    async def _rows(self, statement: str, values: Mapping[str, Any], *, by_index: bool = False) -> list[DictRow]:
        async with self._snapshot(by_index=by_index) as cursor:
            await cursor.execute(_SQL[statement], values)
            return await cursor.fetchall()

    @asynccontextmanager
    async def _snapshot(
        self, longest: str = STATEMENT_TIMEOUT, *, by_index: bool = False
    ) -> AsyncIterator[psycopg.AsyncCursor[DictRow]]:
        """A cursor in a read-only transaction within the scope, all of whose statements see one moment."""
        async with (
            connection(self._pool) as conn,
            conn.transaction(),
            conn.cursor(row_factory=dict_row) as cursor,
        ):
            await self._scope.enter(cursor, longest=longest, by_index=by_index)
            yield cursor


async def _accounts(
    cursor: psycopg.AsyncCursor[DictRow], ids: Sequence[int], counted: Mapping[int, RowCount]
) -> dict[str, Account]:
    streams: dict[int, list[StreamRow]] = {device_id: [] for device_id in ids}
    await cursor.execute(_SQL["stream_rows"], {"ids": list(ids)})
    for row in await cursor.fetchall():
        streams[row.pop("device_id")].append(StreamRow(**row))
    await cursor.execute(_SQL["device_rows"], {"ids": list(ids)})
    accounts = {}
    for row in await cursor.fetchall():
        device_id = row.pop("id")
        accounts[row["name"]] = settle(DeviceRow(**row), streams[device_id], counted.get(device_id))
    return accounts


def _history_values(query: HistoryQuery, ids: list[int]) -> dict[str, Any]:
    start_us, end_us = query.start_us, query.end_us
    at_us, at_series, skip = (_LAST_US, _MAX_ID, 0) if query.descending else (_FIRST_US, 0, 0)
    if query.after is not None:
        at_us, at_series, skip = query.after.at_us, query.after.series_id, query.after.skip
        # The place bounds the range too: only that lets a deep page start inside the index.
        if query.descending:
            end_us = min(end_us, at_us + max(query.bucket_us, 1))
        else:
            start_us = max(start_us, at_us)
    return {
        "ids": ids,
        "start": from_us(start_us),
        "end": from_us(end_us),
        "at": from_us(at_us),
        "at_series": at_series,
        "skip": skip,
        "limit": query.limit,
        "width": timedelta(microseconds=query.bucket_us),
    }


def _bucket(series: Series, row: DictRow, aggregation: Aggregation) -> Sample:
    value = row["value"]
    if aggregation is Aggregation.COUNT:
        series, value = replace(series, unit="1"), int(value)
    elif aggregation is Aggregation.AVG and value is not None:
        value = float(f"{value:.{AVERAGE_DIGITS}g}")
    return Sample(series, row["bucket"], value, absent=row["absent"])


def _latest(row: DictRow) -> LatestSample:
    series = Series(row["id"], row["name"], row["unit"])
    marked = row["quality_ts"] == row["ts"] and row["quality"] < FIRST_ABSENT
    last = None
    if row["ts"] is not None:
        last = Sample(series, row["ts"], _value(row), row["quality"] if marked else Quality.GOOD)
    if row["absent_since"] is not None:
        return LatestSample(Sample(series, row["quality_ts"], None, row["quality"]), Absence(row["absent_since"], last))
    assert last is not None
    return LatestSample(last)


def _value(row: DictRow) -> Any:
    return row["value_json"] if row["value"] is None else row["value"]
