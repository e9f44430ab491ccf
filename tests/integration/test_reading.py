from collections.abc import Sequence

import pytest

from wayside_server.domain.moments import to_us
from wayside_server.domain.reading import DEAD_LETTER_HEAD_BYTES, Aggregation, HistoryQuery, Place, Sample
from wayside_server.errors import NotFoundError, StorageError
from wayside_server.storage.database import Pool, new_pool, open_pool
from wayside_server.storage.reading import PostgresReading, PostgresTenantReading
from wayside_testkit.telemetry import START, Value, add_dead_letter, add_device, add_series, add_stream, at, reading_of

ALL = (to_us(START) - 10**15, to_us(START) + 10**15)


@pytest.fixture
def reading(pool: Pool, database: str) -> PostgresTenantReading:
    return reading_of(pool, database)


async def _every_page(reading: PostgresTenantReading, limit: int, *, descending: bool) -> list[Sample]:
    found: list[Sample] = []
    place: Place | None = None
    while True:
        page = await reading.history(HistoryQuery("dev-1", [], *ALL, limit=limit, descending=descending, after=place))
        found.extend(page)
        if len(page) < limit:
            return found
        last = page[-1]
        ties = 0
        for sample in reversed(found):
            if (sample.at, sample.series.id) != (last.at, last.series.id):
                break
            ties += 1
        place = Place(to_us(last.at), last.series.id, ties)


async def _some_telemetry(pool: Pool) -> dict[str, Sequence[tuple[object, Value]]]:
    device = await add_device(pool, "dev-1")
    # Three samples of one series at one time, and a series that is both number and text.
    a = [(at(i), float(i)) for i in range(20)] + [(at(5), 5.0), (at(5), -7.25)]
    b: list[tuple[object, Value]] = [(at(2 * i), 0.1 * i) for i in range(8)] + [(at(4), "open"), (at(5), True)]  # type: ignore[list-item]
    await add_series(pool, device, "a", "Cel", a)
    await add_series(pool, device, "b", "1", b)  # type: ignore[arg-type]
    await add_device(pool, "dev-2")
    return {"a": a, "b": b}


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_of_any_size_hold_every_sample_once_and_in_order(
    pool: Pool, reading: PostgresTenantReading, limit: int, descending: bool
) -> None:
    written = await _some_telemetry(pool)
    found = await _every_page(reading, limit, descending=descending)
    times = [sample.at for sample in found]
    assert times == sorted(times, reverse=descending)
    for name, samples in written.items():
        got = [(s.at, repr(s.value)) for s in found if s.series.name == name]
        assert sorted(got) == sorted((moment, repr(value)) for moment, value in samples)


async def test_history_keeps_to_its_range_and_series(pool: Pool, reading: PostgresTenantReading) -> None:
    await _some_telemetry(pool)
    found = await reading.history(HistoryQuery("dev-1", ["a"], to_us(at(3)), to_us(at(5)), limit=10))
    assert [sample.value for sample in found] == [3.0, 4.0]
    with pytest.raises(NotFoundError, match="no series 'c'"):
        await reading.history(HistoryQuery("dev-1", ["a", "c"], *ALL))
    with pytest.raises(NotFoundError, match="no device 'dev-9'"):
        await reading.history(HistoryQuery("dev-9", [], *ALL))


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (Aggregation.AVG, [2.0, 49.75 / 7]),
        (Aggregation.MIN, [0.0, -7.25]),
        (Aggregation.MAX, [4.0, 9.0]),
        (Aggregation.SUM, [10.0, 32.75]),
        (Aggregation.COUNT, [5.0, 7.0]),
        (Aggregation.FIRST, [0.0, -7.25]),
        (Aggregation.LAST, [4.0, 9.0]),
    ],
)
async def test_buckets_hold_what_their_samples_say(
    pool: Pool, reading: PostgresTenantReading, aggregation: Aggregation, expected: list[float]
) -> None:
    await _some_telemetry(pool)
    query = HistoryQuery(
        "dev-1", ["a"], to_us(START), to_us(at(10)), limit=10, aggregation=aggregation, bucket_us=5_000_000
    )
    found = await reading.history(query)
    assert [sample.at for sample in found] == [at(0), at(5)]
    if aggregation is not Aggregation.AVG:
        assert [sample.value for sample in found] == expected
    newest = await reading.history(
        HistoryQuery(
            "dev-1",
            ["a"],
            *ALL,
            limit=10,
            aggregation=aggregation,
            bucket_us=5_000_000,
            descending=True,
            after=Place(to_us(at(5)), found[1].series.id, 1),
        )
    )
    assert [(s.at, s.value) for s in newest] == [(found[0].at, found[0].value)]


