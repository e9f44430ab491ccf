"""Where samples lie: partitions by week on plain PostgreSQL, hypertables where TimescaleDB is available."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wayside_server.domain.ingest import Item
from wayside_server.domain.limits import DeviceLimits
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.partitions import WEEK_US, Partitions, ensure_partitions
from wayside_shared.batch import Column
from wayside_shared.clock import EARLIEST_NS, NS_PER_US
from wayside_testkit.batches import BOOT_NS, WALL_NS, Device, column

CHUNKS_MOST = 53 * 12
"""A chunk a week from 15 months back to 10 years ahead, one before and one after them, and a few to spare."""
YEARS_IN_A_BATCH = 70
"""The codec takes times up to 73 years apart."""


async def _rows(pool: Pool, statement: str, values: Sequence[object] = ()) -> list[Any]:
    async with connection(pool) as conn:
        return await (await conn.execute(statement.encode(), values)).fetchall()


async def _has_hypertables(pool: Pool) -> bool:
    return bool(await _rows(pool, "SELECT FROM pg_extension WHERE extname = 'timescaledb'"))


@pytest.fixture
async def partitioned(pool: Pool) -> Pool:
    """`pool`, on a database whose samples lie in partitions."""
    if await _has_hypertables(pool):
        pytest.skip("this server has TimescaleDB, so samples lie in hypertables")
    return pool


@pytest.fixture
async def hypertables(pool: Pool) -> Pool:
    """`pool`, on a database whose samples lie in hypertables."""
    if not await _has_hypertables(pool):
        pytest.skip("TimescaleDB is not available here; set WAYSIDE_TEST_DATABASE_URL to a server that has it")
    return pool


def _us(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000


async def _weeks(pool: Pool) -> set[str]:
    rows = await _rows(pool, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'sample'::regclass")
    return {str(name) for (name,) in rows}


async def test_weeks_are_made_once_by_many_at_once(partitioned: Pool) -> None:
    start = datetime.now(UTC) - timedelta(days=120)
    before = await _weeks(partitioned)

    async def ensure() -> None:
        async with connection(partitioned) as conn:
            await ensure_partitions(conn, _us(start), _us(start) + 5 * WEEK_US)

    await asyncio.gather(*(ensure() for _ in range(4)))
    assert len(await _weeks(partitioned) - before) == 6


async def test_times_out_of_range_and_taken_weeks_stay_in_the_default_partition(partitioned: Pool) -> None:
    now = datetime.now(UTC)
    taken = now - timedelta(days=60)
    before = await _weeks(partitioned)
    partitions = Partitions()
    async with connection(partitioned) as conn:
        await conn.execute("INSERT INTO sample VALUES (1, %s, 1.5)", [taken])
        await partitions.ensure(conn, _us(taken), _us(taken))
        for moment in (datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)):
            await partitions.ensure(conn, _us(moment), _us(moment))
            await conn.execute("INSERT INTO sample VALUES (1, %s, 2.5)", [moment])
        rows = await conn.execute("SELECT count(*) FROM ONLY sample_default")
        assert await rows.fetchone() == (3,)
    assert await _weeks(partitioned) == before


async def test_a_week_is_made_beside_a_reader_and_a_writer(partitioned: Pool) -> None:
    moment = datetime.now(UTC) - timedelta(days=30)
    before = await _weeks(partitioned)
    async with connection(partitioned) as other, other.transaction():
        await other.execute("INSERT INTO sample VALUES (1, now(), 1.5)")
        async with connection(partitioned) as conn:
            await ensure_partitions(conn, _us(moment), _us(moment))
    assert len(await _weeks(partitioned) - before) == 1


async def _chunks(pool: Pool, base: str) -> int:
    ((count,),) = await _rows(
        pool, "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s", [base]
    )
    return int(count)


def _weekly(years: int) -> Item:
    """A batch with a sample in each week from the year 2000 on."""
    count = years * 52
    first_ns = BOOT_NS - WALL_NS + EARLIEST_NS
    times = [first_ns + i * WEEK_US * NS_PER_US for i in range(count)]
    return Device().item(Column("t", "Cel", times, [float(i) for i in range(count)]))


async def test_hypertables_have_chunks_of_a_week_and_one_index(hypertables: Pool) -> None:
    dimensions = await _rows(
        hypertables,
        "SELECT hypertable_name::text, column_name::text, time_interval"
        " FROM timescaledb_information.dimensions ORDER BY 1",
    )
    week = timedelta(days=7)
    assert dimensions == [("sample", "ts", week), ("sample_value", "ts", week)]
    indexes = await _rows(
        hypertables,
        "SELECT tablename::text, indexdef FROM pg_indexes WHERE tablename IN ('sample', 'sample_value') ORDER BY 1",
    )
    assert [(table, definition.partition(" USING ")[2]) for table, definition in indexes] == [
        ("sample", "btree (series_id, ts)"),
        ("sample_value", "btree (series_id, ts)"),
    ]


async def test_no_chunk_is_made_ahead_or_on_demand(hypertables: Pool) -> None:
    before = await _chunks(hypertables, "sample")
    moment = _us(datetime.now(UTC))
    async with connection(hypertables) as conn:
        await ensure_partitions(conn, moment, moment + 5 * WEEK_US)
    assert await _chunks(hypertables, "sample") == before


async def test_a_wild_clock_cannot_make_a_chunk_for_each_week_of_a_century(hypertables: Pool) -> None:
    item = _weekly(YEARS_IN_A_BATCH)
    settlement = await PostgresIngest(hypertables, "test", DeviceLimits()).settle([item])
    assert settlement.stored == YEARS_IN_A_BATCH * 52
    assert await _rows(hypertables, "SELECT count(*), count(DISTINCT value) FROM sample") == [
        (settlement.stored, settlement.stored)
    ]
    assert await _chunks(hypertables, "sample") < CHUNKS_MOST


async def test_emptied_hypertables_take_samples_again_and_stay_bounded(hypertables: Pool) -> None:
    store = PostgresIngest(hypertables, "test", DeviceLimits())
    device = Device()
    await store.settle([device.item(column("t", [1.0, 2.0]), column("note", ["a"], unit="1"))])
    assert await _rows(hypertables, "DELETE FROM sample WHERE value = 1 RETURNING value") == [(1.0,)]
    await _rows(hypertables, "WITH gone AS (DELETE FROM sample_value RETURNING 1) SELECT count(*) FROM gone")
    async with connection(hypertables) as conn:
        await conn.execute("TRUNCATE sample, sample_value")
        await ensure_partitions(conn, _us(datetime.now(UTC)), _us(datetime.now(UTC)))
    assert (await store.settle([device.item(column("t", [3.0]))])).stored == 1
    assert await _rows(hypertables, "SELECT value FROM sample") == [(3.0,)]
    wide = "SELECT count(*) FROM timescaledb_information.chunks WHERE range_end - range_start > interval '1 year'"
    assert await _rows(hypertables, wide) == [(4,)]
