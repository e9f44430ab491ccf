"""Looking through the audit log costs others nothing, and its head is told early."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from wayside_server.api.audit import MAX_EXPORTS, audit_router
from wayside_server.api.service import create_app
from wayside_server.app.audit import TELL_EVERY_S, Telling
from wayside_server.domain.access import Permission, Principal, Role, permissions_of
from wayside_server.domain.audit import Act, AuditQuery, AuditReading, Entry
from wayside_server.identity.heads import Heads, read_heads
from wayside_server.storage.audit import _SQL as STATEMENTS
from wayside_server.storage.audit import PostgresAudit
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.people import MovableClock
from wayside_testkit.roles import Roles
from wayside_testkit.web import serve

ACT = Act("person:ada", "session.begin", "person:ada", 1)


@pytest.mark.parametrize(
    ("name", "value"), [("actor", "nobody%"), ("action", "no%"), ("subject", "person:x"), ("since", "2031-01-01")]
)
@pytest.mark.parametrize("tenant", [1, None])
async def test_no_filter_reads_the_whole_log(pool: Pool, name: str, value: str, tenant: int | None) -> None:
    values: dict[str, object] = {"tenant_id": tenant, "before_id": 1 << 62, "limit": 51}
    values |= {"actor": "%", "action": "%", "subject": "%", "since": "1970-01-02", "until": "9999-01-01", name: value}
    async with connection(pool) as conn:
        await conn.execute(
            "INSERT INTO audit_entry (id, at, actor, action, subject, tenant_id, outcome, detail, hash)"
            " SELECT g, '2026-05-01', 'person:ann', 'session.begin', 'person:ann', 1, 'done', '{}',"
            " decode(repeat('00', 32), 'hex') FROM generate_series(1, 50000) g"
        )
        await conn.execute("ANALYZE audit_entry")
        statement = f"EXPLAIN {STATEMENTS['entries']}".encode()
        rows = await (await conn.execute(statement, values, prepare=False)).fetchall()
    plan = "\n".join(str(row[0]) for row in rows)
    assert "Seq Scan" not in plan, plan


class Endless:
    """`AuditReading` whose export never ends."""

    async def entries(self, query: AuditQuery) -> list[Entry]:
        await asyncio.sleep(0)  # as a database, it lets others run
        return [Entry(query.before_id - 1, 0, ACT, "{}", bytes(32))]

    async def head(self) -> tuple[int, bytes]:
        return 0, bytes(32)


class Admins(Roles):
    """An admin of each tenant."""

    async def authenticate(self, bearer: str, address: str | None = None) -> Principal:
        return Principal("key:x", "x", int(bearer), permissions_of(Role.ADMIN) | {Permission.SELF})


def service(pool: Pool, database: str, audit: AuditReading) -> FastAPI:
    reading, live = PostgresReading(pool, database), PostgresLive(database)
    return create_app(reading=reading, access=Admins(), live=live, routers=[audit_router(audit)])


async def test_a_tenant_exports_half_of_what_runs_at_once(pool: Pool, database: str) -> None:
    path, mine, theirs = "/api/v1/audit/export", {"Authorization": "Bearer 1"}, {"Authorization": "Bearer 2"}
    async with (
        serve(service(pool, database, Endless())) as base,
        httpx.AsyncClient(base_url=base, timeout=20) as client,
        AsyncExitStack() as running,
    ):
        for _ in range(MAX_EXPORTS // 2):
            begun = await running.enter_async_context(client.stream("GET", path, headers=mine))
            assert begun.status_code == 200
        refused = await client.get(path, headers=mine)
        assert (refused.status_code, "audit exports of this tenant are running" in refused.text) == (429, True)
        other = await running.enter_async_context(client.stream("GET", path, headers=theirs))
        assert other.status_code == 200


async def test_an_export_gives_its_place_back(pool: Pool, database: str) -> None:
    transport = httpx.ASGITransport(service(pool, database, PostgresAudit(pool, MovableClock())))
    async with httpx.AsyncClient(transport=transport, base_url="https://wayside.example") as client:
        for _ in range(MAX_EXPORTS + 1):
            answer = await client.get("/api/v1/audit/export", headers={"Authorization": "Bearer 1"})
            assert answer.status_code == 200


async def test_the_first_entries_are_told_early_then_hourly_and_the_last_at_the_end(pool: Pool, tmp_path: Path) -> None:
    audit, heads, at_s = PostgresAudit(pool, MovableClock()), Heads(tmp_path), [0.0]
    telling = Telling(audit, heads, lambda: at_s[0])

    def told() -> list[int]:
        return list(read_heads(heads.file, heads.public_file)) if heads.file.exists() else []

    await telling.look()
    assert told() == []
    await audit.record(ACT)
    at_s[0] += 60
    await telling.look()
    assert told() == [1]
    for _ in range(2):
        await audit.record(ACT)
        at_s[0] += TELL_EVERY_S / 3
        await telling.look()
    assert told() == [1]
    at_s[0] += TELL_EVERY_S / 3
    await telling.look()
    assert told() == [1, 3]
    await audit.record(ACT)
    await telling.look()
    await telling.look(now=True)
    assert told() == [1, 3, 4]
