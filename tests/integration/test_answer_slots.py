"""Answers that are sent piece by piece take slots: whoever leaves or stalls gives theirs back, and nobody has all."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from wayside_server.api import streams
from wayside_server.api.live import MAX_STREAMS
from wayside_server.api.service import create_app
from wayside_server.api.telemetry import MAX_EXPORTS
from wayside_server.app.connections import CUT
from wayside_server.config import ApiSettings
from wayside_server.domain.access import FIRST_TENANT
from wayside_server.identity.keys import Keys
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.audit import MemoryTrail
from wayside_testkit.telemetry import add_device, add_series, add_tenant
from wayside_testkit.tenants import key_of
from wayside_testkit.web import serve

AT_ONCE = MAX_EXPORTS // 2
"""Exports of one tenant."""


@pytest.fixture
def keys(pool: Pool) -> Keys:
    return Keys(PostgresIdentity(pool), lambda: datetime.now(UTC), MemoryTrail())


@pytest.fixture
def app(pool: Pool, database: str, keys: Keys) -> FastAPI:
    return create_app(
        reading=PostgresReading(pool, database), access=keys, live=PostgresLive(database), registry=CollectorRegistry()
    )


async def filled(pool: Pool, name: str, tenant_id: int, rows: int) -> None:
    """A device of a tenant with one series, a sample a second."""
    device = await add_device(pool, name, tenant_id)
    series = await add_series(pool, device, "temperature", "Cel")
    async with connection(pool) as conn:
        many = (
            f"SELECT %s, timestamptz '2026-03-01 00:00+00' + i * interval '1 s', i FROM generate_series(1, {rows}) AS i"
        )
        await conn.execute(f"INSERT INTO sample {many}".encode(), [series])


@contextmanager
def stuck_reader(base: str, path: str, key: str) -> Iterator[socket.socket]:
    """Begins to read an answer, and never goes on within the block."""
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", urlsplit(base).port))
        stuck.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        stuck.settimeout(20)
        yield stuck


async def test_an_export_that_is_abandoned_makes_room_for_the_next(pool: Pool, app: FastAPI, keys: Keys) -> None:
    await filled(pool, "boiler-7", FIRST_TENANT, 300_000)
    headers = {"Authorization": f"Bearer {await keys.create('test')}"}
    url = "/api/v1/devices/boiler-7/telemetry/export"
    async with serve(app) as base, httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client:
        for _ in range(AT_ONCE + 1):
            async with asyncio.timeout(20):
                while True:
                    async with client.stream("GET", url) as response:
                        if response.status_code == 200:
                            await anext(response.aiter_bytes())
                            break
        async with asyncio.timeout(20):
            while (answer := await client.get(url)).status_code == 429:
                assert answer.headers["retry-after"] == "10"
    assert answer.text.count("\n") == 300_001


async def test_readers_that_stop_are_cut_and_make_room(pool: Pool, app: FastAPI, keys: Keys) -> None:
    await filled(pool, "boiler-7", FIRST_TENANT, 600_000)
    key = await keys.create("test")
    before = CUT._value.get()  # type: ignore[attr-defined]
    url = "/api/v1/devices/boiler-7/telemetry/export"
    async with serve(app, ApiSettings(send_timeout_s=2.0)) as base, AsyncExitStack() as stack:
        for _ in range(AT_ONCE):
            stuck = stack.enter_context(stuck_reader(base, url, key))
            # Its export has begun, so that the next one does not come before it.
            assert await asyncio.to_thread(stuck.recv, 12) == b"HTTP/1.1 200"
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client, asyncio.timeout(30):
            refused = 0
            while (answer := await client.get(f"{url}?end=2026-03-01T00:01:00Z")).status_code == 429 or not refused:
                refused += answer.status_code == 429
        assert answer.text.count("\n") == 60
    assert CUT._value.get() > before  # type: ignore[attr-defined]


async def test_an_export_breaks_off_when_its_key_is_revoked(
    pool: Pool, app: FastAPI, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALLOWED_S", 0.2)
    await filled(pool, "boiler-7", FIRST_TENANT, 600_000)
    key = await keys.create("test")
    async with serve(app) as base, httpx.AsyncClient(base_url=base, timeout=30) as client:
        headers = {"Authorization": f"Bearer {key}"}
        async with client.stream("GET", "/api/v1/devices/boiler-7/telemetry/export", headers=headers) as answer:
            assert answer.status_code == 200
            pieces = answer.aiter_raw()
            await anext(pieces)
            await keys.revoke(key.split("_")[1])
            await asyncio.sleep(0.3)
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in pieces:
                    pass


@pytest.mark.parametrize(
    ("path", "most", "rows"),
    [("telemetry/export", MAX_EXPORTS, 600_000), ("live", MAX_STREAMS, 60)],
    ids=["exports", "streams"],
)
async def test_one_tenant_leaves_room_for_others_row_19(
    pool: Pool, app: FastAPI, keys: Keys, path: str, most: int, rows: int
) -> None:
    other = await add_tenant(pool, "other")
    await filled(pool, "boiler-7", FIRST_TENANT, rows)
    await filled(pool, "pump-1", other, 60)
    mine, theirs = await key_of(keys, pool, FIRST_TENANT), await key_of(keys, pool, other)
    url = f"/api/v1/devices/boiler-7/{path}"
    async with serve(app) as base, AsyncExitStack() as stack, httpx.AsyncClient(base_url=base, timeout=30) as client:
        for _ in range(most // 2):
            stuck = stack.enter_context(stuck_reader(base, url, mine))
            assert await asyncio.to_thread(stuck.recv, 12) == b"HTTP/1.1 200"
        refused = await client.get(url, headers={"Authorization": f"Bearer {mine}"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        assert f"{most // 2} " in refused.json()["detail"]
        headers = {"Authorization": f"Bearer {theirs}"}
        async with client.stream("GET", f"/api/v1/devices/pump-1/{path}", headers=headers) as served:
            assert served.status_code == 200
