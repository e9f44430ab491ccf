"""API keys and sessions in PostgreSQL: adapters for identity's Protocols."""

from datetime import UTC, datetime

from psycopg.rows import class_row

from wayside_server.identity.keys import KeyRecord
from wayside_server.storage.database import Pool, connection
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

    async def count_refusal(self, kind: str, detail: str, now: datetime, tenant_id: int | None = None) -> None:
        """As `Refusals`."""
        # PostgreSQL takes neither NUL nor lone surrogates in text, and the detail may quote a stranger.
        clean = detail.encode("utf-8", "replace").decode().replace("\0", "�")[:MAX_DETAIL]
        values = {"kind": kind, "day": now.astimezone(UTC).date(), "now": now, "detail": clean}
        if tenant_id is None:
            await self._run("count_refusal", values)
        else:
            await self._run("count_tenant_refusal", {**values, "tenant_id": tenant_id})

    async def add_key(
        self, prefix: str, digest: bytes, label: str, now: datetime, expires_at: datetime | None
    ) -> KeyRecord:
        """As `KeyStore`."""
        values = {"prefix": prefix, "digest": digest, "label": label, "now": now, "expires_at": expires_at}
        return (await self._keys("add_key", values))[0]

    async def find_key(self, prefix: str) -> KeyRecord | None:
        """As `KeyStore`."""
        return next(iter(await self._keys("find_key", {"prefix": prefix})), None)

    async def list_keys(self) -> list[KeyRecord]:
        """As `KeyStore`."""
        return await self._keys("list_keys", {})

    async def revoke_key(self, prefix: str, now: datetime) -> bool:
        """As `KeyStore`."""
        return await self._run("revoke_key", {"prefix": prefix, "now": now}) > 0

    async def touch_key(self, key_id: int, now: datetime) -> None:
        """As `KeyStore`."""
        await self._run("touch_key", {"key_id": key_id, "now": now})

    async def add_session(self, digest: bytes, key_id: int, now: datetime, expires_at: datetime) -> None:
        """As `KeyStore`."""
        await self._run("forget_sessions", {"now": now})
        await self._run("add_session", {"digest": digest, "key_id": key_id, "now": now, "expires_at": expires_at})

    async def session_key(self, digest: bytes, now: datetime) -> KeyRecord | None:
        """As `KeyStore`."""
        return next(iter(await self._keys("session_key", {"digest": digest, "now": now})), None)

    async def end_session(self, digest: bytes) -> None:
        """As `KeyStore`."""
        await self._run("end_session", {"digest": digest})

    async def add_link(self, digest: bytes, key_id: int, expires_at: datetime) -> None:
        """As `KeyStore`."""
        await self._run("add_link", {"digest": digest, "key_id": key_id, "expires_at": expires_at})

    async def spend_link(self, digest: bytes, now: datetime) -> KeyRecord | None:
        """As `KeyStore`."""
        return next(iter(await self._keys("spend_link", {"digest": digest, "now": now})), None)

    async def _run(self, name: str, values: dict[str, object]) -> int:
        async with connection(self._pool) as conn:
            return (await conn.execute(_SQL[name], values)).rowcount

    async def _keys(self, name: str, values: dict[str, object]) -> list[KeyRecord]:
        async with connection(self._pool) as conn:
            cursor = conn.cursor(row_factory=class_row(KeyRecord))
            return await (await cursor.execute(_SQL[name], values)).fetchall()
