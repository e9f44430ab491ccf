import asyncio
import secrets
from pathlib import Path

import psycopg
import pytest

from wayside_server.errors import ConfigError, StorageError
from wayside_server.storage.database import connection, open_pool
from wayside_server.storage.schema import migrate, pending, read_migrations


async def test_migrating_twice_and_at_once_applies_each_file_once(empty_database: str) -> None:
    first, second = await asyncio.gather(migrate(empty_database), migrate(empty_database))
    names = [migration.name for migration in read_migrations()]
    assert sorted(first + second) == names
    assert await migrate(empty_database) == []
    async with open_pool(empty_database) as pool, connection(pool) as conn:
        assert await pending(conn) == []


async def test_a_changed_migration_is_refused(empty_database: str, tmp_path: Path) -> None:
    file = tmp_path / "0001_pre_first.sql"
    file.write_text("CREATE TABLE a (x int);\n")
    assert await migrate(empty_database, folder=tmp_path) == ["0001_pre_first.sql"]
    file.write_text("CREATE TABLE a (x bigint);\n")
    with pytest.raises(ConfigError, match=r"0001_pre_first\.sql was applied .* in another form"):
        await migrate(empty_database, folder=tmp_path)


async def test_post_migrations_wait_and_indexes_are_built_concurrently(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_pre_a.sql").write_text("CREATE TABLE a (x int);\n")
    (tmp_path / "0002_post_b.sql").write_text(
        "-- wayside: no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS a_x;\nCREATE INDEX CONCURRENTLY a_x ON a (x);\n"
    )
    assert await migrate(empty_database, post=False, folder=tmp_path) == ["0001_pre_a.sql"]
    assert await migrate(empty_database, folder=tmp_path) == ["0002_post_b.sql"]


async def test_a_migration_waits_for_a_busy_table_without_blocking_it_for_long(
    empty_database: str, tmp_path: Path
) -> None:
    (tmp_path / "0001_pre_a.sql").write_text("CREATE TABLE a (x int);\n")
    await migrate(empty_database, folder=tmp_path)
    (tmp_path / "0002_pre_b.sql").write_text("ALTER TABLE a ADD COLUMN y int;\n")
    async with await psycopg.AsyncConnection.connect(empty_database) as busy:
        await busy.execute("INSERT INTO a VALUES (1)")
        running = asyncio.create_task(migrate(empty_database, folder=tmp_path))
        async with await psycopg.AsyncConnection.connect(empty_database, autocommit=True) as other:
            # Waits behind the ALTER's lock request, then passes when that request gives up.
            await other.execute("SET lock_timeout = '20s'")
            while not running.done():
                await other.execute("INSERT INTO a VALUES (2)")
                waiting = await other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if (await waiting.fetchone()) == (1,):
                    break
            await other.execute("INSERT INTO a VALUES (3)")
        assert not running.done()
        await busy.commit()
    assert await running == ["0002_pre_b.sql"]


@pytest.mark.parametrize("names", [["1_pre_a.sql"], ["0001_pre_a.sql", "0001_post_b.sql"]])
def test_misnamed_migrations_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(ConfigError):
        read_migrations(tmp_path)


@pytest.mark.parametrize("setting", ["synchronous_commit = off", "synchronous_commit = local"])
async def test_a_database_that_could_lose_a_commit_is_refused(empty_database: str, setting: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET {setting}".encode())
    with pytest.raises(ConfigError, match="set synchronous_commit = on"):
        async with open_pool(empty_database):
            pass


async def test_a_database_that_is_away_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        await migrate(f"host={tmp_path} dbname=wayside")


async def test_a_conninfo_that_cannot_be_read_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match=r"^database\.url cannot be read: "):
        await migrate("postgresql://wayside@db.example/wayside?sslmod=require")


async def test_a_role_that_may_make_no_tables_is_told_what_it_needs(empty_database: str) -> None:
    role = f"wayside_guest_{secrets.token_hex(4)}"
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'guest'".encode())
        guest = psycopg.conninfo.make_conninfo(empty_database, user=role, password="guest")
        try:
            with pytest.raises(ConfigError, match=r"may not make the schema: .*; let it own the database"):
                await migrate(guest)
        finally:
            conn.execute(f"DROP ROLE {role}".encode())
