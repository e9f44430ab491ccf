"""The database keeps tenants apart whatever it is asked (reliability rows 17 and 18)."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from wayside_server.domain.limits import DeviceLimits
from wayside_server.errors import ConfigError
from wayside_server.storage.database import Connection, Pool, connection
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.roles import APP_ROLE, AS_APP, ensure_app_role
from wayside_server.storage.schema import migrate, read_migrations
from wayside_testkit.batches import Device, column, received
from wayside_testkit.telemetry import add_device, add_series, add_tenant, at, reading_of
from wayside_testkit.tenants import SAMPLES, Inhabited, inhabit

OPEN = {"schema_migration"}
"""What the role may read that has nothing of a tenant: which migrations were applied."""
ALL_RIGHTS = ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]


@pytest.fixture
async def two(pool: Pool) -> tuple[Inhabited, Inhabited]:
    """The first tenant and another one, both inhabited."""
    return await inhabit(pool, 1, "amber", 8811), await inhabit(pool, await add_tenant(pool, "other"), "birch", 7733)


@asynccontextmanager
async def _as_app(database: str) -> AsyncIterator[Connection]:
    conn = await psycopg.AsyncConnection.connect(database, autocommit=True, options=AS_APP)
    async with conn:
        yield conn


async def _rows(conn: Connection, statement: str, values: Any = None) -> list[Any]:
    return await (await conn.execute(statement.encode(), values)).fetchall()


async def _relations(conn: Connection, *, readable: bool) -> list[str]:
    """Everything with rows in the schema that the role may read, or may not. With TimescaleDB also what lies with its
    chunks, but its own views: those have sizes and statistics of the whole, and the extension shows them to everybody.
    """
    rows = await _rows(
        conn,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN (current_schema, '_timescaledb_internal') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')"
        " AND (has_table_privilege(%s, c.oid, 'SELECT') OR has_any_column_privilege(%s, c.oid, 'SELECT')) = %s",
        [APP_ROLE, APP_ROLE, readable],
    )
    return [name for (name,) in rows]


async def test_every_table_that_the_role_reaches_is_guarded(pool: Pool) -> None:
    """Row 17: the role is neither owner nor BYPASSRLS; whatever a later migration adds is guarded or unreachable."""
    async with connection(pool) as conn:
        role = await _rows(
            conn,
            "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb,"
            " EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid),"
            " EXISTS (SELECT FROM pg_shdepend d WHERE d.refobjid = r.oid AND d.deptype = 'o'),"
            " has_schema_privilege(r.oid, current_schema, 'CREATE')"
            " FROM pg_roles r WHERE rolname = %s",
            [APP_ROLE],
        )
        assert role == [(False,) * 8]
        readable = set(await _relations(conn, readable=True))
        tables = await _rows(
            conn,
            "SELECT relname::text FROM pg_class c WHERE relrowsecurity AND relforcerowsecurity"
            " AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND %s::regrole = ANY (p.polroles)"
            " AND pg_get_expr(polqual, polrelid) ~ 'current_tenant|sees_installation')"
            " AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND 0 = ANY (p.polroles))",
            [APP_ROLE],
        )
        views = await _rows(
            conn,
            "SELECT relname::text FROM pg_class WHERE relkind = 'v' AND 'security_barrier=true' = ANY (reloptions)"
            " AND pg_get_viewdef(oid) ~ 'WHERE \\([a-z]+\\.tenant_id = current_tenant\\(\\)\\)'",
        )
        assert readable == {name for (name,) in tables} | {name for (name,) in views} | OPEN
        changes = await _rows(
            conn,
            "SELECT c.oid::regclass::text, p FROM pg_class c, unnest(%s::text[]) AS p"
            " WHERE c.relkind IN ('r', 'p', 'v', 'f') AND has_table_privilege(%s, c.oid, p)"
            " AND c.relnamespace <> 'pg_catalog'::regnamespace",
            [ALL_RIGHTS, APP_ROLE],
        )
        assert changes == [], "the role changes nothing"


async def test_without_a_tenant_nothing_is_seen(pool: Pool, database: str, two: tuple[Inhabited, Inhabited]) -> None:
    """Row 17: 0 rows, whether the tenant was never set, is '' after another transaction, or does not exist."""
    async with connection(pool) as conn:
        readable = set(await _relations(conn, readable=True)) - OPEN
    async with _as_app(database) as app:

        async def seen() -> dict[str, int]:
            return {name: (await _rows(app, f"SELECT count(*) FROM {name}"))[0][0] for name in readable}

        nothing = dict.fromkeys(readable, 0)
        assert await seen() == nothing
        async with app.transaction():
            await app.execute("SET LOCAL wayside.tenant = '1'")
            assert {name for name, count in (await seen()).items() if not count} == {"refusal"}
        assert await _rows(app, "SELECT current_setting('wayside.tenant', true)") == [("",)]
        assert await seen() == nothing
        await app.execute("SET wayside.tenant = '4711'")
        assert await seen() == nothing
        await app.execute("SET wayside.tenant = 'nonsense'")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            await seen()


async def test_each_tenant_sees_its_own_rows_alone(pool: Pool, database: str, two: tuple[Inhabited, Inhabited]) -> None:
    async with connection(pool) as conn:
        readable = set(await _relations(conn, readable=True)) - OPEN
    async with _as_app(database) as app:
        for own, other in (two, two[::-1]):
            await app.execute(sql.SQL("SET wayside.tenant = {}").format(sql.Literal(str(own.id))))
            for name in readable - {"refusal"}:
                rows = repr(await _rows(app, f"SELECT * FROM {name}"))
                assert rows != "[]", name
                assert other.mark not in rows, name
                assert f"{other.number}." not in rows, name
            assert await _rows(app, "SELECT DISTINCT tenant_id FROM series") == [(own.id,)]
            assert await _rows(app, "SELECT DISTINCT trunc(value) FROM own_sample") == [(own.number,)]


async def test_samples_and_secrets_are_out_of_reach(
    pool: Pool, database: str, two: tuple[Inhabited, Inhabited]
) -> None:
    """Row 18: no right to samples, nor to a partition or chunk of them, by whatever name."""
    async with connection(pool) as conn:
        await PostgresIngest(pool, "test", DeviceLimits()).settle([Device().item(column("t", [1.0]))])
        denied = await _relations(conn, readable=False)
        parts = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'sample'::regclass"
        expected = {"sample", "sample_value", "sample_quality", "latest", "ingest_batch", "api_key", "enrolment_token"}
        expected |= {name for (name,) in await _rows(conn, parts)}
        assert len(expected) > 7
        assert expected <= set(denied)
    async with _as_app(database) as app:
        await app.execute("SET wayside.tenant = '1'")
        for name in denied:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await app.execute(f"SELECT FROM {name}".encode())


async def test_a_connection_of_the_role_stays_of_it(database: str) -> None:
    async with _as_app(database) as app:
        for statement in ("RESET ROLE", "RESET ALL", "DISCARD ALL"):
            await app.execute(statement.encode())
            assert await _rows(app, "SELECT current_user::text") == [(APP_ROLE,)]


async def test_a_condition_that_looks_runs_behind_the_one_that_guards(
    pool: Pool, database: str, two: tuple[Inhabited, Inhabited]
) -> None:
    """Row 18: `security_barrier`. Without it a cheap condition runs first, and tells by its error what it saw."""
    async with _as_app(database) as app:
        await app.execute("SET wayside.tenant = '1'")
        # Then the samples are read before it is known whose they are.
        await app.execute("SET enable_nestloop = off")
        for view in ("own_sample", "own_sample_ascending", "own_sample_descending"):
            found = await _rows(app, f"SELECT count(*) FROM {view} WHERE 1 / (trunc(value) - {two[1].number}) <> 0")
            assert found == [(SAMPLES,)]
        found = await _rows(app, "SELECT name FROM device WHERE 1 / (ascii(name) - ascii('birch')) <> 0")
        assert found == [("amber-1",)]


async def test_what_hangs_on_a_device_has_its_tenant_and_goes_with_it(pool: Pool, database: str) -> None:
    other = await add_tenant(pool, "other")
    await add_device(pool, "boiler-7", other)
    store, device = PostgresIngest(pool, "test", DeviceLimits()), Device()
    await store.settle([device.item(column("t", [1.0, 2.0])), received("boiler-7", b"\xff")])
    own, first = reading_of(pool, database, other), reading_of(pool, database)
    assert (await own.account("boiler-7", verify=True)).stored == 2
    assert len(await own.dead_letters("boiler-7", before_id=99, limit=9)) == 1
    assert await first.devices(after="", search="", limit=9) == []
    async with connection(pool) as conn:
        await conn.execute("UPDATE device SET tenant_id = 1")
    assert await own.devices(after="", search="", limit=9) == []
    assert (await first.account("boiler-7", verify=True)).stored == 2
    assert len(await first.dead_letters("boiler-7", before_id=99, limit=9)) == 1


async def test_a_device_that_nobody_enrolled_is_the_first_tenants(pool: Pool, database: str) -> None:
    await add_tenant(pool, "other")
    await PostgresIngest(pool, "test", DeviceLimits()).settle([Device("stray-1").item(column("t", [1.0]))])
    found = {
        tenant: await reading_of(pool, database, tenant).devices(after="", search="", limit=9) for tenant in (1, 2)
    }
    assert ([device.name for device in found[1]], found[2]) == (["stray-1"], [])


async def test_a_program_of_the_release_before_gives_rows_to_the_right_tenant(pool: Pool) -> None:
    other = await add_tenant(pool, "other")
    device = await add_device(pool, "boiler-7", other)
    await add_series(pool, device, "a", "1", [(at(0), 1.0)])
    async with connection(pool) as conn:
        for kind in ("first", "second"):
            await conn.execute(
                "INSERT INTO incident (device_id, kind, detail, count) VALUES (%s, 'k', %s, 1)"
                " ON CONFLICT (device_id, kind) DO UPDATE SET id = DEFAULT, detail = excluded.detail",
                [device, kind],
            )
            await conn.execute(
                "INSERT INTO refusal (kind, day, count, last_at, last_detail) VALUES ('k', '2026-03-01', 1, now(), 'd')"
                " ON CONFLICT (kind, day) DO UPDATE SET count = refusal.count + 1"
            )
        found = await _rows(conn, "SELECT tenant_id FROM series UNION ALL SELECT tenant_id FROM incident")
        assert found == [(other,), (other,)]


async def test_what_was_there_before_gets_the_tenant_of_its_device(empty_database: str, tmp_path: Path) -> None:
    for migration in read_migrations():
        if migration.number < 9:
            (tmp_path / migration.name).write_text(migration.text)
    await migrate(empty_database, folder=tmp_path)
    statements = (
        "INSERT INTO tenant (name, title) VALUES ('other', 'Other')",
        "INSERT INTO device (name, tenant_id) VALUES ('amber-1', 1), ('birch-1', 2)",
        "INSERT INTO series (device_id, name, unit) SELECT id, 'a', '1' FROM device",
        "INSERT INTO stream (device_id, epoch, first_seq, contiguous_upto, max_seq)"
        " SELECT id, substr(sha256(name::bytea), 1, 16), 1, 1, 1 FROM device",
        "INSERT INTO incident (device_id, kind, detail) SELECT id, 'k', 'd' FROM device",
        "INSERT INTO incident (kind, detail) VALUES ('k', 'd')",
        "INSERT INTO dead_letter (device, topic, code, detail) SELECT name, 't', 'c', 'd' FROM device",
        "INSERT INTO dead_letter (device, topic, code, detail) VALUES ('nobody-1', 't', 'c', 'd')",
        "INSERT INTO device_log (device_id, run, number, level, module, text, data)"
        " SELECT id, 'r', 1, 30, 'm', 't', '{}' FROM device",
    )
    async with await psycopg.AsyncConnection.connect(empty_database, autocommit=True) as conn:
        for statement in statements:
            await conn.execute(statement.encode())
        await migrate(empty_database)
        for table in ("series", "stream", "device_log"):
            wrong = (
                f"SELECT count(*) FROM {table} t JOIN device d ON d.id = t.device_id WHERE t.tenant_id <> d.tenant_id"
            )
            assert await _rows(conn, wrong) == [(0,)], table
        letters = await _rows(conn, "SELECT device, tenant_id FROM dead_letter ORDER BY device")
        assert letters == [("amber-1", 1), ("birch-1", 2), ("nobody-1", 1)]
        assert await _rows(conn, "SELECT tenant_id FROM incident ORDER BY device_id") == [(1,), (2,), (None,)]


@pytest.fixture
def role(postgres_server: str) -> Iterator[str]:
    """A name for a role, which is dropped after the test."""
    name = f"wayside_app_{secrets.token_hex(4)}"
    yield name
    with psycopg.connect(postgres_server, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.fixture
def guest(postgres_server: str, database: str) -> Iterator[str]:
    """The conninfo of a role that may log in and nothing else."""
    name = f"wayside_guest_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_server, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'guest'".encode())
    yield psycopg.conninfo.make_conninfo(database, user=name, password="guest")
    with psycopg.connect(postgres_server, autocommit=True) as conn:
        conn.execute(f"DROP ROLE {name}".encode())


async def _ensure(conninfo: str, role: str) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await ensure_app_role(conn, role)


async def test_runners_in_several_databases_make_the_role_at_once(
    role: str, database: str, empty_database: str, guest: str
) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(_user(guest))))
    other = psycopg.conninfo.make_conninfo(guest, dbname=psycopg.conninfo.conninfo_to_dict(empty_database)["dbname"])
    await asyncio.gather(*(_ensure(conninfo, role) for conninfo in [guest, other] * 6))
    async with await psycopg.AsyncConnection.connect(guest, autocommit=True, options=f"-c role={role}") as conn:
        assert await _rows(conn, "SELECT current_user::text") == [(role,)]


async def test_who_may_not_make_the_role_is_told_what_to_have_typed(role: str, database: str, guest: str) -> None:
    with pytest.raises(ConfigError) as missing:
        await _ensure(guest, role)
    user = _user(guest)
    assert missing.value.message.endswith(f'CREATE ROLE {role} NOLOGIN; GRANT {role} TO "{user}";')
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} NOLOGIN".encode())
        with pytest.raises(ConfigError) as barred:
            await _ensure(guest, role)
        typed = barred.value.message.partition("type: ")[2]
        assert typed == f'GRANT {role} TO "{user}";'
        conn.execute(typed.encode())
        await _ensure(guest, role)
        conn.execute(f"ALTER ROLE {role} BYPASSRLS".encode())
        with pytest.raises(ConfigError, match="bound by no policy"):
            await _ensure(guest, role)


def _user(conninfo: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(conninfo)["user"])
