"""The ingest transaction against a real PostgreSQL."""

from typing import Any

import pytest

from wayside_server.domain.ingest import Batch, Item
from wayside_server.domain.limits import DeviceLimits
from wayside_server.storage.database import Pool
from wayside_server.storage.ingest import PostgresIngest
from wayside_shared.batch import Drop, Marks
from wayside_shared.plain import JSON_TYPE
from wayside_shared.quality import Quality
from wayside_shared.rejects import DropReason, RejectCode
from wayside_testkit.batches import Device, column, received

pytest_plugins = ["wayside_testkit.postgres"]


@pytest.fixture
def store(pool: Pool) -> PostgresIngest:
    return PostgresIngest(pool, "wayside-server test", DeviceLimits())


async def query(pool: Pool, sql: str) -> list[Any]:
    async with pool.connection() as connection:
        return await (await connection.execute(sql)).fetchall()


async def test_a_batch_is_stored_and_acknowledged(store: PostgresIngest, pool: Pool) -> None:
    device = Device()
    settlement = await store.settle([device.item(column("room.temperature", [20.5, 20.25, -3.125]))])
    ((name, ack),) = settlement.acks
    assert (name, ack.epoch, ack.upto, ack.ranges) == ("boiler-7", device.epoch, 1, [(1, 1)])
    assert settlement.stored == 3
    rows = await query(
        pool,
        "SELECT d.name, s.name, s.unit, extract(epoch FROM ts)::bigint, value"
        " FROM sample JOIN series s ON s.id = series_id JOIN device d ON d.id = s.device_id ORDER BY ts",
    )
    assert rows == [
        ("boiler-7", "room.temperature", "Cel", 1_790_000_000, 20.5),
        ("boiler-7", "room.temperature", "Cel", 1_790_000_001, 20.25),
        ("boiler-7", "room.temperature", "Cel", 1_790_000_002, -3.125),
    ]
    assert await query(pool, "SELECT value, extract(epoch FROM ts)::bigint FROM latest") == [(-3.125, 1_790_000_002)]


async def test_a_batch_that_comes_again_changes_nothing_and_is_acknowledged_again(
    store: PostgresIngest, pool: Pool
) -> None:
    item = Device().item(column("t", [1.0, 2.0]))
    await store.settle([item])
    settlement = await store.settle([item, item])
    assert settlement.acks[0][1].ranges == [(1, 1)]
    assert (settlement.stored, settlement.duplicates) == (0, 4)
    assert await query(pool, "SELECT count(*), (SELECT duplicates FROM stream) FROM sample") == [(2, 4)]


async def test_a_reused_number_is_kept_apart_and_refused(store: PostgresIngest, pool: Pool) -> None:
    await store.settle([Device().item(column("t", [1.0]))])
    settlement = await store.settle([Device().item(column("t", [2.0]))])
    ((_, ack),) = settlement.acks
    assert ack.ranges == []
    assert [(r.seq, r.code) for r in ack.rejects] == [(1, RejectCode.SEQ_REUSE)]
    assert await query(pool, "SELECT value FROM sample") == [(1.0,)]
    assert await query(pool, "SELECT device, code FROM dead_letter") == [("boiler-7", "seq_reuse")]
    assert await query(pool, "SELECT forked FROM stream") == [(True,)]


async def test_a_bad_batch_fails_alone(store: PostgresIngest, pool: Pool) -> None:
    device = Device()
    good = device.item(column("t", [1.0]))
    bad = device.broken()
    after = device.item(column("t", [2.0]))
    settlement = await store.settle([good, bad, after])
    ((_, ack),) = settlement.acks
    assert (ack.upto, ack.ranges) == (3, [(1, 1), (3, 3)])
    assert [(r.seq, r.code) for r in ack.rejects] == [(2, RejectCode.BAD_NAME)]
    assert await query(pool, "SELECT value FROM sample ORDER BY value") == [(1.0,), (2.0,)]
    assert await query(pool, "SELECT outcome, n FROM ingest_batch ORDER BY seq") == [
        ("stored", 1),
        ("rejected:bad_name", 1),
        ("stored", 1),
    ]
    again = await store.settle([bad])
    assert [r.code for r in again.acks[0][1].rejects] == [RejectCode.BAD_NAME]


async def test_the_watermark_stops_at_a_gap_and_jumps_when_it_closes(store: PostgresIngest) -> None:
    device = Device()
    items = [device.item(column("t", [float(i)])) for i in range(6)]
    first = await store.settle([items[0], items[2], items[4], items[5]])
    assert (first.acks[0][1].upto, first.acks[0][1].ranges) == (1, [(1, 1), (3, 3), (5, 6)])
    second = await store.settle([items[1]])
    assert second.acks[0][1].upto == 3
    third = await store.settle([items[3]])
    assert third.acks[0][1].upto == 6


