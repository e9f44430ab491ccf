"""Revocations in PostgreSQL: adapters for identity's Protocols."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal

import psycopg
from psycopg.rows import dict_row

from wayside_server.domain.watching import LIST_STALE, REVOKED_CONNECTS
from wayside_server.errors import StorageError
from wayside_server.identity.crl import Reason, Revoked
from wayside_server.identity.issuing import TenantFullError
from wayside_server.identity.revocation import Cause, Ending, Mark, Marked, PublishingTransaction
from wayside_server.storage.database import Connection, Pool, connection, translated
from wayside_server.storage.incidents import enter_incidents
from wayside_server.storage.quotas import may_keep_devices
from wayside_server.storage.statements import load_statements

_SQL = load_statements("revocation")

LISTEN_RETRY_S = 1.0
ENDING_KEY = 7_396_011
"""Any number, the same in every release: the advisory lock of whoever ends sessions."""


class PostgresRevocations:
    """Implements `identity.revocation.RevocationStore`.

    Args:
        pool: an open pool.
        conninfo: the same database, for the connection that listens.
    """

    def __init__(self, pool: Pool, conninfo: str) -> None:
        self._pool = pool
        self._conninfo = conninfo

    async def is_revoked(self, serial: int) -> bool:
        """As `RevocationList`."""
        async with connection(self._pool) as conn:
            row = await (await conn.execute(_SQL["is_revoked"], {"serial": Decimal(serial)})).fetchone()
        return row is not None and bool(row[0])

    async def revoke(self, mark: Mark, record: Callable[[Marked], Awaitable[None]]) -> Marked | None:
        """As `RevocationStore`."""
        return await self._change("revoke", mark, record)

    async def restore(self, mark: Mark, record: Callable[[Marked], Awaitable[None]]) -> Marked | None:
        """As `RevocationStore`."""
        return await self._change("restore", mark, record)

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[PublishingTransaction]:
        """As `RevocationStore`."""
        async with connection(self._pool) as conn, conn.transaction():
            row = await (await conn.execute(_SQL["lock_list"])).fetchone()
            assert row is not None, "the migration enters the row"
            yield _Publishing(conn, int(str(row[0])), str(row[1]).encode())

    @asynccontextmanager
    async def sessions_to_end(self) -> AsyncIterator[Sequence[Ending] | None]:
        """As `RevocationStore`."""
        async with connection(self._pool) as conn, conn.transaction():
            row = await (await conn.execute(_SQL["try_lock"], {"key": ENDING_KEY})).fetchone()
            if row is None or not row[0]:
                yield None
                return
            async with conn.cursor(row_factory=dict_row) as cursor:
                rows = await (await cursor.execute(_SQL["sessions_to_end"])).fetchall()
            yield [Ending(row["device"], Cause(row["cause"]), row["since"]) for row in rows]

    async def session_ended(self, ending: Ending, now: datetime, incident: str | None) -> None:
        """As `RevocationStore`."""
        async with connection(self._pool) as conn, conn.transaction():
            values = {"device": ending.device, "since": ending.since, "now": now}
            await conn.execute(_SQL["forget_asked"], values)
            row = await (await conn.execute(_SQL["session_ended"], values)).fetchone()
            if incident is None:
                return
            if ending.cause is Cause.DELETED:
                await enter_incidents(conn, [(None, REVOKED_CONNECTS, f"{ending.device}: {incident}", 1)])
            elif row is not None:
                await enter_incidents(conn, [(int(str(row[0])), REVOKED_CONNECTS, incident, 1)])

    async def not_published(self, reason: str) -> None:
        """As `RevocationStore`."""
        async with connection(self._pool) as conn, conn.transaction():
            await enter_incidents(conn, [(None, LIST_STALE, f"the newest list could not be written: {reason}", 1)])

    async def watch(self, changed: asyncio.Event) -> None:
        """Sets `changed` whenever something was revoked or restored, and after each time that nobody listened."""
        while True:
            try:
                await self._listen(changed)
            except StorageError:
                await asyncio.sleep(LISTEN_RETRY_S)

    async def _listen(self, changed: asyncio.Event) -> None:
        with translated():
            async with await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True, connect_timeout=10, keepalives_idle=15, keepalives_interval=5
            ) as conn:
                await conn.execute(_SQL["listen"])
                changed.set()
                async for _ in conn.notifies():
                    changed.set()

    async def _change(self, what: str, mark: Mark, record: Callable[[Marked], Awaitable[None]]) -> Marked | None:
        async with connection(self._pool) as conn, conn.transaction():
            values: dict[str, object] = {
                "device": mark.device,
                "tenant_id": mark.tenant_id,
                "by": mark.by,
                "reason": mark.reason.value,
                "hold": Reason.HOLD.value,
                "now": mark.at,
            }
            row = await (await conn.execute(_SQL[f"{what}_device"], values)).fetchone()
            if row is None:
                return None
            values["device_id"] = row[0]
            if what == "revoke":
                await conn.execute(_SQL["revoke_certificates"], values)
                released = 0
            else:
                released = (await conn.execute(_SQL["release_certificates"], values)).rowcount
                await conn.execute(_SQL["release_serials"], values)
            count = await (await conn.execute(_SQL["count_revoked"], values)).fetchone()
            assert count is not None, "an aggregate has a row"
            marked = Marked(int(str(row[1])), int(str(count[0])), released, revoked=what == "revoke" or bool(row[2]))
            if what == "restore" and marked.revoked and not await may_keep_devices(conn, marked.tenant_id):
                raise TenantFullError
            await record(marked)
            await conn.execute(_SQL["notify"])
        return marked


class _Publishing:
    def __init__(self, conn: Connection, number: int, pem: bytes) -> None:
        self._conn = conn
        self.number = number
        self.pem = pem

    async def revoked(self, now: datetime) -> Sequence[Revoked]:
        async with self._conn.cursor(row_factory=dict_row) as cursor:
            rows = await (await cursor.execute(_SQL["revoked"], {"now": now})).fetchall()
        return [Revoked(int(row["serial"]), row["revoked_at"], Reason(row["reason"])) for row in rows]

    async def adopt(self, unknown: Sequence[Revoked]) -> None:
        columns = {
            "serials": [Decimal(one.serial) for one in unknown],
            "times": [one.revoked_at for one in unknown],
            "reasons": [one.reason.value for one in unknown],
        }
        await self._conn.execute(_SQL["adopt"], columns)

    async def keep(self, number: int, pem: bytes) -> None:
        await self._conn.execute(_SQL["keep_list"], {"number": number, "pem": pem.decode()})
