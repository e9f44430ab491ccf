"""API keys and refusals in PostgreSQL: adapters for identity's Protocols."""

from datetime import UTC, datetime

from psycopg.rows import class_row

from wayside_server.domain.audit import Enter
from wayside_server.identity.keys import KeyRecord, NewKey
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

    async def add_key(self, new: NewKey, person: str | None, enter: Enter) -> KeyRecord:
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
        async with connection(self._pool) as conn, conn.transaction():
            await conn.execute(_SQL["add_key"], values)
            cursor = conn.cursor(row_factory=class_row(KeyRecord))
            (made,) = await (await cursor.execute(_SQL["find_key"], {"prefix": new.prefix})).fetchall()
            await enter()
            return made

    async def find_key(self, prefix: str) -> KeyRecord | None:
        """As `KeyStore`."""
        return next(iter(await self._keys("find_key", {"prefix": prefix})), None)

    async def list_keys(self, tenant_id: int | None = None) -> list[KeyRecord]:
        """As `KeyStore`."""
        return await self._keys("list_keys", {"tenant_id": tenant_id})

    async def revoke_key(self, prefix: str, now: datetime, enter: Enter, *, tenant_id: int | None = None) -> bool:
        """As `KeyStore`."""
        async with connection(self._pool) as conn, conn.transaction():
            values = {"prefix": prefix, "now": now, "tenant_id": tenant_id}
            revoked = (await conn.execute(_SQL["revoke_key"], values)).rowcount > 0
            if revoked:
                await enter()
            return revoked

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
