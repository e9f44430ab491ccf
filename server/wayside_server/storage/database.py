"""Connections to PostgreSQL: the pool, what it insists on, and the errors it turns into ours."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from wayside_server.errors import ConfigError, StorageError
from wayside_server.storage.statements import load_statements

_SQL = load_statements("database")

MIN_SERVER_VERSION = 15
ACQUIRE_TIMEOUT_S = 10.0
"""A request that finds every connection busy for this long is better told so than left hanging."""

Connection: TypeAlias = psycopg.AsyncConnection[tuple[object, ...]]
Pool: TypeAlias = AsyncConnectionPool[Connection]

_DURABLE = {
    "synchronous_commit": ("on", "remote_apply"),
    "fsync": ("on",),
    "full_page_writes": ("on",),
}


def new_pool(conninfo: str, *, min_size: int = 1, max_size: int = 8, options: str = "") -> Pool:
    """A pool that is still closed: `async with` opens it, and waits for no database; see `check_database`.

    Its connections are in autocommit mode and speak UTC; `options` are more of what a session begins with.
    """
    return AsyncConnectionPool(
        conninfo,
        connection_class=psycopg.AsyncConnection[tuple[object, ...]],
        kwargs={"autocommit": True, "options": f"-c timezone=UTC -c DateStyle=ISO {options}", "connect_timeout": 10},
        min_size=min_size,
        max_size=max_size,
        timeout=ACQUIRE_TIMEOUT_S,
        check=AsyncConnectionPool.check_connection,
        # The pool gives up on a database that stays away, and then tries afresh on the next request.
        reconnect_timeout=60.0,
        open=False,
    )


@asynccontextmanager
async def open_pool(conninfo: str, *, min_size: int = 1, max_size: int = 8) -> AsyncIterator[Pool]:
    """An open pool whose database has been checked; closed on leaving.

    Raises:
        StorageError: the database is away.
        ConfigError: as `check_database`.
    """
    async with new_pool(conninfo, min_size=min_size, max_size=max_size) as pool:
        async with connection(pool) as conn:
            await check_database(conn)
        yield pool


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of `pool`, with errors translated as `translated` does."""
    with translated():
        async with pool.connection() as conn:
            yield conn


@contextmanager
def translated() -> Iterator[None]:
    """Turns what a database can do to us at any moment into StorageError; what only a bug causes stays as it is.

    Raises:
        StorageError: connection lost, no connection free, deadlock, disk full, shutting down, query cancelled.
    """
    try:
        yield
    except (psycopg.OperationalError, PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise StorageError(f"the database is away or could not finish: {_first_line(error)}") from error
    except psycopg.InterfaceError as error:
        if "closed" not in str(error):
            raise
        raise StorageError(f"the connection to the database was lost: {_first_line(error)}") from error


async def check_database(conn: Connection) -> None:
    """Insists on what the promise rests on.

    Raises:
        ConfigError: PostgreSQL is older than 15, or a commit would not be durable; it names the setting and the fix.
    """
    version = conn.info.server_version // 10_000
    if version < MIN_SERVER_VERSION:
        raise ConfigError(f"PostgreSQL {version} is too old; use {MIN_SERVER_VERSION} or newer")
    cursor = conn.cursor(row_factory=dict_row)
    row = await (await cursor.execute(_SQL["durability"])).fetchone() or {}
    for name, wanted in _DURABLE.items():
        if row.get(name) not in wanted:
            raise ConfigError(
                f"PostgreSQL has {name} = {row.get(name)}, so an acknowledged sample could be lost; "
                f"set {name} = on in postgresql.conf and for this role and database (ALTER ROLE … RESET {name})"
            )


async def fetch(conn: Connection, statement: str, columns: Mapping[str, Any]) -> list[Any]:
    """All rows of `statement`."""
    return await (await conn.execute(statement, columns)).fetchall()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
