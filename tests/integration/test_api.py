import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from wayside_server.api.middleware import SECURITY_HEADERS
from wayside_server.api.service import create_app
from wayside_server.api.telemetry import MAX_EXPORTS
from wayside_server.domain.rates import RateLimits, Rates
from wayside_server.identity.keys import Keys
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.audit import MemoryTrail
from wayside_testkit.telemetry import add_dead_letter, add_device, add_series, add_stream, at
from wayside_testkit.web import read_events, serve

SPAN = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}


@pytest.fixture
def keys(pool: Pool) -> Keys:
    return Keys(PostgresIdentity(pool), lambda: datetime.now(UTC), MemoryTrail())


@pytest.fixture
def app(pool: Pool, database: str, keys: Keys) -> FastAPI:
    registry = CollectorRegistry()
    Counter("wayside_something", "For the test.", registry=registry).inc()
    return create_app(
        reading=PostgresReading(pool, database), access=keys, live=PostgresLive(database), registry=registry
    )


@pytest.fixture
async def client(app: FastAPI, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {await keys.create('test')}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://wayside", headers=headers) as opened:
        yield opened


async def _telemetry(pool: Pool) -> None:
    device = await add_device(pool, "boiler-7")
    await add_series(pool, device, "temperature", "Cel", [(at(i), 20.0 + i / 8) for i in range(50)])
    await add_series(pool, device, "door", "1", [(at(10 * i), f"state {i}") for i in range(5)])
    await add_stream(pool, device, [(1, 0, 55, "stored")], accepted=60)


async def test_devices_are_paged_by_an_explicit_link(pool: Pool, client: httpx.AsyncClient) -> None:
    for name in ("c-1", "a-1", "b-1"):
        await add_device(pool, name)
    first = (await client.get("/api/v1/devices", params={"limit": 2})).json()
    assert [device["name"] for device in first["devices"]] == ["a-1", "b-1"]
    second = (await client.get(first["next"])).json()
    assert [device["name"] for device in second["devices"]] == ["c-1"]
    assert second["next"] is None
    found = (await client.get("/api/v1/devices", params={"search": "b-"})).json()
    assert [device["name"] for device in found["devices"]] == ["b-1"]
    assert found["devices"][0]["state"] == "never seen"


async def test_only_a_device_without_the_agent_falls_quiet(pool: Pool, client: httpx.AsyncClient) -> None:
    for name, agent, minutes in (("agent", "wayside-edge 0.1.0", 60), ("plain-old", None, 16), ("plain-new", None, 14)):
        device = await add_device(pool, name)
        async with connection(pool) as conn:
            await conn.execute(
                "UPDATE device SET state = 'online', state_since = '2026-03-01', agent = %s,"
                " last_seen = now() - %s * interval '1 minute' WHERE id = %s",
                [agent, minutes, device],
            )
    found = (await client.get("/api/v1/devices")).json()["devices"]
    assert {one["name"]: one["state"] for one in found} == {
        "agent": "online",
        "plain-new": "online",
        "plain-old": "quiet",
    }
    quiet = (await client.get("/api/v1/devices/plain-old")).json()
    assert (quiet["state"], quiet["state_since"]) == ("quiet", quiet["last_seen"])


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_history_is_whole_when_every_link_is_followed(pool: Pool, client: httpx.AsyncClient, order: str) -> None:
    await _telemetry(pool)
    page = (await client.get("/api/v1/devices/boiler-7/telemetry", params={**SPAN, "limit": 7, "order": order})).json()
    samples = page["samples"]
    while page["next"]:
        page = (await client.get(page["next"])).json()
        samples += page["samples"]
    assert len(samples) == 55
    times = [sample["time"] for sample in samples]
    assert times == sorted(times, reverse=order == "desc")
    assert len({(sample["series"], sample["time"]) for sample in samples}) == 55


@pytest.mark.parametrize("bucket", ["20", "20.0", "20s"])
async def test_history_aggregates_in_buckets(pool: Pool, client: httpx.AsyncClient, bucket: str) -> None:
    await _telemetry(pool)
    asked = {**SPAN, "series": "temperature", "aggregation": "max", "bucket": bucket}
    page = (await client.get("/api/v1/devices/boiler-7/telemetry", params=asked)).json()
    assert [(sample["time"], sample["value"]) for sample in page["samples"]] == [
        ("2026-03-01T00:00:00.000000Z", 22.375),
        ("2026-03-01T00:00:20.000000Z", 24.875),
        ("2026-03-01T00:00:40.000000Z", 26.125),
    ]


async def test_a_count_is_a_whole_number_without_the_unit_and_an_average_without_noise(
    pool: Pool, client: httpx.AsyncClient
) -> None:
    device = await add_device(pool, "boiler-7")
    tenths = [0.1, 0.2, 0.3, 23.001, 23.001, 23.001]
    await add_series(pool, device, "temperature", "Cel", [(at(i), value) for i, value in enumerate(tenths)])

    async def buckets(aggregation: str) -> list[tuple[str, str]]:
        asked = {**SPAN, "aggregation": aggregation, "bucket": "3"}
        page = (await client.get("/api/v1/devices/boiler-7/telemetry", params=asked)).json()
        return [(sample["unit"], repr(sample["value"])) for sample in page["samples"]]

    assert await buckets("count") == [("1", "3"), ("1", "3")]
    assert await buckets("avg") == [("Cel", "0.2"), ("Cel", "23.001")]


async def test_dates_are_midnights_in_utc(pool: Pool, client: httpx.AsyncClient) -> None:
    await _telemetry(pool)
    path = "/api/v1/devices/boiler-7/telemetry"
    day = (await client.get(path, params={"start": "2026-03-01", "end": "2026-03-02"})).json()
    assert (day["start"], day["end"]) == ("2026-03-01T00:00:00.000000Z", "2026-03-02T00:00:00.000000Z")
    assert len(day["samples"]) == 55
    assert (await client.get(path, params={"start": "2026-02-28", "end": "2026-03-01"})).json()["samples"] == []


async def test_export_series_latest_and_account_agree(pool: Pool, client: httpx.AsyncClient) -> None:
    await _telemetry(pool)
    base = "/api/v1/devices/boiler-7"
    csv = await client.get(f"{base}/telemetry/export")
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert csv.headers["content-disposition"] == 'attachment; filename="boiler-7.csv"'
    objects = (await client.get(f"{base}/telemetry/export", params={"format": "json", **SPAN})).json()
    account = (await client.get(f"{base}/account", params={"verify": "true"})).json()
    assert len(csv.text.splitlines()) - 1 == len(objects) == account["stored"] == account["verified"]["rows"] == 55
    assert (account["pending"], account["missing"], account["verified"]["duplicates_stored"]) == (5, 0, 0)
    assert account["sentence"] == "accepted 60, stored 55, pending 5: nothing missing"
    series = (await client.get(f"{base}/series")).json()["series"]
    assert series == [{"name": "door", "unit": "1"}, {"name": "temperature", "unit": "Cel"}]
    async with connection(pool) as conn:
        await conn.execute("INSERT INTO latest SELECT id, now(), 1.5 FROM series WHERE name = 'temperature'")
    latest = (await client.get(f"{base}/latest")).json()["samples"]
    assert [(sample["series"], sample["value"]) for sample in latest] == [("temperature", 1.5)]


async def test_dead_letters_are_listed_and_returned_as_they_came(pool: Pool, client: httpx.AsyncClient) -> None:
    await add_device(pool, "boiler-7")
    for raw in (b"one", b"\x00\xff"):
        await add_dead_letter(pool, "boiler-7", raw)
    base = "/api/v1/devices/boiler-7/dead-letters"
    page = (await client.get(base, params={"limit": 1})).json()
    (letter,) = page["dead_letters"]
    assert (letter["size"], letter["code"]) == (2, "malformed")
    assert (await client.get(f"{base}/{letter['id']}")).content == b"\x00\xff"
    rest = (await client.get(page["next"])).json()
    assert (len(rest["dead_letters"]), rest["next"]) == (1, None)


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/v1/devices/kiln-9", 404, "there is no device 'kiln-9'"),
        ("/api/v1/devices/boiler-7/telemetry?series=x", 404, "boiler-7 has no series 'x'"),
        ("/api/v1/devices/boiler-7/telemetry?start=yesterday", 422, "start: 'yesterday' is no time; write RFC 3339"),
        ("/api/v1/devices/boiler-7/telemetry?start=now&end=-1h", 422, "start: must lie before end"),
        ("/api/v1/devices/boiler-7/telemetry?bucket=5", 422, "give both or neither"),
        (
            "/api/v1/devices/boiler-7/telemetry?aggregation=avg&bucket=1y",
            422,
            "bucket: '1y' is no width; write seconds",
        ),
        ("/api/v1/devices/boiler-7/telemetry?aggregation=avg&bucket=0", 422, "bucket: must lie between"),
        ("/api/v1/devices/boiler-7/telemetry?start=2026-02-30", 422, "a date as in 2026-05-01 (UTC)"),
        ("/api/v1/devices/boiler-7/telemetry?limits=5", 422, "limits: this route has no such parameter; did you mean"),
        ("/api/v1/devices/boiler-7/telemetry/export?limit=5", 422, "limit: this route has no such parameter; it takes"),
        ("/api/v1/devices/boiler-7/series?x=1", 422, "x: this route has no such parameter; it takes none"),
        ("/api/v1/devices/boiler-7/telemetry?limit=1001", 422, "limit: Input should be less than or equal to 1000"),
        ("/api/v1/devices/boiler-7/telemetry?cursor=AAAA", 400, "leave it out to start over"),
        ("/api/v1/devices?cursor=%00", 422, "leave it out"),
        ("/api/v1/devices/boiler-7/telemetry/export?format=xls", 422, "format: Input should be 'csv' or 'json'"),
        ("/api/v1/devices/boiler-7/telemetry/export?series=x", 404, "boiler-7 has no series 'x'"),
        ("/api/v1/devices/boiler-7/live?series=nope", 404, "boiler-7 has no series 'nope'"),
        ("/api/v1/devices/boiler-7/live?since=x", 422, "since: 'x' is no time"),
        ("/api/v1/devices/kiln-9/dead-letters", 404, "there is no device 'kiln-9'"),
        ("/api/v1/devices/kiln-9/incidents", 404, "there is no device 'kiln-9'"),
        ("/api/v1/refusals?cursor=AAAA", 400, "leave it out to start over"),
        ("/nothing", 404, "there is nothing at /nothing; the API is below /api/v1, and /docs describes it"),
    ],
)
async def test_errors_say_what_is_wrong_and_what_to_do(
    pool: Pool, client: httpx.AsyncClient, path: str, status: int, detail: str
) -> None:
    await _telemetry(pool)
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic eDp4", "Bearer wsk_aaaaaaaa_x"])
async def test_nobody_gets_past_the_gate_without_a_key(app: FastAPI, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://wayside") as client:
        for path in ("/api/v1/devices", "/metrics", "/openapi.json", "/api/v1/devices/x/telemetry/export"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/healthz", "/readyz"):
            assert (await client.get(path, headers=headers)).status_code == 200


async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/api/v1/devices", "/nothing"):
        answer = await client.get(path)
        for name, value in {**SECURITY_HEADERS, "cache-control": "no-store"}.items():
            assert answer.headers[name] == value


async def test_a_route_without_a_declared_permission_stops_the_start(pool: Pool, database: str, keys: Keys) -> None:
    router = APIRouter()
    router.add_api_route("/open", lambda: "all")
    with pytest.raises(RuntimeError, match="without a declared permission: /open"):
        create_app(reading=PostgresReading(pool, database), access=keys, live=PostgresLive(database), routers=[router])


async def test_metrics_are_shown_with_a_key_and_the_schema_names_every_route(client: httpx.AsyncClient) -> None:
    assert "wayside_something_total 1.0" in (await client.get("/metrics")).text
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert "/api/v1/devices/{device}/telemetry/export" in paths
    assert sorted(paths["/healthz"]["get"]["responses"]) == ["200", "422", "429", "500"]
    assert sorted(paths["/api/v1/devices"]["get"]["responses"]) == [
        "200",
        "400",
        "401",
        "403",
        "422",
        "429",
        "500",
        "503",
    ]


async def test_who_asks_too_often_waits_and_costs_the_others_nothing(pool: Pool, database: str, keys: Keys) -> None:
    """Row 19: limits by key, tenant and address, with 429 and Retry-After."""
    times = [0.0]
    app = create_app(
        reading=PostgresReading(pool, database),
        access=keys,
        live=PostgresLive(database),
        rates=Rates(RateLimits(key=1.0, tenant=1.5, address=1000.0), lambda: times[0]),
    )
    hasty, patient = [{"Authorization": f"Bearer {await keys.create(name)}"} for name in ("hasty", "patient")]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://wayside") as client:
        statuses = [(await client.get("/api/v1/devices", headers=hasty)).status_code for _ in range(11)]
        assert statuses == [200] * 10 + [429]
        refused = await client.get("/api/v1/devices", headers=hasty)
        assert refused.headers["retry-after"] == "1"
        assert "too many requests of this key; try again in 1 s" in refused.json()["detail"]
        # The tenant has five left, for its other keys too.
        statuses = [(await client.get("/api/v1/devices", headers=patient)).status_code for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        times[0] += 2.0
        limits = (await client.get("/api/v1/limits", headers=hasty)).json()["limits"]
        assert {one["share"]: one["left"] for one in limits} == {"address": 9999, "key": 1, "tenant": 2}
        assert "client" not in str(limits)


async def test_a_wrong_method_is_told_the_right_one(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/devices")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json()["detail"] == "POST does not go with this path; use GET"


async def test_live_samples_arrive_and_resume_where_they_were(pool: Pool, app: FastAPI, keys: Keys) -> None:
    device = await add_device(pool, "boiler-7")
    series = await add_series(pool, device, "temperature", "Cel", [(at(0), 1.0)])
    headers = {"Authorization": f"Bearer {await keys.create('test')}"}

    async def store(second: int, value: float) -> None:
        async with connection(pool) as conn, conn.transaction():
            await conn.execute("INSERT INTO sample VALUES (%s, %s, %s)", [series, at(second), value])
            await conn.execute("SELECT pg_notify('wayside_samples', %s)", [f"{device + 1},{device}"])

    url = "/api/v1/devices/boiler-7/live"
    async with serve(app) as base, httpx.AsyncClient(base_url=base, headers=headers, timeout=20) as client:
        async with client.stream("GET", url, params={"since": at(0).isoformat()}) as response, asyncio.timeout(20):
            assert response.headers["content-type"].startswith("text/event-stream")
            events = read_events(response)
            await store(1, 1.5)
            first = await anext(events)
            await store(2, 2.5)
            second = await anext(events)
        assert [sample["value"] for sample in json.loads(first.data)["samples"]] == [1.5]
        assert [sample["value"] for sample in json.loads(second.data)["samples"]] == [2.5]
        await store(3, 3.5)
        async with client.stream("GET", url, headers={"Last-Event-ID": first.id}) as response, asyncio.timeout(20):
            resumed = await anext(read_events(response))
        assert [sample["value"] for sample in json.loads(resumed.data)["samples"]] == [2.5, 3.5]


async def test_a_database_that_is_away_is_said_so(app: FastAPI, client: httpx.AsyncClient, pool: Pool) -> None:
    await pool.close()
    for path in ("/readyz", "/api/v1/devices"):
        answer = await client.get(path)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
    assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/v1/devices/%00", "/api/v1/devices?search=%00", "/api/v1/devices/boiler-7/telemetry?series=a%00b"]
)
async def test_a_nul_is_refused_and_not_asked_of_the_database(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 422
    assert "NUL" in answer.json()["detail"]


async def test_a_failure_that_nobody_expected_is_told_like_others_and_found_in_the_log(
    pool: Pool, app: FastAPI, keys: Keys
) -> None:
    await _telemetry(pool)
    async with connection(pool) as conn:
        await conn.execute("DROP TABLE latest CASCADE")
    key = await keys.create("test")
    with capture_logs() as lines:
        async with serve(app) as base, httpx.AsyncClient(base_url=base) as client:
            url = "/api/v1/devices/boiler-7/latest"
            answer = await client.get(url, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    for name, value in {**SECURITY_HEADERS, "cache-control": "no-store"}.items():
        assert answer.headers[name] == value
    number = answer.json()["instance"].removeprefix("urn:wayside:failure:")
    assert number in answer.json()["detail"]
    assert "latest" not in answer.json()["detail"], "nothing of the inside is told"
    (line,) = [line for line in lines if line["event"] == "a request failed"]
    assert (line["id"], line["method"], line["path"], line["exc_info"]) == (number, "GET", url, True)


async def test_other_programs_of_the_machine_are_not_bound_to_tls(client: httpx.AsyncClient) -> None:
    hosts = {host: await client.get("/healthz", headers={"Host": host}) for host in ("localhost:8443", "plant.example")}
    strict = {host: "strict-transport-security" in answer.headers for host, answer in hosts.items()}
    assert strict == {"localhost:8443": False, "plant.example": True}


async def test_head_is_answered_as_get_without_a_body(pool: Pool, app: FastAPI, keys: Keys) -> None:
    await _telemetry(pool)
    headers = {"Authorization": f"Bearer {await keys.create('test')}"}
    base_url = "/api/v1/devices/boiler-7"
    async with serve(app) as base, httpx.AsyncClient(base_url=base, headers=headers) as client, asyncio.timeout(20):
        for path in ("/healthz", base_url, f"{base_url}/telemetry/export", f"{base_url}/live"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
        assert (await client.head(base_url)).headers["content-length"] == str(len((await client.get(base_url)).content))
        assert (await client.head("/api/v1/devices", headers={"Authorization": ""})).status_code == 401
        assert (await client.head("/nothing")).status_code == 404
        # Every slot is free again.
        for _ in range(2 * MAX_EXPORTS):
            assert (await client.head(f"{base_url}/telemetry/export")).status_code == 200
