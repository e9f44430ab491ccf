"""Audits of certificates, the listing by their end, and the revocation of a device by its routes and pages."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY

from wayside_server.api.certificates import certificates_router
from wayside_server.api.service import create_app
from wayside_server.console.identities import identities_router
from wayside_server.console.pages import console_router
from wayside_server.identity.revocation import Revocations
from wayside_server.jobs.audits import Audits
from wayside_server.storage.certificates import PostgresCertificates
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_server.storage.revocation import PostgresRevocations
from wayside_testkit.people import open_office
from wayside_testkit.roles import Roles, Trail

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def trail() -> Trail:
    return Trail()


@pytest.fixture
def app(pool: Pool, database: str, trail: Trail, tmp_path: Path) -> FastAPI:
    certificates = PostgresCertificates(pool)
    revocations = Revocations(PostgresRevocations(pool, database), trail, lambda: datetime.now(UTC))
    reading, access = PostgresReading(pool, database), Roles()
    routers = [
        console_router(reading, open_office(pool, tmp_path).desk),
        certificates_router(certificates, revocations),
        identities_router(certificates, revocations),
    ]
    return create_app(reading=reading, access=access, live=PostgresLive(database), routers=routers)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://wayside") as opened:
        yield opened


async def add(
    pool: Pool,
    name: str,
    *,
    issued: datetime = NOW,
    days: float = 90,
    last_seen: datetime | None = None,
    tenant: int = 1,
) -> int:
    """A device, unless it is there, and a certificate; its serial number."""
    serial = abs(hash((name, issued, days))) + (1 << 100)
    async with connection(pool) as conn, conn.transaction():
        await conn.execute(
            "INSERT INTO device (name, tenant_id, last_seen) VALUES (%s, %s, %s) ON CONFLICT (name) DO NOTHING",
            [name, tenant, last_seen],
        )
        await conn.execute(
            "INSERT INTO certificate (serial, device_id, not_before, not_after)"
            " SELECT %s, id, %s, %s FROM device WHERE name = %s",
            [Decimal(serial), issued, issued + timedelta(days=days), name],
        )
    return serial


def key(role: str, tenant: int = 1) -> dict[str, str]:
    return {"Authorization": f"Bearer {role}-{tenant}"}


async def incidents(pool: Pool) -> list[Any]:
    rows = "incident i LEFT JOIN device d ON d.id = i.device_id"
    statement = f"SELECT d.name, i.kind, i.count, i.detail FROM {rows} ORDER BY 1, 2"
    async with connection(pool) as conn:
        return await (await conn.execute(statement.encode())).fetchall()


async def test_what_needs_somebody_is_raised_once_and_counted(pool: Pool) -> None:
    await add(pool, "good-one")
    await add(pool, "renewed", issued=NOW - timedelta(days=80))
    await add(pool, "renewed")
    await add(pool, "near-end", issued=NOW - timedelta(days=80))
    await add(pool, "gone-long", issued=NOW - timedelta(days=100), last_seen=NOW - timedelta(days=20))
    await add(pool, "connected", issued=NOW - timedelta(days=100), last_seen=NOW - timedelta(minutes=1))
    await add(pool, "revoked-one", issued=NOW - timedelta(days=80))
    async with connection(pool) as conn:
        await conn.execute("UPDATE device SET revoked_at = now() WHERE name = 'revoked-one'")
    complaints: list[str | None] = ["the revocation list ends", None, "the revocation list ends"]
    audits = Audits(PostgresCertificates(pool), lambda: complaints.pop(0), lambda: NOW)
    await audits.audit()
    await audits.audit()
    raised = await incidents(pool)
    assert [row[:3] for row in raised] == [
        ("connected", "certificate ended", 1),
        ("gone-long", "certificate ended", 1),
        ("near-end", "certificate near its end", 1),
        (None, "revocation list stale", 1),
    ]
    assert "refused as soon as its connection breaks" in raised[0][3]
    assert "last seen 2026-05-12 00:00 and cannot come back" in raised[1][3]
    await audits.audit()
    assert (await incidents(pool))[-1][2] == 2, "it began again"
    assert REGISTRY.get_sample_value("wayside_certificates_expiring", {"within": "7d"}) == 0
    assert REGISTRY.get_sample_value("wayside_certificates_expiring", {"within": "30d"}) == 1
    assert REGISTRY.get_sample_value("wayside_certificates_expired") == 2
    assert REGISTRY.get_sample_value("wayside_devices_revoked") == 1


async def test_certificates_are_listed_by_their_end_and_paged(pool: Pool, client: httpx.AsyncClient) -> None:
    now = datetime.now(UTC)
    await add(pool, "later", issued=now - timedelta(days=10))
    serial = await add(pool, "sooner", issued=now - timedelta(days=80))
    await add(pool, "renewed", issued=now - timedelta(days=80))
    await add(pool, "renewed", issued=now)
    await add(pool, "foreign", issued=now, tenant=await second_tenant(pool))
    await add(pool, "ended", issued=now - timedelta(days=100))
    found: list[dict[str, Any]] = []
    path: str | None = "/api/v1/certificates?limit=2"
    while path is not None:
        page = (await client.get(path, headers=key("viewer"))).json()
        found += page["certificates"]
        path = page["next"]
    assert [one["device"] for one in found] == ["ended", "sooner", "later", "renewed"]
    assert [one["standing"] for one in found] == ["expired", "near its end", "good", "good"]
    assert found[1]["serial"] == f"{serial:x}"
    assert found[1]["life_used"] == pytest.approx(80 / 90, abs=0.001)
    stale = await client.get("/api/v1/certificates?cursor=AAAA", headers=key("viewer"))
    assert stale.status_code == 400


async def second_tenant(pool: Pool) -> int:
    async with connection(pool) as conn:
        row = await (await conn.execute("INSERT INTO tenant (name, title) VALUES ('b-2', 'B') RETURNING id")).fetchone()
    assert row is not None
    return int(str(row[0]))


async def test_a_device_is_revoked_and_restored_by_those_who_may(
    pool: Pool, client: httpx.AsyncClient, trail: Trail
) -> None:
    await add(pool, "boiler-7", issued=datetime.now(UTC))
    path = "/api/v1/devices/boiler-7/revoke"
    assert (await client.post(path, headers=key("operator"), json={})).status_code == 403
    other = await second_tenant(pool)
    assert (await client.post(path, headers=key("engineer", other), json={})).status_code == 404
    assert (await client.post(path, headers=key("engineer"), json={"reason": "boredom"})).status_code == 422
    assert (await client.post(path, headers=key("engineer"), json={"why": "hold"})).status_code == 422
    assert trail.acts == []
    done = await client.post(path, headers=key("engineer"), json={"reason": "hold"})
    assert (done.status_code, done.json()) == (200, {"device": "boiler-7", "certificates": 1, "released": 0})
    (listed,) = (await client.get("/api/v1/certificates", headers=key("viewer"))).json()["certificates"]
    assert (listed["standing"], listed["revoked_reason"]) == ("revoked", "hold")
    assert (await client.get("/api/v1/devices/boiler-7", headers=key("viewer"))).json()["state"] == "revoked"
    done = await client.post("/api/v1/devices/boiler-7/restore", headers=key("engineer"))
    assert done.json() == {"device": "boiler-7", "certificates": 0, "released": 1}
    assert [act.action for act in trail.acts] == ["device.revoke", "device.restore"]


async def test_the_console_asks_before_it_revokes(pool: Pool, client: httpx.AsyncClient, trail: Trail) -> None:
    await add(pool, "boiler-7", issued=datetime.now(UTC))
    client.cookies.set("__Host-wayside", "viewer-1")
    assert "Revoke" not in (await client.get("/devices/boiler-7/identity")).text
    assert (await client.get("/devices/boiler-7/revoke")).status_code == 403
    client.cookies.set("__Host-wayside", "engineer-1")
    assert 'href="/devices/boiler-7/revoke"' in (await client.get("/devices/boiler-7/identity")).text
    form = (await client.get("/devices/boiler-7/revoke")).text
    csrf = re.findall(r'name="csrf" value="([0-9a-f]+)"', form)[-1]
    wrong = await client.post("/devices/boiler-7/revoke", data={"csrf": "0" * 64, "reason": "hold"})
    assert wrong.status_code == 403
    assert trail.acts == []
    done = await client.post("/devices/boiler-7/revoke", data={"csrf": csrf, "reason": "key-compromise"})
    assert (done.status_code, done.headers["location"]) == (303, "/devices/boiler-7")
    shown = (await client.get("/devices/boiler-7/identity")).text
    assert "by person:engineer (key-compromise); its session is being ended" in shown
    assert 'href="/devices/boiler-7/restore"' in shown
    assert "revoked" in (await client.get("/certificates")).text


async def test_the_console_warns_of_a_list_that_ends(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.state.warnings = lambda: ["the revocation list ends in 12 hours"]
    client.cookies.set("__Host-wayside", "viewer-1")
    assert 'role="alert">The revocation list ends in 12 hours.</p>' in (await client.get("/")).text
    client.cookies.clear()
    assert "revocation" not in (await client.get("/sign-in")).text
