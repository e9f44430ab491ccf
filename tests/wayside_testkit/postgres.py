"""A real PostgreSQL for tests: one server a test process, one freshly migrated database a test.

The server is an embedded one, or the one that the environment variable WAYSIDE_TEST_DATABASE_URL names: any conninfo
of a superuser. Databases are made there and dropped; nothing else of it is touched.
"""

import asyncio
import itertools
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from wayside_server.storage.database import Pool, open_pool
from wayside_server.storage.embedded import EmbeddedPostgres
from wayside_server.storage.schema import migrate

SERVER_VARIABLE = "WAYSIDE_TEST_DATABASE_URL"
# Several test processes may share a server.
_PREFIX = f"wayside_test_{secrets.token_hex(4)}"
_TEMPLATE = f"{_PREFIX}_template"
_numbers = itertools.count(1)


def kill_postgres(server: EmbeddedPostgres) -> None:
    """Kills the postmaster with SIGKILL and waits until it is gone; `server.start()` recovers."""
    pid = server.pid
    if pid is None:
        raise RuntimeError("PostgreSQL is not running")
    os.kill(pid, signal.SIGKILL)
    while server.pid is not None:
        os.sched_yield()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The conninfo of the running server of this test process, with a migrated template database. Not for killing."""
    given = os.environ.get(SERVER_VARIABLE)
    with nullcontext(given) if given else _embedded() as server, _database(server, "template0", _TEMPLATE) as template:
        asyncio.run(migrate(template))
        _end_connections(server, _TEMPLATE)
        yield server


def _end_connections(server: str, name: str) -> None:
    """TimescaleDB's scheduler connects to each database that has the extension; CREATE DATABASE refuses a template
    with connections."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])


@contextmanager
def _embedded() -> Iterator[str]:
    # pytest's own temporary folders can be too long for a Unix socket.
    folder = Path(tempfile.mkdtemp(prefix="wayside-pg-"))
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        yield server.superuser_conninfo
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    """The conninfo of a database with nothing in it; dropped after the test."""
    with _database(postgres_server, "template0") as conninfo:
        yield conninfo


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """The conninfo of a freshly migrated database; dropped after the test."""
    with _database(postgres_server, _TEMPLATE) as conninfo:
        yield conninfo


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """An open pool on `database`."""
    async with open_pool(database, max_size=4) as opened:
        yield opened


@contextmanager
def _database(server: str, template: str, name: str | None = None) -> Iterator[str]:
    name = name or f"{_PREFIX}_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    # FORCE also ends connections that a failed test left open.
    drop = sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create)
    try:
        yield psycopg.conninfo.make_conninfo(server, dbname=name)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(drop)
