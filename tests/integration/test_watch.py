"""Refusals, incidents and dead letters, as programs and operators read them."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from wayside_server.api.service import create_app
from wayside_server.console import listings, pages
from wayside_server.console.pages import console_router
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.people import doors_of, open_office
from wayside_testkit.telemetry import add_dead_letter, add_device, add_incident, add_refusals, at


@pytest.fixture
async def client(pool: Pool, database: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    office = open_office(pool, tmp_path)
    desk, reading = office.desk, PostgresReading(pool, database)
    routers = [console_router(reading, desk)]
    app = create_app(reading=reading, access=desk.sessions, live=PostgresLive(database), routers=routers)
    doors = await doors_of(office, await desk.keys.create("test"), await office.claim())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://wayside", auth=doors) as opened:
        yield opened


async def _all(client: httpx.AsyncClient, path: str, key: str) -> list[dict[str, object]]:
    """Everything that a listing has, two at a time."""
    page = (await client.get(path, params={"limit": 2})).json()
    found = page[key]
    while page["next"]:
        page = (await client.get(page["next"])).json()
        found += page[key]
    return list(found)


DAY_S = 86_400


async def test_refusals_are_listed_by_day_and_kind(pool: Pool, client: httpx.AsyncClient) -> None:
    for kind, day in (("api_key", 0), ("broker: no certificate", 1), ("api_key", 1), ("not written yet", 2)):
        await add_refusals(pool, kind, at(day * DAY_S + 5), 3 + day, f"the latest of {kind}")
    found = await _all(client, "/api/v1/refusals", "refusals")
    assert [(entry["day"], entry["kind"], entry["count"]) for entry in found] == [
        ("2026-03-03", "not written yet", 5),
        ("2026-03-02", "api_key", 4),
        ("2026-03-02", "broker: no certificate", 4),
        ("2026-03-01", "api_key", 3),
    ]
    assert found[0]["meaning"] is None
    assert "unknown, expired or revoked" in str(found[1]["meaning"])
    assert found[3]["last_at"] == "2026-03-01T00:00:05.000000Z"
    assert found[3]["last_detail"] == "the latest of api_key"


async def test_a_refused_key_is_seen_in_the_listing(client: httpx.AsyncClient) -> None:
    refused = await client.get("/api/v1/devices", headers={"Authorization": "Bearer wsk_aaaaaaaa_x"})
    assert refused.status_code == 401
    (entry,) = await _all(client, "/api/v1/refusals", "refusals")
    assert (entry["kind"], entry["count"]) == ("api_key", 1)


async def test_incidents_are_listed_for_all_and_for_one_device(pool: Pool, client: httpx.AsyncClient) -> None:
    boiler, kiln = await add_device(pool, "boiler-7"), await add_device(pool, "kiln-2")
    for number, device in enumerate((boiler, kiln, boiler, None, boiler)):
        await add_incident(pool, device, f"kind {number}", f"number {number}")
    everything = await _all(client, "/api/v1/incidents", "incidents")
    assert [(entry["device"], entry["detail"]) for entry in everything] == [
        ("boiler-7", "number 4"),
        (None, "number 3"),
        ("boiler-7", "number 2"),
        ("kiln-2", "number 1"),
        ("boiler-7", "number 0"),
    ]
    own = await _all(client, "/api/v1/devices/boiler-7/incidents", "incidents")
    assert [entry["detail"] for entry in own] == ["number 4", "number 2", "number 0"]


@pytest.mark.parametrize("path", ["/api/v1/refusals", "/api/v1/incidents", "/incidents", "/refused"])
async def test_strangers_read_none_of_it(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers={"Authorization": ""})).status_code == 401


async def test_pages_show_it_all_in_steps(
    pool: Pool, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "ROWS", 2)
    boiler = await add_device(pool, "boiler-7")
    for number in range(5):
        await add_incident(pool, boiler, f"kind {number}", f"<i>number {number}</i>")
        await add_refusals(pool, "broker: no certificate", at(number * DAY_S), number, f"<i>number {number}</i>")
        await add_dead_letter(pool, "boiler-7", b"\x00\xff{", "malformed", f"<i>number {number}</i>")
    for path in ("/incidents", "/refused", "/devices/boiler-7/dead-letters"):
        text, shown = "", 0
        onward: str | None = path
        while onward is not None:
            answer = await client.get(onward)
            assert answer.status_code == 200
            text += answer.text
            shown += 1
            _, found, rest = answer.text.partition(f'<p><a href="{path}?')
            onward = f"{path}?{rest.partition(chr(34))[0]}" if found else None
        assert shown == 3
        assert [text.count(f"&lt;i&gt;number {number}&lt;/i&gt;") for number in range(5)] == [1] * 5
    assert "0000  00 ff 7b                 ..{" in text
    assert (await client.get("/refused", params={"after": "AAAA"})).status_code == 400
    assert (await client.get("/devices/kiln-2/dead-letters")).status_code == 404


async def test_a_device_of_many_series_is_shown_a_page_at_a_time(pool: Pool, client: httpx.AsyncClient) -> None:
    device = await add_device(pool, "boiler-7")
    async with pool.connection() as conn:
        await conn.execute(
            "WITH made AS (INSERT INTO series (device_id, name, unit)"
            " SELECT %s, 'series-' || lpad(i::text, 4, '0'), '1' FROM generate_series(1, 4096) AS i RETURNING id)"
            " INSERT INTO latest (series_id, ts, value) SELECT id, now(), 1.5 FROM made",
            [device],
        )
    for path in ("/devices/boiler-7/now", "/devices/boiler-7"):
        first = (await client.get(path)).text
        assert first.count(">series-0") == pages.SHOWN_SERIES
        assert len(first) < 50_000
        assert '<a href="/devices/boiler-7?series=2">More series</a>' in first
        last = (await client.get(path, params={"series": 41})).text
        assert last.count(">series-") == 4096 - 40 * pages.SHOWN_SERIES
        assert "More series" not in last
        assert '<a href="/devices/boiler-7?series=40">Series before</a>' in last
    assert 'hx-get="/devices/boiler-7/now?series=41"' in last
