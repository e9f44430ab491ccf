"""Enrolment tokens and API keys in PostgreSQL: adapters for identity's Protocols."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from cryptography import x509
from psycopg.rows import class_row

from wayside_server.identity.enrolment import EnrolmentTransaction, StoredToken
from wayside_server.identity.keys import KeyRecord, NewKey
from wayside_server.storage.database import Connection, Pool, connection
from wayside_server.storage.statements import load_statements

_SQL = load_statements("identity")

MAX_DETAIL = 500


class PostgresIdentity:
    """The identity stores of one database; every method raises StorageError when it is away.

    Args:
        pool: an open pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add_token(self, digest: bytes, device_name: str | None, expires_at: datetime) -> None:
        """As `EnrolmentStore`."""
        await self._run("add_token", {"digest": digest, "device_name": device_name, "expires_at": expires_at})

    @asynccontextmanager
    async def enrolment(self) -> AsyncIterator[EnrolmentTransaction]:
        """As `EnrolmentStore`."""
        async with connection(self._pool) as conn, conn.transaction():
            yield _Enrolment(conn)

    async def count_refusal(self, kind: str, detail: str, now: datetime) -> None:
        """As `Refusals`."""
        # PostgreSQL takes neither NUL nor lone surrogates in text, and the detail may quote a stranger.
        clean = detail.encode("utf-8", "replace").decode().replace("\0", "�")[:MAX_DETAIL]
        await self._run("count_refusal", {"kind": kind, "day": now.astimezone(UTC).date(), "now": now, "detail": clean})

    async def add_key(self, new: NewKey, person: str | None) -> KeyRecord:
        """As `KeyStore`."""
        values = {
            "prefix": new.prefix,
            "digest": new.digest,
            "label": new.label,
            "now": new.now,
            "expires_at": new.expires_at,
            "tenant_id": new.tenant_id,
            "scopes": list(new.scopes),
            "made_by": new.made_by,
            "parent": new.parent,
            "person": person,
        }
        await self._run("add_key", values)
        return (await self._keys("find_key", {"prefix": new.prefix}))[0]

    async def find_key(self, prefix: str) -> KeyRecord | None:
        """As `KeyStore`."""
        return next(iter(await self._keys("find_key", {"prefix": prefix})), None)

    async def list_keys(self, tenant_id: int | None = None) -> list[KeyRecord]:
        """As `KeyStore`."""
        return await self._keys("list_keys", {"tenant_id": tenant_id})

    async def revoke_key(self, prefix: str, now: datetime, tenant_id: int | None = None) -> bool:
        """As `KeyStore`."""
        return await self._run("revoke_key", {"prefix": prefix, "now": now, "tenant_id": tenant_id}) > 0

    async def touch_key(self, key_id: int, now: datetime) -> None:
        """As `KeyStore`."""
        await self._run("touch_key", {"key_id": key_id, "now": now})

    async def _run(self, name: str, values: dict[str, object]) -> int:
        async with connection(self._pool) as conn:
            return (await conn.execute(_SQL[name], values)).rowcount

    async def _keys(self, name: str, values: dict[str, object]) -> list[KeyRecord]:
        async with connection(self._pool) as conn:
            cursor = conn.cursor(row_factory=class_row(KeyRecord))
            return await (await cursor.execute(_SQL[name], values)).fetchall()


class _Enrolment:
    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def token(self, digest: bytes) -> StoredToken | None:
        cursor = self._conn.cursor(row_factory=class_row(StoredToken))
        return await (await cursor.execute(_SQL["lock_token"], {"digest": digest})).fetchone()

    async def device(self, name: str) -> int:
        await self._conn.execute(_SQL["add_device"], {"name": name})
        row = await (await self._conn.execute(_SQL["device_id"], {"name": name})).fetchone()
        assert row is not None, "the device was inserted or found in this transaction"
        assert isinstance(row[0], int), "device.id is an integer"
        return row[0]

    async def issued(self, token_id: int, device_id: int, certificate: x509.Certificate, now: datetime) -> None:
        await self._conn.execute(_SQL["burn_token"], {"token_id": token_id, "device_id": device_id, "now": now})
        values = {
            "serial": certificate.serial_number,
            "device_id": device_id,
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
        }
        await self._conn.execute(_SQL["add_certificate"], values)