async def test_declared_drops_settle_their_numbers_once(store: PostgresIngest, pool: Pool) -> None:
    device = Device()
    stored = device.item(column("t", [1.0, 2.0]))
    lost = [device.item(column("t", [float(i)] * 4)) for i in range(3)]
    await store.settle([stored])
    drop = Drop(device.epoch, 1, [2, 4, 4, 4], DropReason.QUOTA)
    settlement = await store.settle([device.item(drops=[drop])])
    assert settlement.acks[0][1].upto == 5
    assert await query(pool, "SELECT seq, n, outcome FROM ingest_batch ORDER BY seq") == [
        (1, 2, "stored"),
        (2, 4, "dropped:quota"),
        (3, 4, "dropped:quota"),
        (4, 4, "dropped:quota"),
        (5, 0, "stored"),
    ]
    late = await store.settle([lost[0]])
    assert (late.stored, late.acks[0][1].ranges) == (0, [(2, 2)])


async def test_all_kinds_of_values_are_kept(store: PostgresIngest, pool: Pool) -> None:
    item = Device().item(column("door", [True, False], unit="1"), column("note", ["grüß dich", "=1+1"], unit="1"))
    await store.settle([item])
    rows = await query(
        pool, "SELECT s.name, v.value FROM sample_value v JOIN series s ON s.id = series_id ORDER BY 1, ts"
    )
    assert rows == [("door", True), ("door", False), ("note", "grüß dich"), ("note", "=1+1")]


async def test_qualities_are_kept_and_absent_samples_count(store: PostgresIngest, pool: Pool) -> None:
    times = column("t", [0.0, 0.0, 0.0]).times_ns
    marks = [Marks("t", "Cel", times, [Quality.CLIPPED, Quality.ABSENT, Quality.CHECKSUM])]
    settlement = await store.settle([Device().item(column("t", [20.0]), marks=marks)])
    assert settlement.stored == 3
    assert await query(pool, "SELECT n, stored FROM ingest_batch, stream") == [(3, 3)]
    assert await query(pool, "SELECT quality FROM sample_quality ORDER BY ts") == [(1,), (64,), (66,)]
    assert await query(pool, "SELECT value, quality, quality_ts > ts FROM latest") == [(20.0, 66, True)]


async def test_a_series_may_begin_with_absent_samples(store: PostgresIngest, pool: Pool) -> None:
    device = Device()
    await store.settle([device.item(marks=[Marks("t", "Cel", column("t", [0.0]).times_ns, [Quality.ABSENT])])])
    assert await query(pool, "SELECT ts, value, quality FROM latest") == [(None, None, 64)]
    await store.settle([device.item(column("t", [7.0], start_s=5))])
    assert await query(pool, "SELECT value, quality_ts < ts FROM latest") == [(7.0, True)]


async def test_plain_messages_keep_one_sample_for_each_series_and_time(store: PostgresIngest, pool: Pool) -> None:
    first = received("esp-1", b'[{"ts":1790000000000,"values":{"t":1.5,"on":true}}]', JSON_TYPE)
    second = received(
        "esp-1", b'[{"ts":1790000000000,"values":{"t":9}},{"ts":1790000001000,"values":{"t":2}}]', JSON_TYPE
    )
    settlement = await store.settle([first, second, first])
    assert (settlement.stored, settlement.duplicates) == (3, 3)
    again = await store.settle([second])
    assert (again.stored, again.duplicates) == (0, 2)
    assert await query(pool, "SELECT value FROM sample ORDER BY ts") == [(1.5,), (2.0,)]
    assert await query(pool, "SELECT plain_stored, plain_duplicates FROM device") == [(3, 5)]


async def test_garbage_is_buried_with_its_bytes(store: PostgresIngest, pool: Pool) -> None:
    payload = b"\xff\x00garbage"
    settlement = await store.settle([received("boiler-7", payload)])
    assert settlement.acks == []
    ((device, code, raw),) = await query(pool, "SELECT device, code, raw FROM dead_letter")
    assert (device, code, bytes(raw)) == ("boiler-7", "malformed", payload)
    assert await query(pool, "SELECT garbage FROM device") == [(1,)]


async def test_a_batch_of_another_device_is_rejected_and_not_believed(store: PostgresIngest, pool: Pool) -> None:
    other = Device("boiler-7")
    item = received("boiler-8", other.message(column("t", [1.0])))
    assert not isinstance(item, Batch)
    good = Device("boiler-8", b"epoch-two-------").item(column("t", [2.0]))
    settlement = await store.settle([item, good])
    told = {ack.epoch: ack for name, ack in settlement.acks if name == "boiler-8"}
    assert [(r.seq, r.code) for r in told[other.epoch].rejects] == [(1, RejectCode.WRONG_DEVICE)]
    assert (told[other.epoch].upto, told[other.epoch].ranges) == (0, [])
    assert settlement.stored == 1
    assert await query(pool, "SELECT code FROM dead_letter") == [("wrong_device",)]
    assert await query(pool, "SELECT count(*) FROM stream") == [(1,)]


async def test_samples_outside_the_weeks_kept_ahead_are_stored_too(store: PostgresIngest, pool: Pool) -> None:
    payloads = [b'{"ts":"2001-02-03T04:05:06Z","values":{"t":1}}', b'{"ts":"2099-12-31T23:59:59Z","values":{"t":2}}']
    items: list[Item] = [received("esp-1", payload, JSON_TYPE) for payload in payloads]
    assert (await store.settle(items)).stored == 2
    assert await query(pool, "SELECT extract(year FROM ts)::int FROM sample ORDER BY 1") == [(2001,), (2099,)]