async def test_devices_are_listed_in_order_and_searched(pool: Pool, reading: PostgresTenantReading) -> None:
    for name in ("kiln-2", "boiler-7", "boiler-1"):
        await add_device(pool, name)
    assert [d.name for d in await reading.devices(after="", search="", limit=2)] == ["boiler-1", "boiler-7"]
    assert [d.name for d in await reading.devices(after="boiler-7", search="", limit=2)] == ["kiln-2"]
    assert [d.name for d in await reading.devices(after="", search="il", limit=9)] == ["boiler-1", "boiler-7", "kiln-2"]
    assert await reading.devices(after="", search="%", limit=9) == []


async def test_a_device_tells_its_group(pool: Pool, reading: PostgresTenantReading) -> None:
    for name in ("boiler-7", "boiler-8"):
        await add_device(pool, name)
    async with pool.connection() as conn:
        await conn.execute("INSERT INTO device_group (tenant_id, name) VALUES (1, 'cellar')")
        await conn.execute("UPDATE device SET group_id = (SELECT max(id) FROM device_group) WHERE name = 'boiler-7'")
    assert [device.group for device in await reading.devices(after="", search="", limit=9)] == ["cellar", None]
    assert (await reading.device("boiler-7")).group == "cellar"


async def test_the_account_is_read_from_the_ledger_and_rows_are_counted(
    pool: Pool, reading: PostgresTenantReading
) -> None:
    device = await add_device(pool, "dev-1")
    await add_series(pool, device, "a", "Cel", [(at(i), float(i)) for i in range(12)])
    await add_series(pool, device, "b", "1", [(at(i), "x") for i in range(8)])
    ledger = [(1, 0, 10, "stored"), (2, 10, 5, "dropped:quota"), (3, 15, 4, "rejected:bad_unit"), (5, 29, 10, "stored")]
    await add_stream(
        pool, device, ledger, accepted=45, contiguous_upto=3, reported_pending_from=6, reported_pending_before=39
    )
    other = await add_device(pool, "dev-2")
    await add_stream(pool, other, [(1, 0, 3, "stored")], accepted=3)
    account = await reading.account("dev-1", verify=True)
    assert (account.accepted, account.stored, account.pending, account.missing) == (45, 20, 6, 10)
    assert (account.dropped, account.rejected) == ({"quota": 5}, {"bad_unit": 4})
    assert (account.late, account.duplicates) == (2, 3)
    assert account.counted is not None
    assert (account.counted.rows, account.counted.ledger, account.duplicates_stored) == (20, 20, 0)
    both = await reading.accounts(await reading.devices(after="", search="", limit=9))
    assert {name: one.stored for name, one in both.items()} == {"dev-1": 20, "dev-2": 3}


async def test_dead_letters_are_listed_newest_first_and_returned_byte_for_byte(
    pool: Pool, reading: PostgresTenantReading
) -> None:
    await add_device(pool, "dev-1")
    for i in range(3):
        await add_dead_letter(pool, "dev-1", bytes([i, 0, 255]) * 50)
    letters = await reading.dead_letters("dev-1", before_id=1 << 62, limit=2)
    assert [(letter.size, letter.head) for letter in letters] == [
        (150, (bytes([i, 0, 255]) * 50)[:DEAD_LETTER_HEAD_BYTES]) for i in (2, 1)
    ]
    assert await reading.dead_letter("dev-1", letters[0].id) == b"\x02\x00\xff" * 50
    rest = await reading.dead_letters("dev-1", before_id=letters[-1].id, limit=2)
    assert len(rest) == 1
    with pytest.raises(NotFoundError):
        await reading.dead_letter("dev-2", letters[0].id)


async def test_a_current_schema_is_ready(pool: Pool, database: str) -> None:
    await PostgresReading(pool, database).check()


async def test_before_the_first_migration_it_is_said_what_is_missing(empty_database: str) -> None:
    # A connection of the role is not to be had yet.
    app = new_pool(empty_database, options="-c role=not_made_yet")
    async with open_pool(empty_database) as installation:
        with pytest.raises(StorageError, match=r"\d+ migrations are missing; type: wayside-server migrate"):
            await PostgresReading(app, empty_database, installation).check()
