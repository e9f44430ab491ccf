"""Rows as ingest leaves them, for tests of what reads them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import LiteralString, TypeAlias

from psycopg.types.json import Jsonb

from wayside_server.domain.access import FIRST_TENANT, Permission, Principal
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.reading import PostgresReading, PostgresTenantReading

START = datetime(2026, 3, 1, tzinfo=UTC)
Value: TypeAlias = "float | str | bool | dict[str, object] | list[object] | None"


def at(seconds: float) -> datetime:
    """`seconds` after `START`."""
    return START + timedelta(seconds=seconds)


def looks(tenant_id: int | None = FIRST_TENANT) -> Principal:
    """Somebody with a key who may look at what a tenant has."""
    return Principal("key:testtest", "test", tenant_id, frozenset({Permission.READ}))


def reading_of(pool: Pool, database: str, tenant_id: int | None = FIRST_TENANT) -> PostgresTenantReading:
    """What a tenant may read."""
    return PostgresReading(pool, database).within(looks(tenant_id))


async def add_tenant(pool: Pool, name: str) -> int:
    """A tenant; its id."""
    return await _added(pool, "INSERT INTO tenant (name, title) VALUES (%s, %s) RETURNING id", [name, name])


async def add_device(pool: Pool, name: str, tenant_id: int = FIRST_TENANT) -> int:
    """A device; its id."""
    return await _added(pool, "INSERT INTO device (name, tenant_id) VALUES (%s, %s) RETURNING id", [name, tenant_id])


async def _added(pool: Pool, statement: LiteralString, values: Sequence[object]) -> int:
    async with connection(pool) as conn:
        row = await (await conn.execute(statement, values)).fetchone()
    assert row is not None
    return int(str(row[0]))


async def add_series(
    pool: Pool, device_id: int, name: str, unit: str, samples: Sequence[tuple[datetime, Value]] = ()
) -> int:
    """A series with its samples, floats as numbers and all else as documents; its id."""
    async with connection(pool) as conn, conn.cursor() as cursor:
        await cursor.execute(
            "INSERT INTO series (device_id, name, unit) VALUES (%s, %s, %s) RETURNING id", [device_id, name, unit]
        )
        row = await cursor.fetchone()
        assert row is not None
        series_id = int(str(row[0]))
        numbers = [(series_id, moment, value) for moment, value in samples if type(value) is float]
        others = [(series_id, moment, Jsonb(value)) for moment, value in samples if type(value) is not float]
        await cursor.executemany("INSERT INTO sample VALUES (%s, %s, %s)", numbers)
        await cursor.executemany("INSERT INTO sample_value VALUES (%s, %s, %s)", others)
    return series_id


async def add_qualities(pool: Pool, series_id: int, qualities: Sequence[tuple[datetime, int]]) -> None:
    """Qualities of a series: marks of its values, and samples without a value."""
    async with connection(pool) as conn, conn.cursor() as cursor:
        rows = [(series_id, moment, quality) for moment, quality in qualities]
        await cursor.executemany("INSERT INTO sample_quality VALUES (%s, %s, %s)", rows)


async def add_stream(
    pool: Pool,
    device_id: int,
    batches: Sequence[tuple[int, int, int, str]],
    *,
    accepted: int,
    reported_pending_from: int | None = None,
    reported_pending_before: int | None = None,
    contiguous_upto: int | None = None,
) -> int:
    """An epoch with its ledger rows `(seq, before, n, outcome)`; its id."""
    stored = sum(n for _, _, n, outcome in batches if outcome == "stored")
    last = max((seq for seq, *_ in batches), default=0)
    upto = last if contiguous_upto is None else contiguous_upto
    async with connection(pool) as conn, conn.cursor() as cursor:
        await cursor.execute(
            "INSERT INTO stream (device_id, epoch, first_seq, contiguous_upto, max_seq, accepted, stored, late,"
            " duplicates, reported_pending_from, reported_pending_before)"
            " VALUES (%s, substr(sha256(random()::text::bytea), 1, 16), 1, %s, %s, %s, %s, 2, 3, %s, %s) RETURNING id",
            [device_id, upto, last, accepted, stored, reported_pending_from, reported_pending_before],
        )
        row = await cursor.fetchone()
        assert row is not None
        stream_id = int(str(row[0]))
        await cursor.executemany(
            "INSERT INTO ingest_batch (stream_id, seq, before, n, outcome) VALUES (%s, %s, %s, %s, %s)",
            [(stream_id, *batch) for batch in batches],
        )
    return stream_id


async def add_dead_letter(pool: Pool, device: str, raw: bytes, code: str = "malformed", detail: str = "") -> None:
    """A refused message of `device`, which counts as garbage."""
    async with connection(pool) as conn, conn.transaction():
        await conn.execute(
            "INSERT INTO dead_letter (device, topic, content_type, code, detail, raw) VALUES (%s, %s, %s, %s, %s, %s)",
            [device, f"wayside/1/{device}/up", "application/json", code, detail, raw],
        )
        await conn.execute("UPDATE device SET garbage = garbage + 1 WHERE name = %s", [device])


async def add_incident(pool: Pool, device_id: int | None, kind: str, detail: str) -> None:
    """An incident, now."""
    async with connection(pool) as conn:
        await conn.execute(
            "INSERT INTO incident (device_id, kind, detail) VALUES (%s, %s, %s)", [device_id, kind, detail]
        )


async def add_refusals(pool: Pool, kind: str, last_at: datetime, count: int, detail: str) -> None:
    """Refusals of `kind` on the day of `last_at`."""
    async with connection(pool) as conn:
        await conn.execute(
            "INSERT INTO refusal VALUES (%s, %s, %s, %s, %s)", [kind, last_at.date(), count, last_at, detail]
        )
