"""Brings the schema up to date, under load: versioned files, short lock waits, one runner at a time."""

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from wayside_server.errors import ConfigError, StorageError
from wayside_server.storage.database import Connection, check_database, translated
from wayside_server.storage.partitions import ensure_near_partitions
from wayside_server.storage.roles import ensure_app_role
from wayside_server.storage.statements import load_statements

_SQL = load_statements("schema")
_FOLDER = Path(__file__).parent / "migrations"
_FILE = re.compile(r"(\d{4})_(pre|post)_[a-z0-9_]+\.sql")

NO_TRANSACTION = "-- wayside: no-transaction"
LOCK_KEY = 7_396_001
"""Any number, the same in every release: the advisory lock of the runner."""
LOCK_TIMEOUT = "2s"
"""Statements behind a waiting ALTER TABLE wait too, so it may not wait long."""
ATTEMPTS = 60
RETRY_S = 1.0
RUNNER_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Migration:
    """One file.

    Args:
        number: its place in the order.
        name: the file's name.
        phase: 'pre', before the release's program starts, or 'post', when the one before it has ended.
        text: its SQL.
    """

    number: int
    name: str
    phase: str
    text: str

    @property
    def digest(self) -> bytes:
        """SHA-256 of the file."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def transactional(self) -> bool:
        """Whether it runs in one transaction. Files that begin with the marker hold what cannot."""
        return not self.text.startswith(NO_TRANSACTION)


def read_migrations(folder: Path = _FOLDER) -> list[Migration]:
    """Every migration in `folder`, in order.

    Raises:
        ConfigError: a file is misnamed, or a number is taken twice.
    """
    migrations: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise ConfigError(f"{path.name}: a migration is named NNNN_pre_name.sql or NNNN_post_name.sql")
        migrations.append(Migration(int(match[1]), path.name, match[2], path.read_text(encoding="utf-8")))
    if len({migration.number for migration in migrations}) < len(migrations):
        raise ConfigError(f"two migrations in {folder} have the same number; give the newer one the next number")
    return migrations


async def migrate(conninfo: str, *, post: bool = True, folder: Path = _FOLDER) -> list[str]:
    """Applies what is missing; safe beside running servers and other runners.

    Args:
        conninfo: the database.
        post: also run 'post' migrations, which the previous release's program does not survive.
        folder: where the files are.

    Returns:
        The names of the files applied.

    Raises:
        ConfigError: a file that was applied has changed, the database breaks `check_database`, its role may not make
            tables or the role that tenants are answered as, or `conninfo` cannot be read.
        StorageError: the database is away, or locks could not be had within a few minutes.
    """
    with translated(), _explained():
        conn = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, options="-c timezone=UTC")
        async with conn:
            await check_database(conn)
            await _become_runner(conn)
            await conn.execute(_SQL["create_schema_migration"])
            missing = [m for m in await pending(conn, folder) if post or m.phase == "pre"]
            if folder == _FOLDER:
                await ensure_app_role(conn)
            for migration in missing:
                await _apply_patiently(conn, migration)
            if folder == _FOLDER:
                await ensure_near_partitions(conn, time.time_ns() // 1000)
            return [migration.name for migration in missing]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        reason = error.diag.message_primary
        raise ConfigError(f"the database's role may not make the schema: {reason}; let it own the database") from error
    except psycopg.ProgrammingError as error:
        # Only what libpq itself refuses to read has no SQLSTATE.
        if error.sqlstate is not None:
            raise
        raise ConfigError(f"database.url cannot be read: {str(error).splitlines()[0]}") from error


async def pending(conn: Connection, folder: Path = _FOLDER) -> list[Migration]:
    """The migrations that `conn`'s database does not have yet.

    Raises:
        ConfigError: a file that was applied has changed since.
    """
    cursor = await conn.execute(_SQL["has_schema_migration"])
    known = await cursor.fetchone()
    applied: dict[object, object] = {}
    if known is not None and known[0]:
        applied = dict(await (await conn.execute(_SQL["applied"])).fetchall())  # type: ignore[arg-type]
    missing = []
    for migration in read_migrations(folder):
        digest = applied.get(migration.number)
        if digest is None:
            missing.append(migration)
        elif bytes(digest) != migration.digest:  # type: ignore[call-overload]
            raise ConfigError(
                f"{migration.name} was applied to this database in another form; restore the file that was released, "
                "and put the change into a new migration"
            )
    return missing


async def _become_runner(conn: Connection) -> None:
    """Polls, because a session that waits inside pg_advisory_lock holds a snapshot, and CREATE INDEX CONCURRENTLY,
    perhaps run by the one it waits for, waits for snapshots."""
    deadline = time.monotonic() + RUNNER_WAIT_S
    while True:
        row = await (await conn.execute(_SQL["try_lock"], {"key": LOCK_KEY})).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() > deadline:
            raise StorageError("another process has been migrating the database for ten minutes; end it and try again")
        await asyncio.sleep(RETRY_S)


async def _apply_patiently(conn: Connection, migration: Migration) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await _apply(conn, migration)
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if attempt == ATTEMPTS:
                raise
            await asyncio.sleep(RETRY_S)


async def _apply(conn: Connection, migration: Migration) -> None:
    row = {"number": migration.number, "name": migration.name, "digest": migration.digest}
    await conn.execute(_SQL["set_lock_timeout"], {"lock_timeout": LOCK_TIMEOUT})
    if migration.transactional:
        async with conn.transaction():
            await conn.execute(migration.text.encode())
            await conn.execute(_SQL["record"], row)
        return
    for statement in re.split(r";\s*\n", migration.text):
        if any(line and not line.startswith("--") for line in statement.splitlines()):
            await conn.execute(statement.encode())
    await conn.execute(_SQL["record"], row)
