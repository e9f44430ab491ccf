"""The server's composition root. The path of a sample, from the broker on:

1. The device publishes a batch to `wayside/1/<device>/up`; the broker lets it, for its certificate has that name.
2. `ingest.mqtt` takes it from the shared subscription, without acknowledging it yet.
3. `ingest.decode` takes the device from the topic and the batch from the payload, or condemns the message.
4. `ingest.intake` gathers what has arrived in the last few milliseconds into one group.
5. `storage.ingest` opens a transaction, and `domain.ingest` decides from the ledger what is new, repeated or foreign.
6. Series are found or made, the samples go in by binary COPY, ledger and watermarks and latest values follow.
7. The transaction is committed with `synchronous_commit` on; what broke a rule alone is a dead letter by now.
8. Only then ingest publishes the acknowledgement to `…/ack`, and PUBACKs if the session is still the same.
9. `api` and `console` read it through `storage.reading`: history, latest values, the account, exports.
10. `jobs` keeps room for the samples to come.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from wayside_server.config import ServerSettings
from wayside_server.errors import ConfigError, StorageError
from wayside_server.identity.home import Home
from wayside_server.identity.installation import load_authority
from wayside_server.identity.tenants import Tenants
from wayside_server.identity.tokens import Tokens
from wayside_server.storage.audit import PostgresAudit
from wayside_server.storage.database import Pool, connection, new_pool, open_pool
from wayside_server.storage.embedded import EmbeddedPostgres
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.partitions import ensure_near_partitions
from wayside_server.storage.schema import migrate, pending
from wayside_server.storage.tenants import PostgresTenants
from wayside_server.supervise import all_or_none, keep_running

log = structlog.get_logger(__name__)

WAIT_BASE_S = 0.2
WAIT_CAP_S = 5.0
WATCH_S = 0.5
"""How soon a PostgreSQL of our own that has died is started again."""
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client keeps counters in this folder when it is set before the first import."""
PARTITIONS_EVERY_S = 3600.0
"""Partitions are made two weeks ahead, so this may fail for days before anyone notices."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The open database.

    Args:
        conninfo: how its owner connects.
        reading: how those connect who only answer for tenants.
        pool: open connections of the owner.
    """

    conninfo: str
    reading: str
    pool: Pool

    @property
    def identity(self) -> PostgresIdentity:
        """Keys, refusals."""
        return PostgresIdentity(self.pool)

    @property
    def enrolment(self) -> PostgresEnrolment:
        """Tokens, certificates, devices that wait."""
        return PostgresEnrolment(self.pool)

    @property
    def audit(self) -> PostgresAudit:
        """The audit log."""
        return PostgresAudit(self.pool, utc_now)

    def tokens(self, home: Home) -> Tokens:
        """Enrolment tokens on this database.

        Raises:
            ConfigError: the authority's files are missing or broken.
        """
        return Tokens(load_authority(home).fingerprint, self.enrolment, self.audit, utc_now)

    def tenants(self) -> Tenants:
        """Tenants on this database."""
        return Tenants(PostgresTenants(self.pool), self.audit)


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def conninfo(home: Home, settings: ServerSettings) -> str:
    """How the owner connects to the installation's database, whether it runs or not."""
    return settings.database.url or EmbeddedPostgres(home.postgres).conninfo


def storage_on(home: Home, settings: ServerSettings, pool: Pool) -> Storage:
    """The installation's database, on whose owner's connections `pool` is."""
    embedded, database = EmbeddedPostgres(home.postgres), settings.database
    reading = database.reader_url or database.url or embedded.reader_conninfo
    return Storage(conninfo(home, settings), reading, pool)


@asynccontextmanager
async def open_storage(home: Home, settings: ServerSettings) -> AsyncIterator[Storage]:
    """The installation's database, once it is there; for commands, which end by themselves.

    A PostgreSQL of our own that does not run is started for the time of the block, and migrated.

    Raises:
        StorageError: the database at the URL is away.
        ConfigError: it has not been migrated, or is not fit.
    """
    server = None if settings.database.url else EmbeddedPostgres(home.postgres)
    started = server is not None and await asyncio.to_thread(server.attach) is None
    try:
        if server is not None and started:
            await asyncio.to_thread(server.start)
            await migrate(server.conninfo)
        where = conninfo(home, settings)
        async with open_pool(where, max_size=2) as pool:
            async with connection(pool) as conn:
                if await pending(conn):
                    raise ConfigError(
                        f"the database has an older schema; run wayside-server migrate --home {home.path}"
                    )
            yield storage_on(home, settings, pool)
    finally:
        if server is not None and started:
            await asyncio.to_thread(server.stop)


