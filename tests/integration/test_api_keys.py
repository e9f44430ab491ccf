"""API keys over HTTP, and how soon a revoked one opens nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from wayside_server.app.web import make_app
from wayside_server.domain.access import Permission, Role
from wayside_server.identity.people import Method
from wayside_server.identity.sessions import Visitor
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.people import Office, open_office
from wayside_testkit.telemetry import add_device
from wayside_testkit.web import serve

KEYS = "/api/v1/api-keys"
REVOKED_WITHIN_S = 5.0


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path)


@pytest.fixture
def app(pool: Pool, database: str, office: Office) -> FastAPI:
    return make_app(PostgresReading(pool, database), office.desk, PostgresLive(database), [])


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://wayside.example") as opened:
        yield opened


async def bearer(office: Office, *scopes: Permission) -> dict[str, str]:
    return {"Authorization": f"Bearer {await office.desk.keys.create('test', scopes=scopes)}"}


async def test_a_key_is_made_shown_once_used_and_revoked(client: httpx.AsyncClient, office: Office) -> None:
    admin = await bearer(office, Permission.ADMINISTER, Permission.READ)
    made = await client.post(KEYS, json={"label": "reports", "scopes": ["read"], "days": 30}, headers=admin)
    assert made.status_code == 201
    key = made.json()
    own = {"Authorization": f"Bearer {key['key']}"}
    assert (await client.get("/api/v1/devices", headers=own)).status_code == 200
    assert (await client.get(KEYS, headers=own)).status_code == 403
    listed = (await client.get(KEYS, headers=admin)).json()["keys"]
    assert [(one["label"], one["may"]) for one in listed][1:] == [("reports", ["read"])]
    assert listed[1]["last_used"] is not None
    assert key["key"].split("_", 2)[2] not in str(listed)
    assert (await client.delete(f"{KEYS}/{key['prefix']}", headers=admin)).status_code == 204
    assert (await client.get("/api/v1/devices", headers=own)).status_code == 401


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scopes": ["read", "install"]}, "you have not install yourself"),
        ({"scopes": ["metrics"]}, "you have not metrics yourself"),
        ({"scopes": ["everything"]}, "'everything' is none"),
        ({"scopes": ["public"]}, "'public' is none"),
        ({"scopes": []}, "scopes"),
        ({"days": 0}, "days"),
        ({"days": 4000}, "days"),
        ({"label": ""}, "label"),
        ({"tenant_id": 2}, "tenant_id"),
    ],
)
async def test_a_key_that_may_not_be_is_refused(
    client: httpx.AsyncClient, office: Office, change: dict[str, object], reason: str
) -> None:
    admin = await bearer(office, Permission.ADMINISTER, Permission.READ)
    answer = await client.post(KEYS, json={"label": "x", "scopes": ["read"], **change}, headers=admin)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert len(await office.desk.keys.list()) == 1


async def test_a_tenant_sees_and_revokes_its_own_keys_alone(
    pool: Pool, client: httpx.AsyncClient, office: Office
) -> None:
    async with pool.connection() as conn:
        await conn.execute("INSERT INTO tenant (name, title) VALUES ('plant-2', 'Plant 2')")
    foreign = await office.desk.keys.create("other", tenant_id=2)
    admin = await bearer(office, Permission.ADMINISTER)
    assert len((await client.get(KEYS, headers=admin)).json()["keys"]) == 1
    assert (await client.delete(f"{KEYS}/{foreign.split('_')[1]}", headers=admin)).status_code == 404
    await office.desk.keys.authenticate(foreign)


async def test_a_revoked_key_ends_its_live_stream_within_five_seconds(pool: Pool, app: FastAPI, office: Office) -> None:
    """Row 14: revocation reaches what is open already."""
    await add_device(pool, "boiler-7")
    key = await office.desk.keys.create("display")
    headers = {"Authorization": f"Bearer {key}"}
    async with serve(app) as base, httpx.AsyncClient(base_url=base, headers=headers, timeout=20) as client:
        async with client.stream("GET", "/api/v1/devices/boiler-7/live") as response, asyncio.timeout(20):
            lines = response.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            await office.desk.keys.revoke(key)
            revoked = time.monotonic()
            async for _ in lines:
                pass
        assert time.monotonic() - revoked < REVOKED_WITHIN_S
        assert (await client.get("/api/v1/devices/boiler-7")).status_code == 401


async def test_row_23_a_session_changes_nothing_over_the_api_without_its_own_origin(
    client: httpx.AsyncClient, office: Office
) -> None:
    session = await office.desk.sessions.begin(await office.claim(), Method.PASSPHRASE, Visitor("192.0.2.1"))
    cookie = {"Cookie": f"__Host-wayside={session.token}"}
    body = {"label": "x", "scopes": ["read"]}
    foreign = [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}]
    # An empty Authorization is no key: it is still the session that speaks.
    for more in ({}, {"Authorization": ""}, {"Authorization": " "}, *foreign):
        assert (await client.post(KEYS, json=body, headers=cookie | more)).status_code == 403
    assert await office.desk.keys.list() == []
    made = await client.post(KEYS, json=body, headers=cookie | {"Origin": "https://wayside.example"})
    assert made.status_code == 201


async def test_a_person_without_the_role_makes_no_key_in_the_console(client: httpx.AsyncClient, office: Office) -> None:
    vera = await office.employ("vera", Role.ENGINEER)
    session = await office.desk.sessions.begin(vera, Method.PASSPHRASE, Visitor("192.0.2.1"))
    cookie = {"Cookie": f"__Host-wayside={session.token}"}
    for path in ("/keys", KEYS):
        answer = await client.post(path, data={"label": "x", "scope": "read", "csrf": "x"}, headers=cookie)
        assert answer.status_code == 403
    assert await office.desk.keys.list() == []
