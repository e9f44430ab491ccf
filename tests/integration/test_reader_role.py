"""Who only answers for tenants logs in as nobody else, so that a statement smuggled into a question leads nowhere."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from wayside_server.app import storage_on
from wayside_server.config import DatabaseSettings, ServerSettings, load
from wayside_server.domain.limits import DeviceLimits
from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home
from wayside_server.storage.database import new_pool, open_pool
from wayside_server.storage.embedded import EmbeddedPostgres
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.roles import AS_APP
from wayside_server.storage.schema import migrate
from wayside_testkit.batches import Device, column
from wayside_testkit.telemetry import reading_of

ESCAPES = [
    "SET ROLE postgres",
    "SET ROLE wayside",
    "SET LOCAL ROLE pg_execute_server_program",
    "SET SESSION AUTHORIZATION postgres",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "SELECT pg_read_file('/etc/passwd')",
    "ALTER SYSTEM SET log_connections = on",
    "GRANT wayside TO wayside_reader",
    "ALTER ROLE wayside_reader SUPERUSER",
    "CREATE TABLE kept (x int)",
    "SELECT count(*) FROM api_key",
    "SELECT count(*) FROM sample",
]
LEAVES = ["", "RESET ROLE", "SET ROLE NONE", "SET SESSION AUTHORIZATION DEFAULT", "RESET SESSION AUTHORIZATION"]
"""What leads back to whom the connection belongs to."""


@pytest.fixture
def home() -> Iterator[Home]:
    made = Path(tempfile.mkdtemp(prefix="wayside-pg-"))
    yield Home(made)
    shutil.rmtree(made)


@pytest.fixture
def server(home: Home) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(home.postgres)
    made.start()
    yield made
    made.stop()


async def test_a_reading_connection_cannot_become_anybody_else(server: EmbeddedPostgres, home: Home) -> None:
    await migrate(server.conninfo)
    async with new_pool(server.conninfo) as pool:
        reading = storage_on(home, ServerSettings(), pool).reading
    for leave in LEAVES:
        for escape in ESCAPES:
            with psycopg.connect(reading, autocommit=True, options=AS_APP) as conn:
                conn.execute(leave.encode())
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(escape.encode())
        with psycopg.connect(reading, autocommit=True, options=AS_APP) as conn:
            conn.execute(leave.encode())
            who = conn.execute("SELECT current_user::text, session_user::text").fetchone()
        assert who is not None
        assert set(who) <= {"wayside_app", "wayside_reader"}, leave


async def test_the_owner_is_no_superuser_and_does_all_that_the_server_does(server: EmbeddedPostgres) -> None:
    await migrate(server.conninfo)
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        for escape in (*ESCAPES[:1], *ESCAPES[2:7], "SET ROLE wayside_reader"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(escape.encode())
    await _holds_a_tenant_apart(server)
    server.stop()
    server.start()
    assert await migrate(server.conninfo) == []
    await _holds_a_tenant_apart(server)


async def test_a_database_that_the_superuser_made_is_handed_over_with_all_that_is_in_it(
    server: EmbeddedPostgres,
) -> None:
    elsewhere = psycopg.conninfo.make_conninfo(server.superuser_conninfo, dbname="postgres")
    with psycopg.connect(elsewhere, autocommit=True) as conn:
        conn.execute("DROP DATABASE wayside")
        conn.execute("CREATE DATABASE wayside")
    await migrate(server.superuser_conninfo)
    server.stop()
    server.start()
    with psycopg.connect(server.conninfo) as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_shdepend WHERE refobjid = 'wayside'::regrole AND deptype = 'o'"
        ).fetchone()
        others = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind <> 'i' AND relowner <> 'wayside'::regrole"
            " UNION ALL SELECT policyname FROM pg_policies WHERE roles = '{postgres}'"
        ).fetchall()
    assert row is not None
    assert row[0] > 0
    assert others == []
    assert await migrate(server.conninfo) == []
    await _holds_a_tenant_apart(server)


async def _holds_a_tenant_apart(server: EmbeddedPostgres) -> None:
    """Ingest stores as the owner, and who reads sees it within its tenant only."""
    async with open_pool(server.conninfo) as pool, new_pool(server.reader_conninfo, options=AS_APP) as answering:
        await PostgresIngest(pool, "test", DeviceLimits()).settle([Device().item(column("t", [1.0, 2.0]))])
        own, other = (reading_of(answering, server.reader_conninfo, tenant_id) for tenant_id in (1, 2))
        assert [device.name for device in await own.devices(after="", search="", limit=9)] == ["boiler-7"]
        assert (await own.account("boiler-7", verify=True)).stored > 0
        assert not await other.devices(after="", search="", limit=9)


async def test_a_database_by_url_is_read_with_a_login_of_its_own_if_there_is_one(home: Home) -> None:
    for given, reading in (
        (DatabaseSettings(url="host=a user=wayside"), "host=a user=wayside"),
        (DatabaseSettings(url="host=a user=wayside", reader_url="host=a user=reader"), "host=a user=reader"),
    ):
        pool = new_pool("host=a user=wayside")
        assert storage_on(home, ServerSettings(database=given), pool).reading == reading
    home.settings_file.write_text('[database]\nreader_url = "host=a user=reader"\n')
    with pytest.raises(ConfigError, match="set both or none"):
        load(home)
