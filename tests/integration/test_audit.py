"""The audit log: nothing in it changes unseen (reliability row 24)."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from wayside_server.api.audit import audit_router
from wayside_server.api.service import create_app
from wayside_server.app import Storage
from wayside_server.app.audit import verify
from wayside_server.console.audit import audit_pages
from wayside_server.domain.access import SESSION_COOKIE, Permission, Principal, Role, permissions_of
from wayside_server.domain.audit import Act, Outcome
from wayside_server.errors import ConfigError
from wayside_server.identity.audit import DAMPED_FOR, DampedTrail
from wayside_server.identity.heads import Heads, read_heads
from wayside_server.identity.home import Home
from wayside_server.storage.audit import PostgresAudit
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading

NOW = datetime(2026, 5, 1, 12, 0, 0, 7, tzinfo=UTC)


@dataclass
class Somebody:
    """Access to the API for one whose permissions the test chooses."""

    tenant_id: int | None = 1
    permissions: frozenset[Permission] = permissions_of(Role.ADMIN)

    async def authenticate(self, bearer: str, address: str | None = None) -> Principal:
        return Principal("person:ada", bearer, self.tenant_id, self.permissions)

    async def resume(self, session: str, *, active: bool = True) -> Principal:
        return await self.authenticate(session)


@dataclass
class Remembered:
    """A trail that keeps acts in a list."""

    acts: list[Act] = field(default_factory=list)

    async def record(self, act: Act) -> None:
        self.acts.append(act)


def act(number: int, **more: object) -> Act:
    tenant = (1, 2, None)[number % 3]
    return Act(f"key:k{number % 2}", "device.revoke", f"device:boiler-{number}", tenant, detail={"n": number, **more})


@pytest.fixture
async def audit(pool: Pool) -> PostgresAudit:
    audit = PostgresAudit(pool, lambda: NOW)
    for number in range(1, 10):
        await audit.record(act(number))
    return audit


@pytest.fixture
def storage(pool: Pool, database: str) -> Storage:
    return Storage(database, database, pool)


async def faults(home: Path, storage: Storage, *, heads: Path | None = None) -> list[str]:
    """What `audit verify` finds."""
    return (await verify(Home(home), storage, [heads] if heads else [], None, lambda *_: None)).faults


def change(database: str, *statements: str) -> None:
    """What the owner of the database can do."""
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        for statement in statements:
            conn.execute(statement.encode())


async def test_entries_come_back_as_they_were_entered(audit: PostgresAudit) -> None:
    async with aclosing(audit.every()) as entries:
        found = [entry async for entry in entries]
    assert [entry.id for entry in found] == list(range(1, 10))
    assert {entry.at for entry in found} == {NOW}
    assert json.loads(found[3].detail) == {"n": 4}
    assert found[3].act.subject == "device:boiler-4"
    assert await audit.head() == (9, found[-1].hash)


async def test_an_untouched_log_has_no_fault(audit: PostgresAudit, storage: Storage, tmp_path: Path) -> None:
    assert await audit.head()
    assert await faults(tmp_path, storage) == []


@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit_entry SET actor = 'key:k9' WHERE id = 4", "entry 4 is not what was entered"),
        ("UPDATE audit_entry SET detail = '{}' WHERE id = 4", "entry 4 is not what was entered"),
        ("UPDATE audit_entry SET at = at + interval '1 us' WHERE id = 4", "entry 4 is not what was entered"),
        ("UPDATE audit_entry SET tenant_id = 1 WHERE id = 2", "entry 2 is not what was entered"),
        ("DELETE FROM audit_entry WHERE id = 4", "entry 4 is missing"),
        ("DELETE FROM audit_entry WHERE id IN (4, 5)", "entries 4 to 5 are missing"),
        ("UPDATE audit_entry SET id = CASE id WHEN 4 THEN 40 WHEN 5 THEN 4 END WHERE id IN (4, 5)", "entry 4 is not"),
        ("DELETE FROM audit_entry WHERE id > 7", "entries 8 to 9 are missing"),
        ("TRUNCATE audit_entry", "entries 1 to 9 are missing"),
    ],
)
async def test_what_is_changed_removed_or_moved_shows(
    database: str, storage: Storage, tmp_path: Path, statement: str, said: str
) -> None:
    """Row 24: edit, delete, reorder and truncate are each detected."""
    change(database, statement)
    assert any(said in fault for fault in await faults(tmp_path, storage))


async def test_a_log_that_is_written_anew_as_a_whole_does_not_fit_the_heads(
    audit: PostgresAudit, database: str, storage: Storage, tmp_path: Path
) -> None:
    """Row 24: the chain alone does not stop whoever can rewrite all of it; the head outside does."""
    heads = Heads(tmp_path / "elsewhere")
    heads.tell(*await audit.head(), NOW)
    change(
        database,
        "TRUNCATE audit_entry",
        "UPDATE audit_head SET id = 0, hash = decode(repeat('00', 32), 'hex')",
        "ALTER TABLE audit_entry ENABLE TRIGGER USER",
    )
    for number in range(1, 13):
        await audit.record(act(number, tidied=True))
    assert await faults(tmp_path, storage) == []
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "public.pem").write_bytes(heads.public_file.read_bytes())
    found = await faults(tmp_path, storage, heads=heads.file)
    assert found == ["entry 9 is another than the one that was told outside: the log was written anew"]


async def test_a_log_that_was_cut_with_its_mark_does_not_reach_the_heads(
    audit: PostgresAudit, database: str, storage: Storage, tmp_path: Path
) -> None:
    heads = Heads(tmp_path / "audit")
    heads.tell(*await audit.head(), NOW)
    change(
        database,
        "UPDATE audit_head SET id = 7, hash = (SELECT hash FROM audit_entry WHERE id = 7)",
        "DELETE FROM audit_entry WHERE id > 7",
    )
    assert await faults(tmp_path, storage) == ["entries 8 to 9 are missing"]


@pytest.mark.usefixtures("audit")
async def test_the_database_itself_refuses_changes(pool: Pool) -> None:
    for statement in ("UPDATE audit_entry SET actor = ''", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
        async with pool.connection() as conn:
            with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
                await conn.execute(statement.encode())


async def test_many_at_once_leave_no_gap(pool: Pool, storage: Storage, tmp_path: Path) -> None:
    audit = PostgresAudit(pool, lambda: NOW)
    await asyncio.gather(*(audit.record(act(number)) for number in range(40)))
    assert (await audit.head())[0] == 40
    assert await faults(tmp_path, storage) == []


async def test_any_text_can_be_entered(pool: Pool, storage: Storage, tmp_path: Path) -> None:
    audit = PostgresAudit(pool, lambda: NOW)
    await audit.record(
        Act("key:\0\ud800", "a" * 3000, "ü\n=1+1", 1, "::1", Outcome.REFUSED, {"x": "\0\udfff", "y": 1.5})
    )
    assert await faults(tmp_path, storage) == []


def test_heads_that_were_changed_are_refused(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    heads.tell(3, bytes(32), NOW)
    heads.tell(4, bytes([1]) * 32, NOW)
    assert read_heads(heads.file, heads.public_file) == {3: bytes(32), 4: bytes([1]) * 32}
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    heads.file.write_text(heads.file.read_text().replace("0101", "0202", 1))
    with pytest.raises(ConfigError, match="line 2: this is no head that the key signed"):
        read_heads(heads.file, heads.public_file)


async def test_refusals_that_repeat_are_counted_and_not_entered_one_by_one() -> None:
    times = [NOW]
    trail = Remembered()
    damped = DampedTrail(trail, lambda: times[-1])
    guess = Act("stranger", "device.enrol", "token", None, "192.0.2.7", Outcome.REFUSED)
    for _ in range(500):
        await damped.record(guess)
    await damped.record(Act("key:k1", "token.create", "token:7", 1))
    assert [each.action for each in trail.acts] == ["device.enrol", "token.create"]
    times.append(NOW + DAMPED_FOR + timedelta(seconds=1))
    await damped.flush()
    assert trail.acts[-1].detail == {"repeats": 499}
    await damped.record(guess)
    assert trail.acts[-1] == guess


@pytest.fixture
def somebody() -> Somebody:
    return Somebody()


@pytest.fixture
async def client(
    pool: Pool, database: str, audit: PostgresAudit, somebody: Somebody
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        reading=PostgresReading(pool, database),
        access=somebody,  # type: ignore[arg-type]
        live=PostgresLive(database),
        routers=[audit_router(audit), audit_pages(audit)],
    )
    headers = {"Authorization": "Bearer ada"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://wayside.example", headers=headers) as opened:
        yield opened


async def test_the_api_gives_a_tenant_its_own_entries_in_pages(client: httpx.AsyncClient) -> None:
    path, ids = "/api/v1/audit?limit=2&actor=key:*", []
    while path:
        page = (await client.get(path)).json()
        assert all(entry["tenant_id"] == 1 for entry in page["entries"])
        ids += [entry["id"] for entry in page["entries"]]
        path = page["next"]
    assert ids == [9, 6, 3]
    one = (await client.get("/api/v1/audit", params={"subject": "device:boiler-6"})).json()["entries"]
    assert [(entry["id"], entry["time"], entry["detail"]) for entry in one] == [
        (6, "2026-05-01T12:00:00.000007Z", {"n": 6})
    ]
    assert (await client.get("/api/v1/audit?subject=device:boiler-_")).json()["entries"] == []
    assert (await client.get("/api/v1/audit?start=2026-05-02")).json()["entries"] == []
    assert (await client.get("/api/v1/audit?start=never")).status_code == 422


async def test_who_may_read_it(client: httpx.AsyncClient, somebody: Somebody) -> None:
    for role in (Role.VIEWER, Role.OPERATOR, Role.ENGINEER):
        somebody.permissions = permissions_of(role)
        assert {(await client.get(f"/api/v1/audit{part}")).status_code for part in ("", "/export", "/head")} == {403}
    somebody.permissions = permissions_of(Role.ADMIN)
    assert (await client.get("/api/v1/audit/head")).status_code == 403
    somebody.permissions |= {Permission.INSTALL}
    assert (await client.get("/api/v1/audit/head")).json()["id"] == 9
    assert len((await client.get("/api/v1/audit")).json()["entries"]) == 9


async def test_the_export_is_whole_and_safe_in_a_spreadsheet(
    client: httpx.AsyncClient, audit: PostgresAudit, somebody: Somebody
) -> None:
    await audit.record(Act("person:ada", "device.rename", "=HYPERLINK(1)", 1))
    for number in range(1, 2500):
        await audit.record(act(3 * number))
    somebody.tenant_id = 1
    answer = await client.get("/api/v1/audit/export?subject=*")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert "'=HYPERLINK(1)" in {row["subject"] for row in rows}
    assert len([row for row in rows if row["tenant_id"] == "1"]) == len(rows) == 3 + 1 + 2499


async def test_the_page_shows_what_was_done(client: httpx.AsyncClient, audit: PostgresAudit) -> None:
    await audit.record(Act("person:<b>eve", "session.begin", "person:eve", 1, "192.0.2.9", Outcome.REFUSED))
    del client.headers["Authorization"]
    text = (await client.get("/audit", headers={"Cookie": f"{SESSION_COOKIE}=ada"})).text
    assert "device:boiler-9" in text
    assert "session.begin: refused" in text
    assert "<b>eve" not in text
    assert "device:boiler-8" not in text
