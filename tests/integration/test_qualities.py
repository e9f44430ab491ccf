"""Qualities from ingest to every reader: pages, buckets, latest values, exports and the account."""

import csv
import io
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import httpx
import pytest

from wayside_firmware.demo.proof import Content, read_csv
from wayside_server.api.service import create_app
from wayside_server.domain.limits import DeviceLimits
from wayside_server.domain.moments import to_us
from wayside_server.identity.keys import Keys
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import LIVE_PAGE, PostgresReading
from wayside_shared.batch import Column, Marks
from wayside_shared.clock import NS_PER_S
from wayside_shared.quality import Quality
from wayside_testkit.audit import MemoryTrail
from wayside_testkit.batches import BOOT_NS, WALL_NS, Device, column
from wayside_testkit.telemetry import START, add_device, add_qualities, add_series, at, reading_of

BASE = "/api/v1/devices/boiler-7"
FIRST = datetime.fromtimestamp(WALL_NS // NS_PER_S, UTC)
SPAN = {"start": "2026-01-01", "end": "2027-01-01"}
LATER = 200
"""A code that a later version may bring."""


@pytest.fixture
async def client(pool: Pool, database: str) -> AsyncIterator[httpx.AsyncClient]:
    keys = Keys(PostgresIdentity(pool), lambda: datetime.now(UTC), MemoryTrail())
    app = create_app(reading=PostgresReading(pool, database), access=keys, live=PostgresLive(database))
    headers = {"Authorization": f"Bearer {await keys.create('test')}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://wayside", headers=headers) as opened:
        yield opened


def _second(seconds: int) -> str:
    return (FIRST + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _marks(name: str, codes: dict[int, int], unit: str = "Cel") -> Marks:
    return Marks(name, unit, [BOOT_NS + second * NS_PER_S for second in codes], list(codes.values()))


def _column(name: str, values: dict[int, float | str], unit: str = "Cel") -> Column:
    return Column(name, unit, [BOOT_NS + second * NS_PER_S for second in values], list(values.values()))


async def _ingested(pool: Pool) -> None:
    """A kiln whose thermocouple came loose, a door whose switch did, and a series that never had a value."""
    values: dict[int, float | str] = {second: 20.0 + second for second in (0, 1, 2, 5, 6)}
    store = PostgresIngest(pool, "test", DeviceLimits())
    item = Device().item(
        _column("t", values),
        _column("door", {0: "open", 1: "shut"}, "1"),
        column("good", [1.5, 2.5]),
        marks=[
            _marks("t", {1: Quality.CLIPPED, 3: Quality.OPEN_CIRCUIT, 4: LATER, 6: 7, 8: Quality.CHECKSUM, 9: 64}),
            _marks("door", {1: Quality.STALE, 2: Quality.BUS_FAULT}, "1"),
            _marks("never", {3: Quality.WRONG_CHIP, 4: Quality.ABSENT}),
        ],
    )
    assert (await store.settle([item])).stored == 16


T = [
    (0, 20.0, None),
    (1, 21.0, "clipped"),
    (2, 22.0, None),
    (3, None, "open_circuit"),
    (4, None, "code 200"),
    (5, 25.0, None),
    (6, 26.0, "code 7"),
    (8, None, "checksum"),
    (9, None, "absent"),
]
DOOR = [(0, "open", None), (1, "shut", "stale"), (2, None, "bus_fault")]
NEVER = [(3, None, "wrong_chip"), (4, None, "absent")]


async def _pages(client: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    page = (await client.get(f"{BASE}/telemetry", params={**SPAN, **asked})).json()
    samples: list[dict[str, Any]] = page["samples"]
    while page["next"]:
        page = (await client.get(page["next"])).json()
        assert page["samples"]
        samples += page["samples"]
    return samples


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_history_gives_each_sample_once_with_its_quality(
    pool: Pool, client: httpx.AsyncClient, limit: int, order: str
) -> None:
    await _ingested(pool)
    samples = await _pages(client, limit=limit, order=order)
    assert len(samples) == 16
    assert {sample["absent"] for sample in samples} == {None}
    times = [sample["time"] for sample in samples]
    assert times == sorted(times, reverse=order == "desc")
    for series, expected in (("t", T), ("door", DOOR), ("never", NEVER)):
        found = sorted((s["time"], s["value"], s["quality"]) for s in samples if s["series"] == series)
        assert found == [(_second(second), value, quality) for second, value, quality in expected]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_pages_are_right_where_values_and_absent_samples_share_a_time(
    pool: Pool, client: httpx.AsyncClient, limit: int, order: str
) -> None:
    device = await add_device(pool, "boiler-7")
    for name in ("a", "b"):
        series = await add_series(pool, device, name, "1", [(at(0), 1.0), (at(0), 2.0), (at(0), "x"), (at(1), 3.0)])
        # A mark that came twice marks once, and never makes a row.
        marks = [(at(0), 1), (at(0), 1), (at(2), 2)]
        await add_qualities(pool, series, [*marks, (at(0), 64), (at(0), 64), (at(0), 66), (at(1), 70)])
    samples = await _pages(client, limit=limit, order=order)
    expected = [("1.0", "clipped"), ("2.0", "clipped"), ("'x'", "clipped"), ("3.0", None)]
    expected += [("None", "absent"), ("None", "absent"), ("None", "checksum"), ("None", "open_circuit")]
    assert Counter((s["series"], repr(s["value"]), s["quality"]) for s in samples) == Counter(
        (name, *one) for name in ("a", "b") for one in expected
    )


@pytest.mark.parametrize(
    ("aggregation", "values"),
    [
        ("avg", [21.0, 25.5, None]),
        ("min", [20.0, 25.0, None]),
        ("max", [22.0, 26.0, None]),
        ("sum", [63.0, 51.0, None]),
        ("count", [3.0, 2.0, 0.0]),
        ("first", [20.0, 25.0, None]),
        ("last", [22.0, 26.0, None]),
    ],
)
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_buckets_pass_over_absent_samples_and_count_them(
    pool: Pool, client: httpx.AsyncClient, aggregation: str, values: list[float | None], order: str
) -> None:
    await _ingested(pool)
    found = await _pages(client, series="t", aggregation=aggregation, bucket="4s", limit=1, order=order)
    assert [(one["value"], one["absent"], one["quality"]) for one in sorted(found, key=lambda one: one["time"])] == [
        (value, absent, None) for value, absent in zip(values, (1, 1, 2), strict=True)
    ]


async def test_latest_values_say_why_there_is_none_and_since_when(pool: Pool, client: httpx.AsyncClient) -> None:
    await _ingested(pool)
    samples = (await client.get(f"{BASE}/latest")).json()["samples"]
    fields = ("series", "time", "value", "quality", "absent_since", "last_value", "last_value_time")
    assert [tuple(sample[field] for field in fields) for sample in samples] == [
        ("door", _second(2), None, "bus_fault", _second(2), "shut", _second(1)),
        ("good", _second(1), 2.5, None, None, None, None),
        ("never", _second(4), None, "absent", _second(3), None, None),
        ("t", _second(9), None, "absent", _second(8), 26.0, _second(6)),
    ]


async def test_latest_values_recover_and_keep_their_mark(pool: Pool, client: httpx.AsyncClient) -> None:
    store, device = PostgresIngest(pool, "test", DeviceLimits()), Device()

    async def latest() -> list[tuple[Any, Any, Any]]:
        samples = (await client.get(f"{BASE}/latest")).json()["samples"]
        return [(sample["value"], sample["quality"], sample["absent_since"]) for sample in samples]

    await store.settle([device.item(marks=[_marks("t", {0: Quality.ABSENT})])])
    assert await latest() == [(None, "absent", _second(0))]
    await store.settle([device.item(_column("t", {5: 7.0}), marks=[_marks("t", {5: Quality.UNSTABLE})])])
    assert await latest() == [(7.0, "unstable", None)]
    await store.settle([device.item(_column("t", {6: 8.0}))])
    assert await latest() == [(8.0, None, None)]
    await store.settle([device.item(marks=[_marks("t", {2: Quality.CHECKSUM})])])
    assert await latest() == [(8.0, None, None)], "what came late is no news"


async def _export(client: httpx.AsyncClient, **asked: str) -> str:
    answer = await client.get(f"{BASE}/telemetry/export", params=asked)
    assert answer.status_code == 200
    return answer.text


async def test_exports_and_account_count_the_same(pool: Pool, client: httpx.AsyncClient) -> None:
    await _ingested(pool)
    account = (await client.get(f"{BASE}/account", params={"verify": "true"})).json()
    assert (account["stored"], account["accepted"], account["verified"]) == (
        16,
        16,
        {"rows": 16, "ledger": 16, "duplicates_stored": 0},
    )
    rows = list(csv.DictReader(io.StringIO(await _export(client))))
    objects = json.loads(await _export(client, format="json"))
    assert len(rows) == len(objects) == 16
    for series, expected in (("t", T), ("door", DOOR), ("never", NEVER)):
        cells = [(row["value"], row["quality"]) for row in rows if row["series"] == series]
        wanted = [("" if v is None else f"{v:g}" if isinstance(v, float) else v, q or "") for _, v, q in expected]
        assert cells == wanted
        own = [one for one in objects if one["series"] == series]
        assert [(one["value"], one.get("quality")) for one in own] == [(v, q) for _, v, q in expected]
        assert [datetime.fromisoformat(one["time"]) for one in own] == [
            FIRST + timedelta(seconds=second) for second, _, _ in expected
        ]
    # The demo's proof compares them by content too, with the pages as the third.
    contents = [read_csv(io.StringIO(await _export(client)))]
    for samples in (objects, await _pages(client)):
        contents.append(Content())
        for one in samples:
            contents[-1].add(one["series"], one["unit"], one["time"], one["value"], one.get("quality"))
    assert [content.rows for content in contents] == [16] * 3
    assert contents[0].same(contents[1])
    assert contents[0].same(contents[2])


async def test_counting_rows_finds_absent_samples_that_are_there_twice_or_gone(
    pool: Pool, client: httpx.AsyncClient
) -> None:
    await _ingested(pool)

    async def surplus_after(change: LiteralString) -> int:
        async with connection(pool) as conn:
            await conn.execute(change)
        account = (await client.get(f"{BASE}/account", params={"verify": "true"})).json()
        assert account["stored"] == 16
        return int(account["verified"]["duplicates_stored"])

    twice = "INSERT INTO sample_quality SELECT * FROM sample_quality WHERE quality"
    assert await surplus_after(f"{twice} < 64") == 0, "a mark is no sample"
    assert await surplus_after(f"{twice} = 66") == 1
    assert await surplus_after("DELETE FROM sample_quality WHERE quality IN (64, 66)") == -3


async def test_a_wide_document_has_rows_for_absent_samples_and_qualities_on_request(
    pool: Pool, client: httpx.AsyncClient
) -> None:
    await _ingested(pool)
    plain = list(csv.reader(io.StringIO(await _export(client, shape="wide"))))
    assert plain[0] == ["time", "door [1]", "good [Cel]", "never [Cel]", "t [Cel]"]
    assert [row[1:] for row in plain[1:]] == [
        ["open", "1.5", "", "20"],
        ["shut", "2.5", "", "21"],
        ["", "", "", "22"],
        ["", "", "", ""],
        ["", "", "", ""],
        ["", "", "", "25"],
        ["", "", "", "26"],
        ["", "", "", ""],
        ["", "", "", ""],
    ]
    asked = csv.DictReader(io.StringIO(await _export(client, shape="wide", quality="true", series="t")))
    assert asked.fieldnames == ["time", "t [Cel]", "t [Cel] quality"]
    assert [(row["t [Cel]"], row["t [Cel] quality"]) for row in asked] == [
        ("" if value is None else f"{value:g}", quality or "") for _, value, quality in T
    ]
    objects = json.loads(await _export(client, shape="wide", format="json"))
    assert [one["values"] for one in objects][2:5] == [
        {"door [1]": None, "t [Cel]": 22},
        {"never [Cel]": None, "t [Cel]": None},
        {"never [Cel]": None, "t [Cel]": None},
    ]
    assert "qualities" not in objects[3]
    objects = json.loads(await _export(client, shape="wide", format="json", quality="true"))
    assert [one["qualities"] for one in objects][:4] == [
        {},
        {"door [1]": "stale", "t [Cel]": "clipped"},
        {"door [1]": "bus_fault"},
        {"never [Cel]": "wrong_chip", "t [Cel]": "open_circuit"},
    ]


async def test_a_wide_row_holds_one_sample_of_a_series(pool: Pool, client: httpx.AsyncClient) -> None:
    device = await add_device(pool, "boiler-7")
    series = await add_series(pool, device, "a", "1", [(at(0), 1.0), (at(0), 2.0)])
    await add_qualities(pool, series, [(at(0), 64), (at(0), 64), (at(0), 66)])
    rows = list(csv.reader(io.StringIO(await _export(client, shape="wide", quality="true"))))
    assert [row[1:] for row in rows[1:]] == [["1", ""], ["2", ""], ["", "absent"], ["", "absent"], ["", "checksum"]]


async def test_weeks_of_absent_samples_alone_are_exported(pool: Pool, client: httpx.AsyncClient) -> None:
    device = await add_device(pool, "boiler-7")
    series = await add_series(pool, device, "a", "1")
    await add_qualities(pool, series, [(at(0), 64), (at(30 * 86_400), 66)])
    for shape in ("long", "wide"):
        assert len(json.loads(await _export(client, shape=shape, format="json"))) == 2


async def test_a_live_stream_passes_over_nothing_where_few_samples_are_absent(pool: Pool, database: str) -> None:
    device = await add_device(pool, "boiler-7")
    count = 3 * LIVE_PAGE
    series = await add_series(pool, device, "a", "1", [(at(i), float(i)) for i in range(count)])
    absent = [(at(i + 0.5), 64 + i % 9) for i in range(0, count, 50)]
    await add_qualities(pool, series, [*absent, (at(7), Quality.CLIPPED)])
    reading, mark, found = reading_of(pool, database), to_us(START) - 1, []
    while samples := await reading.newer({series: mark}):
        found += samples
        mark = max(to_us(sample.at) for sample in samples)
    assert [sample.at for sample in found] == sorted([at(i) for i in range(count)] + [moment for moment, _ in absent])
    assert [(sample.at, sample.quality) for sample in found if sample.value is None] == absent
    assert [sample.quality for sample in found[:10]] == [0, 64, 0, 0, 0, 0, 0, 0, 1, 0]


async def test_absent_samples_are_found_without_reading_the_marks_of_values(pool: Pool) -> None:
    async with connection(pool) as conn:
        await conn.execute(
            "INSERT INTO sample_quality SELECT 1, now() + i * interval '1s', 1 FROM generate_series(1, 20000) i"
        )
        await conn.execute("ANALYZE sample_quality")
        plan = await conn.execute(
            "EXPLAIN SELECT ts FROM sample_quality WHERE quality >= 64 AND series_id = 1 ORDER BY ts LIMIT 500"
        )
        assert any("sample_quality_absent" in str(line) for (line,) in await plan.fetchall())
