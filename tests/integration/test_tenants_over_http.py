"""Two tenants ask the API and the console: each gets its own, and of the other's not even that it is there (row 16)."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wayside_server.api.schema import DocumentedApp
from wayside_server.api.service import create_app
from wayside_server.console.pages import console_router
from wayside_server.domain.access import Permission, Role
from wayside_server.domain.cursor import encode_cursor
from wayside_server.domain.limits import DeviceLimits
from wayside_server.domain.moments import to_us
from wayside_server.domain.reading import ExportQuery, Format, HistoryQuery, Shape
from wayside_server.identity.keys import Keys
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.batches import Device, column
from wayside_testkit.people import Office, doors_of, open_office
from wayside_testkit.telemetry import (
    START,
    add_device,
    add_incident,
    add_refusals,
    add_series,
    add_tenant,
    at,
    reading_of,
)
from wayside_testkit.tenants import Inhabited, inhabit, key_of
from wayside_testkit.web import read_events, serve

ENDLESS = "/api/v1/devices/{device}/live"
NEEDS = {"/api/v1/devices/{device}/telemetry": {"start": "2026-03-01"}}
"""What a route needs to answer with something."""
WORDS_OF_NO_TENANT = {"/openapi.json", "/docs"}


@dataclass(frozen=True, slots=True)
class Asking:
    """A tenant, and a client with its key and a session of its own."""

    own: Inhabited
    client: httpx.AsyncClient
    key: str


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path)


@pytest.fixture
def keys(office: Office) -> Keys:
    return office.desk.keys


@pytest.fixture
def app(pool: Pool, database: str, office: Office) -> DocumentedApp:
    reading = PostgresReading(pool, database)
    routers = [console_router(reading, office.desk)]
    return create_app(reading=reading, access=office.desk.sessions, live=PostgresLive(database), routers=routers)


@pytest.fixture
async def two(pool: Pool, app: DocumentedApp, office: Office) -> AsyncIterator[list[Asking]]:
    """The first tenant and another one, each with a client."""
    tenants = [
        await inhabit(pool, 1, "amber", 8811),
        await inhabit(pool, await add_tenant(pool, "other"), "birch", 7733),
    ]
    asking = []
    for own in tenants:
        key = await key_of(office.desk.keys, pool, own.id)
        person = await office.employ(f"of-{own.mark}", Role.VIEWER, own.id)
        doors = await doors_of(office, key, person)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://wayside", auth=doors)
        asking.append(Asking(own, client, key))
    yield asking
    for one in asking:
        await one.client.aclose()


def _routes(app: DocumentedApp) -> list[str]:
    """Every path that somebody who may look can get."""
    return [path for method, path, permission in app.declared if method == "GET" and permission is Permission.READ]


def _path(route: str, device: str, letter: int) -> str:
    return route.format(device=device, name=device, letter=letter)


async def _letter(pool: Pool, own: Inhabited) -> int:
    async with connection(pool) as conn:
        row = await (await conn.execute("SELECT id FROM dead_letter WHERE device = %s", [own.device])).fetchone()
    assert row is not None
    return int(str(row[0]))


async def test_every_route_gives_a_tenant_its_own_and_no_byte_of_the_others(
    pool: Pool, app: DocumentedApp, two: list[Asking]
) -> None:
    for asking, other in (two, two[::-1]):
        letter = await _letter(pool, asking.own)
        for route in set(_routes(app)) - {ENDLESS}:
            for extra in _variants(route):
                answer = await asking.client.get(_path(route, asking.own.device, letter), params=extra)
                assert answer.status_code == 200, (route, answer.text)
                assert other.own.mark not in answer.text, route
                assert f"{other.own.number}." not in answer.text, route
                if route not in WORDS_OF_NO_TENANT:
                    assert asking.own.mark in answer.text, route


def _variants(route: str) -> list[dict[str, str]]:
    needed = NEEDS.get(route, {})
    variants = [needed]
    if route.endswith("/telemetry"):
        variants += [{**needed, "order": "desc"}, {**needed, "aggregation": "max", "bucket": "5"}]
    if route.endswith("/export"):
        variants += [{"format": kind, "shape": shape} for kind in ("csv", "json") for shape in ("long", "wide")]
    if route.endswith("/account"):
        variants += [{"verify": "true"}]
    return variants


async def test_anothers_device_is_as_unknown_as_one_that_never_was(
    pool: Pool, app: DocumentedApp, two: list[Asking]
) -> None:
    """Row 16: other tenant = 404, in the words for a device that is not there."""
    for asking, other in (two, two[::-1]):
        letter = await _letter(pool, other.own)
        about = [route for route in _routes(app) if "{" in route]
        assert len(about) > 10
        for route in about:
            for extra in _variants(route):
                theirs, nobodys = [
                    await asking.client.get(_path(route, name, letter), params=extra)
                    for name in (other.own.device, "never-1")
                ]
                assert theirs.status_code == nobodys.status_code == 404, route
                assert theirs.text.replace(other.own.device, "never-1") == nobodys.text, route
                assert set(theirs.headers) == set(nobodys.headers)
        # Nor by the number of another's letter, at a device of one's own.
        answer = await asking.client.get(f"/api/v1/devices/{asking.own.device}/dead-letters/{letter}")
        assert answer.status_code == 404


async def test_what_belongs_to_no_tenant_is_the_first_ones(pool: Pool, two: list[Asking]) -> None:
    await add_refusals(pool, "broker: no certificate", at(0), 5, "a stranger")
    await add_refusals(pool, "api_key", at(0), 4, "a key of nobody")
    await add_incident(pool, None, "odd", "nobody's incident")
    first, other = [
        {path: (await asking.client.get(f"/api/v1/{path}")).json()[path] for path in ("refusals", "incidents")}
        for asking in two
    ]
    assert [(each["kind"], each["count"]) for each in first["refusals"]] == [
        ("api_key", 7),
        ("broker: no certificate", 5),
    ]
    assert [(each["kind"], each["count"]) for each in other["refusals"]] == [("api_key", 3)]
    assert [each["detail"] for each in first["incidents"]] == ["nobody's incident", "incident of amber"]
    assert [each["detail"] for each in other["incidents"]] == ["incident of birch"]


async def test_a_live_stream_is_silent_about_others(
    pool: Pool, database: str, app: DocumentedApp, two: list[Asking]
) -> None:
    """Neither a foreign series in the event id nor a commit of another tenant brings a foreign sample."""
    own, other = two[0].own, two[1].own
    async with connection(pool) as conn:
        rows = await (await conn.execute("SELECT device_id, id FROM series WHERE name = 'temperature'")).fetchall()
    series = {int(str(device)): int(str(number)) for device, number in rows}
    marks = ",".join(f"{series[one.device_id]}:{to_us(START)}" for one in (own, other))
    forged = encode_cursor([marks], f"live {own.device}")
    store = PostgresIngest(pool, "test", DeviceLimits())
    headers = {"Authorization": f"Bearer {two[0].key}", "Last-Event-ID": forged}
    async with serve(app) as base, httpx.AsyncClient(base_url=base, headers=headers, timeout=20) as client:
        url = f"/api/v1/devices/{own.device}/live"
        async with client.stream("GET", url, params={"series": "temperature"}) as response, asyncio.timeout(20):
            events = read_events(response)
            told = [await anext(events)]
            await store.settle([Device(other.device).item(column("temperature", [7733.5]))])
            await store.settle([Device(own.device).item(column("temperature", [8811.5]))])
            told.append(await anext(events))
    values = [sample["value"] for event in told for sample in json.loads(event.data)["samples"]]
    assert values[-1] == 8811.5
    assert {int(value) for value in values if value is not None} == {8811}


_SERIES = st.dictionaries(
    st.sampled_from(["a", "b", "temperature [Cel]"]), st.lists(st.integers(1, 400).map(float), max_size=5), max_size=3
)
_examples = itertools.count(1)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(fleet=st.lists(st.tuples(st.booleans(), _SERIES), min_size=2, max_size=4))
async def test_whatever_is_stored_each_tenant_reads_exactly_its_own(
    pool: Pool, database: str, fleet: list[tuple[bool, Mapping[str, list[float]]]]
) -> None:
    """Devices of two tenants, with samples that differ in nothing but the device."""
    example = next(_examples)
    tenants = [await add_tenant(pool, f"tenant-{example}-{place}") for place in range(2)]
    held: dict[int, dict[str, list[tuple[str, float]]]] = {tenant: {} for tenant in tenants}
    every: list[int] = []
    for number, (second, series) in enumerate(fleet):
        name = f"dev-{example}-{number}"
        held[tenants[second]][name] = sorted((key, value) for key, values in series.items() for value in values)
        device = await add_device(pool, name, tenants[second])
        for key, values in series.items():
            samples = [(at(i), value) for i, value in enumerate(values)]
            every.append(await add_series(pool, device, key, "1", samples))
    span = (0, to_us(START) + 10**15)
    for tenant, devices in held.items():
        reading = reading_of(pool, database, tenant)
        assert {device.name for device in await reading.devices(after="", search="", limit=99)} == set(devices)
        for name, expected in devices.items():
            samples = await reading.history(HistoryQuery(name, [], *span))
            assert sorted((sample.series.name, sample.value) for sample in samples) == expected
            query = ExportQuery(name, [], *span, Format.JSON, Shape.LONG)
            document = b"".join([piece async for piece in reading.export(query)])
            assert sorted((row["series"], row["value"]) for row in json.loads(document)) == expected
        newer = await reading.newer(dict.fromkeys(every, to_us(START) - 1))
        assert len(newer) == sum(len(expected) for expected in devices.values())


async def test_a_misused_key_is_told_to_the_tenant_whose_it_is(two: list[Asking]) -> None:
    (birch,) = [asking for asking in two if asking.own.mark == "birch"]
    key = birch.key
    wrong = await birch.client.get("/api/v1/devices", headers={"Authorization": f"Bearer {key[:-1]}!"})
    assert wrong.status_code == 401
    told = [(await asking.client.get("/api/v1/refusals")).json()["refusals"] for asking in two]
    prefix = key.split("_")[1]
    assert [any(prefix in refusal["last_detail"] for refusal in refusals) for refusals in told] == [False, True]


async def test_what_the_broker_refuses_a_device_is_told_to_its_tenant(pool: Pool, two: list[Asking]) -> None:
    store = PostgresIngest(pool, "test", DeviceLimits())
    for device in ("birch-1", "stranger-1", None):
        for _ in range(2):
            await store.count_refusals("broker: foreign topic", 3, f"told of {device}", device)
    told = []
    for asking in two:
        found = (await asking.client.get("/api/v1/refusals")).json()["refusals"]
        told.append([(each["count"], each["last_detail"]) for each in found if "foreign" in each["kind"]])
    assert told == [[(12, "told of None")], [(6, "told of birch-1")]]
