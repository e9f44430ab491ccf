"""The schema changes while ingest writes: nothing is lost or doubled, and no group waits for long."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from wayside_server.domain.limits import DeviceLimits
from wayside_server.errors import StorageError
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.schema import LOCK_TIMEOUT, migrate
from wayside_testkit.batches import Device, column

COLUMNS = """\
ALTER TABLE stream ADD COLUMN site text NOT NULL DEFAULT 'unknown';
ALTER TABLE ingest_batch ADD COLUMN size bigint NOT NULL DEFAULT 0;
"""
INDEX = """\
-- wayside: no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ingest_batch_received;
CREATE INDEX CONCURRENTLY ingest_batch_received ON ingest_batch (received_at);
"""
SAMPLES = 50
LONGEST_S = 2 * float(LOCK_TIMEOUT.removesuffix("s")) + 4.0
"""A group may stand behind the lock requests of both ALTERs; the rest is for a busy machine."""
DEADLINE_S = 60.0


@dataclass
class Writer:
    """One device whose batches are stored one after the other, each tried until it is."""

    pool: Pool
    name: str
    groups: int = 0
    failures: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    stopping: bool = False

    async def run(self) -> None:
        store, device = PostgresIngest(self.pool, "test", DeviceLimits()), Device(self.name)
        while not self.stopping:
            first = float(self.groups * SAMPLES)
            item = device.item(column("t", [first + i for i in range(SAMPLES)], start_s=self.groups * SAMPLES))
            started = time.monotonic()
            while True:
                try:
                    settlement = await store.settle([item])
                    break
                except StorageError as error:
                    self.failures.append(str(error))
            assert settlement.stored == SAMPLES
            self.longest_s = max(self.longest_s, time.monotonic() - started)
            self.groups += 1

    async def goes_on(self, groups: int) -> None:
        """Returns when that many more groups are stored."""
        wanted = self.groups + groups
        while self.groups < wanted:  # noqa: ASYNC110 - the writer has no other sign of life
            await asyncio.sleep(0.005)


async def _lock_is_wanted(conn: "psycopg.AsyncConnection[tuple[object, ...]]") -> None:
    statement = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    while (await (await conn.execute(statement)).fetchone()) == (0,):  # noqa: ASYNC110 - only a query can tell
        await asyncio.sleep(0.005)


async def test_ingest_goes_on_while_tables_change_and_an_export_holds_them(
    pool: Pool, database: str, tmp_path: Path
) -> None:
    (tmp_path / "9001_pre_columns.sql").write_text(COLUMNS)
    (tmp_path / "9002_pre_index.sql").write_text(INDEX)
    writers = [Writer(pool, "pump-1"), Writer(pool, "pump-2")]
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        for writer in writers:
            tasks.create_task(writer.run())
        await writers[0].goes_on(5)
        async with await psycopg.AsyncConnection.connect(database) as export, connection(pool) as watch:
            # What a long export or a dump does: it reads both tables and keeps its transaction open.
            await export.execute("SELECT (SELECT count(*) FROM stream), (SELECT count(*) FROM ingest_batch)")
            migrating = tasks.create_task(migrate(database, folder=tmp_path))
            await _lock_is_wanted(watch)
            for writer in writers:
                await writer.goes_on(3)
            assert not migrating.done()
            await export.commit()
        assert await migrating == ["9001_pre_columns.sql", "9002_pre_index.sql"]
        await writers[0].goes_on(5)
        for writer in writers:
            writer.stopping = True
    assert [writer.failures for writer in writers] == [[], []]
    assert max(writer.longest_s for writer in writers) < LONGEST_S
    await _nothing_lost_or_doubled(pool, writers)


async def _nothing_lost_or_doubled(pool: Pool, writers: list[Writer]) -> None:
    async with connection(pool) as conn:
        samples = await conn.execute(
            "SELECT d.name, count(*), count(DISTINCT m.value), max(m.value)"
            " FROM sample m JOIN series s ON s.id = m.series_id JOIN device d ON d.id = s.device_id"
            " GROUP BY d.name ORDER BY d.name"
        )
        assert await samples.fetchall() == [
            (w.name, w.groups * SAMPLES, w.groups * SAMPLES, w.groups * SAMPLES - 1) for w in writers
        ]
        ledger = await conn.execute(
            "SELECT d.name, t.contiguous_upto, t.stored, t.site, t.duplicates,"
            " (SELECT count(*) FROM ingest_batch b WHERE b.stream_id = t.id AND b.outcome = 'stored' AND b.size = 0)"
            " FROM stream t JOIN device d ON d.id = t.device_id ORDER BY d.name"
        )
        assert await ledger.fetchall() == [
            (w.name, w.groups, w.groups * SAMPLES, "unknown", 0, w.groups) for w in writers
        ]
        index = await conn.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ingest_batch_received'::regclass"
        )
        assert await index.fetchall() == [(True,)]
