"""What one device may take up, against a real PostgreSQL: beyond it all is refused, told and counted."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from wayside_server.domain.account import Account
from wayside_server.domain.ingest import Hello, Item, Settlement
from wayside_server.domain.limits import (
    IMPOSSIBLE_COUNTERS,
    LETTERS_OVER_QUOTA,
    TOO_MANY_EPOCHS,
    TOO_MANY_SERIES,
    DeviceLimits,
)
from wayside_server.errors import NotFoundError
from wayside_server.storage.admission import KnownSeries
from wayside_server.storage.database import Pool
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.reading import PostgresTenantReading
from wayside_server.storage.schema import migrate, read_migrations
from wayside_shared.batch import Counters, Drop
from wayside_shared.plain import JSON_TYPE
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.session import DeviceHello, encode_device_hello
from wayside_shared.topics import Channel
from wayside_testkit.batches import BOOT, CLOCK, Device, column, received
from wayside_testkit.telemetry import reading_of

pytest_plugins = ["wayside_testkit.postgres"]

LIMITS = DeviceLimits(series=3, epochs=2, dead_letters=2, dead_letter_bytes=20, unsettled_samples=1_000_000)


@pytest.fixture
def store(pool: Pool) -> PostgresIngest:
    return PostgresIngest(pool, "wayside-server test", LIMITS)


@pytest.fixture
def reading(pool: Pool, database: str) -> PostgresTenantReading:
    return reading_of(pool, database)


async def query(pool: Pool, sql: str) -> list[Any]:
    async with pool.connection() as connection:
        return await (await connection.execute(sql)).fetchall()


async def incidents(pool: Pool) -> dict[str, int]:
    return dict(await query(pool, "SELECT kind, count FROM incident"))


def rejects(settlement: Settlement) -> list[tuple[int, RejectCode]]:
    return [(reject.seq, reject.code) for _, ack in settlement.acks for reject in ack.rejects]


def adds_up(account: Account) -> bool:
    settled = account.stored + account.pending + account.dropped_total + account.rejected_total + account.missing
    return account.accepted == settled


def epoch(number: int) -> bytes:
    return b"epoch-%010d" % number


def hello(counters: Counters | None, *, of: bytes = b"epoch-one-------", acked_upto: int = 0) -> Item:
    said = DeviceHello(b"nonce--1", of, 1, acked_upto, counters, BOOT, CLOCK, "wayside-edge/1")
    item = received("boiler-7", encode_device_hello(said), channel=Channel.HELLO_DEVICE)
    assert isinstance(item, Hello)
    return item


# --- series


async def test_a_batch_that_would_make_too_many_series_is_refused(
    store: PostgresIngest, pool: Pool, reading: PostgresTenantReading
) -> None:
    device = Device()
    three = device.item(*(column(name, [1.0, 2.0]) for name in "abc"))
    fourth = device.item(column("a", [3.0]), column("d", [1.0]))
    known = device.item(column("a", [4.0]))
    settlement = await store.settle([three, fourth, known])
    assert rejects(settlement) == [(2, RejectCode.TOO_MANY_SERIES)]
    assert settlement.acks[0][1].ranges == [(1, 1), (3, 3)]
    assert settlement.acks[0][1].upto == 3
    assert await query(pool, "SELECT name FROM series ORDER BY name") == [("a",), ("b",), ("c",)]
    account = await reading.account("boiler-7", verify=True)
    assert (account.accepted, account.stored, account.rejected) == (9, 7, {"too_many_series": 2})
    assert adds_up(account)
    assert account.duplicates_stored == 0
    again = await store.settle([fourth])
    assert rejects(again) == [(2, RejectCode.TOO_MANY_SERIES)]
    assert (await incidents(pool))[TOO_MANY_SERIES] == 2
    assert await query(pool, "SELECT count(*) FROM dead_letter") == [(1,)], "a repeated batch is no other letter"


async def test_units_and_other_devices_have_series_of_their_own(store: PostgresIngest, pool: Pool) -> None:
    first, second = Device(), Device("boiler-8")
    units = [column("t", [1.0], unit=unit) for unit in ("Cel", "K", "1", "Pa")]
    settlement = await store.settle([second.item(*units[:3]), first.item(*units)])
    assert rejects(settlement) == [(1, RejectCode.TOO_MANY_SERIES)]
    assert settlement.stored == 3


async def test_plain_samples_over_the_limit_are_a_dead_letter(
    store: PostgresIngest, pool: Pool, reading: PostgresTenantReading
) -> None:
    names = received("esp-1", b'{"values":{"a":1,"b":2,"c":3,"d":4}}', JSON_TYPE)
    settlement = await store.settle([names, received("esp-1", b'{"values":{"a":1}}', JSON_TYPE)])
    assert (settlement.stored, settlement.dead) == (1, 1)
    assert (await reading.account("esp-1")).garbage == 1
    assert [letter.code for letter in await reading.dead_letters("esp-1", before_id=99, limit=9)] == ["too_many_series"]


def test_of_the_series_met_only_the_last_are_kept() -> None:
    known = KnownSeries(most=2)
    for number, name in enumerate("abac"):
        if known.get((1, name, "1")) is None:
            known.put((1, name, "1"), number)
    assert [known.get((1, name, "1")) for name in "abc"] == [0, None, 3]
    assert len(known) == 2


# --- epochs


async def test_batches_of_too_many_epochs_are_refused_and_counted(
    store: PostgresIngest, pool: Pool, reading: PostgresTenantReading
) -> None:
    settlements = [
        await store.settle([hello(None, of=epoch(i)), Device(epoch=epoch(i)).item(column("t", [1.0, 2.0]))])
        for i in range(4)
    ]
    assert [rejects(one) for one in settlements] == [[], [], *[[(1, RejectCode.TOO_MANY_EPOCHS)]] * 2]
    assert settlements[3].acks[0][1].upto == 0
    assert settlements[3].hellos[0][1].max_seq == 0
    assert await query(pool, "SELECT count(*) FROM stream") == [(2,)]
    account = await reading.account("boiler-7")
    assert (account.accepted, account.stored, account.rejected) == (8, 4, {"too_many_epochs": 4})
    assert adds_up(account)
    assert await incidents(pool) == {TOO_MANY_EPOCHS: 2, LETTERS_OVER_QUOTA: 2}


async def test_a_batch_whose_drops_speak_of_too_many_epochs_is_refused(store: PostgresIngest, pool: Pool) -> None:
    drops = [Drop(epoch(i), 1, [1], DropReason.QUOTA) for i in range(100)]
    device = Device()
    settlement = await store.settle([device.item(column("t", [1.0])), device.item(drops=drops)])
    assert rejects(settlement) == [(2, RejectCode.TOO_MANY_EPOCHS)]
    assert await query(pool, "SELECT count(*) FROM stream") == [(2,)]


# --- incidents


async def test_an_incident_that_repeats_is_counted_in_its_row(store: PostgresIngest, pool: Pool) -> None:
    await store.settle([Device().item(column("t", [1.0]))])
    before = _incidents_counted()
    restored = hello(Counters(1, 0, 1, 0))
    settlements = [await store.settle([restored] * 3) for _ in range(5)]
    assert await query(pool, "SELECT kind, count, last_at > created_at, detail FROM incident") == [
        ("card restored or cloned", 15, True, "its next batch would be 1, the server has 1")
    ]
    assert [one.first for settlement in settlements for one in settlement.incidents] == [True, *[False] * 4]
    assert _incidents_counted() == before, "the store tells, the service counts"


async def test_an_incident_that_repeats_is_the_newest_again(
    store: PostgresIngest, reading: PostgresTenantReading
) -> None:
    await store.settle([Device().item(column("t", [1.0]))])
    restored, lie = hello(Counters(1, 0, 1, 0)), hello(Counters(9, 0, 10, 0))
    for item in (restored, lie, restored):
        await store.settle([item])
    found = await reading.incidents("boiler-7", before_id=1 << 60, limit=9)
    assert [(one.kind, one.count) for one in found] == [("card restored or cloned", 2), (IMPOSSIBLE_COUNTERS, 1)]


def _incidents_counted() -> float:
    return REGISTRY.get_sample_value("wayside_ingest_incidents_total", {"kind": "card restored or cloned"}) or 0.0


# --- dead letters


async def test_beyond_the_quota_of_bytes_only_the_record_is_kept(
    store: PostgresIngest, pool: Pool, reading: PostgresTenantReading
) -> None:
    await store.settle([received("boiler-7", b"\xff" * 15)])
    await store.settle([received("boiler-7", b"\xfe" * 15)])
    second, first = await reading.dead_letters("boiler-7", before_id=99, limit=9)
    assert (first.kept, second.kept, second.size) == (True, False, 15)
    assert second.sha256 == hashlib.sha256(b"\xfe" * 15).digest()
    assert await reading.dead_letter("boiler-7", first.id) == b"\xff" * 15
    with pytest.raises(NotFoundError, match="used up its quota"):
        await reading.dead_letter("boiler-7", second.id)
    assert (await reading.account("boiler-7")).garbage == 2
    assert await incidents(pool) == {LETTERS_OVER_QUOTA: 1}


async def test_beyond_the_quota_of_rows_messages_are_counted_by_code(
    store: PostgresIngest, pool: Pool, reading: PostgresTenantReading
) -> None:
    for start in range(0, 200, 50):
        await store.settle([received("boiler-7", b"\xff%d" % i) for i in range(start, start + 50)])
    assert await query(pool, "SELECT count(*), sum(count) FROM dead_letter") == [(3, 200)]
    summed, *kept = await reading.dead_letters("boiler-7", before_id=99, limit=9)
    assert (summed.summed, summed.kept, summed.count, summed.code) == (True, False, 198, "malformed")
    assert [(one.kept, one.count) for one in kept] == [(True, 1)] * 2
    assert (await reading.account("boiler-7")).garbage == 200
    # What one device did leaves the next one its own quota.
    await store.settle([received("boiler-8", b"\xff")])
    assert len(await reading.dead_letters("boiler-8", before_id=1 << 60, limit=9)) == 1


async def test_the_same_message_again_is_counted_in_its_letter(
    store: PostgresIngest, reading: PostgresTenantReading
) -> None:
    for _ in range(3):
        await store.settle([received("boiler-7", b"\xff")] * 2)
    ((letter),) = await reading.dead_letters("boiler-7", before_id=99, limit=9)
    assert (letter.count, letter.kept, letter.last_at > letter.received_at) == (6, True, True)


async def test_the_same_bytes_of_another_content_type_are_another_letter(
    pool: Pool, reading: PostgresTenantReading
) -> None:
    store = PostgresIngest(pool, "test", DeviceLimits())
    types = ["text/plain", "text/" + "x" * 60_000, "text/\0plain"]
    for _ in range(2):
        await store.settle([received("boiler-7", b"1", one) for one in types])
    letters = await reading.dead_letters("boiler-7", before_id=99, limit=9)
    assert sorted((len(one.content_type or ""), one.count) for one in letters) == [(10, 4), (60_005, 2)]


# --- counters


@pytest.mark.parametrize(
    "counters",
    [
        Counters(10**18, 10**18, 1, 0),
        Counters(5, 1_000_003, 1, 0),
        Counters(5, 100, 5, 10**18),
        Counters(5, 100, 10**18, 100),
    ],
)
async def test_a_report_that_cannot_be_true_changes_no_account(
    store: PostgresIngest, pool: Pool, reading: PostgresTenantReading, counters: Counters
) -> None:
    await store.settle([Device().item(column("t", [1.0, 2.0]))])
    before = await reading.account("boiler-7")
    settlement = await store.settle([hello(counters)])
    assert settlement.hellos[0][1].max_seq == 1, "the device is answered"
    assert await reading.account("boiler-7") == before
    assert await incidents(pool) == {IMPOSSIBLE_COUNTERS: 1}


async def test_samples_in_a_batch_with_lying_counters_are_stored_and_the_lie_is_not(
    store: PostgresIngest, pool: Pool, reading: PostgresTenantReading
) -> None:
    item = Device().item(column("t", [1.0, 2.0]))
    lie = replace(item.envelope, before=10**18, counters=Counters(10**18, 10**18, 10**18, 10**18))  # type: ignore[union-attr]
    await store.settle([replace(item, envelope=lie)])  # type: ignore[type-var]
    account = await reading.account("boiler-7")
    assert (account.accepted, account.stored, account.pending, account.missing) == (2, 2, 0, 0)
    assert await incidents(pool) == {IMPOSSIBLE_COUNTERS: 2}


async def test_a_full_outbox_is_believed(store: PostgresIngest, reading: PostgresTenantReading) -> None:
    await store.settle([hello(Counters(70, 1_000_000, 1, 0))])
    assert (await reading.account("boiler-7")).pending == 1_000_000


async def test_sessions_that_run_at_once_keep_the_limits_together(pool: Pool, reading: PostgresTenantReading) -> None:
    """Two sessions hold messages of the same devices, in other orders; neither waits for the other for ever."""
    limits = DeviceLimits(series=5, epochs=7)
    stores = [PostgresIngest(pool, "test", limits) for _ in range(2)]
    names = ["boiler-7", "boiler-8"]

    async def send(store: PostgresIngest, mine: int) -> None:
        for number in range(10):
            devices = [Device(name, epoch=epoch(2 * number + mine)) for name in names]
            items = [one.item(column(f"s{mine}.{number}", [1.0])) for one in devices]
            await store.settle(items if mine else items[::-1])

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for mine, store in enumerate(stores):
            tasks.create_task(send(store, mine))
    counts = "SELECT count(*) FROM {} GROUP BY device_id"
    assert await query(pool, counts.format("series")) == [(5,)] * 2
    assert await query(pool, counts.format("stream")) == [(7,)] * 2
    for name in names:
        account = await reading.account(name)
        assert (account.accepted, account.stored) == (20, 5)
        assert account.rejected == {"too_many_series": 2, "too_many_epochs": 13}
        assert adds_up(account)


async def test_what_an_older_server_repeated_becomes_one_row(empty_database: str, tmp_path: Path) -> None:
    for migration in read_migrations():
        if migration.number < 4:
            (tmp_path / migration.name).write_text(migration.text)
    await migrate(empty_database, folder=tmp_path)
    async with await psycopg.AsyncConnection.connect(empty_database, autocommit=True) as conn:
        await conn.execute(
            "INSERT INTO incident (kind, detail, created_at)"
            " SELECT 'server behind', 'number ' || i, now() - i * interval '1 day' FROM generate_series(1, 3) AS i"
        )
        await conn.execute(
            "INSERT INTO dead_letter (device, topic, code, detail, raw)"
            " SELECT 'boiler-7', 't', 'malformed', '', raw FROM unnest(ARRAY['a', 'a', 'b']::bytea[]) AS raw"
        )
        await migrate(empty_database)
        incidents = await conn.execute("SELECT count, last_at > created_at, detail FROM incident")
        assert await incidents.fetchall() == [(3, True, "number 1")]
        letters = await conn.execute("SELECT raw, size, count, sha256 = sha256(raw) FROM dead_letter ORDER BY raw")
        assert await letters.fetchall() == [(b"a", 1, 2, True), (b"b", 1, 1, True)]