async def run_migrate(home: Home, settings: ServerSettings) -> list[str]:
    """Brings the database to this version's schema, and says which migrations that took."""
    if settings.database.url:
        return await migrate(settings.database.url)
    server = EmbeddedPostgres(home.postgres)
    if await asyncio.to_thread(server.attach) is not None:
        return await migrate(server.conninfo)
    try:
        await asyncio.to_thread(server.start)
        return await migrate(server.conninfo)
    finally:
        await asyncio.to_thread(server.stop)


async def run_ingest(home: Home, settings: ServerSettings, instance: int) -> None:
    """One ingest session, until cancelled; waits for a database that is away.

    Args:
        home: the installation.
        settings: its settings.
        instance: 1 to 8; no two sessions that run at once may share it.
    """
    # Each role loads only what it runs: starting them all costs half as much.
    from wayside_server.app.ingest import serve

    await await_database(conninfo(home, settings))
    await serve(home, settings, instance, conninfo(home, settings))


async def run_api(home: Home, settings: ServerSettings) -> None:
    """REST API, console and enrolment over HTTPS, until cancelled; answers 503 while the database is away."""
    from wayside_server.app.web import serve

    async with new_pool(conninfo(home, settings)) as pool:
        await serve(home, settings, storage_on(home, settings, pool))


async def run_jobs(home: Home, settings: ServerSettings) -> None:
    """What must be done from time to time, until cancelled; waits for a database that is away."""
    from wayside_server.app.jobs import list_kept_alive, watch_identities

    where = conninfo(home, settings)
    from wayside_server.app.audit import tell_heads

    async with list_kept_alive(home, settings):
        await await_database(where)
    async with open_pool(where, max_size=4) as pool, all_or_none() as tasks:
        tasks.create_task(watch_identities(home, settings, pool, where))
        tasks.create_task(_make_room(pool))
        tasks.create_task(tell_heads(home, pool))


async def _make_room(pool: Pool) -> None:
    while True:
        try:
            async with connection(pool) as conn:
                await ensure_near_partitions(conn, time.time_ns() // 1000)
        except StorageError as error:
            log.warning("partitions could not be made ahead", reason=str(error))
        await asyncio.sleep(PARTITIONS_EVERY_S)


async def run_all(home: Home, settings: ServerSettings) -> None:
    """Every role as a process of its own, and the embedded PostgreSQL if there is no URL, until cancelled."""
    from wayside_server.app.jobs import list_kept_alive

    server = None if settings.database.url else EmbeddedPostgres(home.postgres)
    try:
        async with list_kept_alive(home, settings):
            if server is not None:
                await asyncio.to_thread(server.start)
            await _migrate_patiently(conninfo(home, settings))
        await _tell_unclaimed(home, settings)
        await asyncio.to_thread(_empty, home.metrics)
        roles = [["ingest", "--instance", str(n)] for n in range(1, settings.ingest.sessions + 1)]
        commands = [
            ["wayside_server", *role, "--home", str(home.path), "--supervised"] for role in (*roles, ["api"], ["jobs"])
        ]
        async with all_or_none() as group:
            if server is not None:
                group.create_task(_keep_postgres(server))
            group.create_task(keep_running(commands, {MULTIPROCESS_DIR: str(home.metrics)}))
    finally:
        if server is not None:
            await asyncio.to_thread(server.stop)


async def _tell_unclaimed(home: Home, settings: ServerSettings) -> None:
    from wayside_server.app.people import tell_unclaimed

    try:
        async with open_pool(conninfo(home, settings), max_size=1) as pool:
            await tell_unclaimed(home, settings, storage_on(home, settings, pool))
    except StorageError as error:
        log.warning("whether anybody has an account could not be asked", reason=str(error))


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


async def _keep_postgres(server: EmbeddedPostgres) -> None:
    while True:
        await asyncio.sleep(WATCH_S)
        if server.pid is None:
            log.error("PostgreSQL ended, starting it again")
            await asyncio.to_thread(server.start)


async def await_database(where: str) -> None:
    """Returns when the database answers and is migrated."""

    async def look() -> bool:
        async with open_pool(where, max_size=1) as pool, connection(pool) as conn:
            return not await pending(conn)

    await _patiently(look, "the database waits for its migrations")


async def _migrate_patiently(where: str) -> None:
    async def apply() -> bool:
        for name in await migrate(where):
            log.info("migrated", migration=name)
        return True

    await _patiently(apply, "")


async def _patiently(attempt: Callable[[], Awaitable[bool]], not_yet: str) -> None:
    """Tries until it is done, says so once, and backs off."""
    said = False
    pause_s = WAIT_BASE_S
    while True:
        try:
            if await attempt():
                return
            reason = not_yet
        except StorageError as error:
            reason = str(error)
        if not said:
            log.warning("waiting for the database", reason=reason)
            said = True
        await asyncio.sleep(pause_s)
        pause_s = min(WAIT_CAP_S, pause_s * 2)
