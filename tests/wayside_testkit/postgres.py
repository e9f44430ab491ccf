"""A real PostgreSQL for tests: one server a test process, one freshly migrated database a test."""

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from wayside_server.storage.database import Pool, open_pool
from wayside_server.storage.embedded import EmbeddedPostgres
from wayside_server.storage.schema import migrate

TEMPLATE = "wayside_template"
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
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The running server of this test process, with a migrated template database. Not for killing."""
    # pytest's own temporary folders can be too long for a Unix socket.
    folder = Path(tempfile.mkdtemp(prefix="wayside-pg-"))
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        asyncio.run(migrate(_conninfo(server, TEMPLATE)))
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def empty_database(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The conninfo of a database with nothing in it; dropped after the test."""
    with _database(postgres_server, "template1") as conninfo:
        yield conninfo


@pytest.fixture
def database(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The conninfo of a freshly migrated database; dropped after the test."""
    with _database(postgres_server, TEMPLATE) as conninfo:
        yield conninfo


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """An open pool on `database`."""
    async with open_pool(database, max_size=4) as opened:
        yield opened


def _conninfo(server: EmbeddedPostgres, name: str) -> str:
    return psycopg.conninfo.make_conninfo(server.conninfo, dbname=name)


@contextmanager
def _database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    # FORCE also ends connections that a failed test left open.
    drop = sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute(create)
        try:
            yield _conninfo(server, name)
        finally:
            connection.execute(drop)
