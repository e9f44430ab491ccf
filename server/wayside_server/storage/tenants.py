"""Tenants in PostgreSQL: made, bounded, and deleted with all they have."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from wayside_server.domain.tenants import Quota, Tenant, Usage
from wayside_server.errors import StorageError
from wayside_server.identity.tenants import Alive, Removed
from wayside_server.storage.database import Connection, Pool, connection
from wayside_server.storage.statements import load_statements
from wayside_server.storage.tenant_rows import TenantRows, find_tenant_rows

_SQL = load_statements("tenants")

STEP_ROWS = 20_000
"""Deleted in one transaction: some tenths of a second, in which nobody waits for more than a row of the tenant's."""
SERIES_AT_ONCE = 1_000
"""Of so many it is asked at once which have samples."""
CLOSING = (
    *("end_keys", "end_tokens", "end_waiting", "hold_devices", "close"),
    *("keep_out", "forget_names", "keep_names", "end_sessions", "tell_of_revocations"),
)
"""In the order in which enrolment locks rows. Who was about to get a certificate has it by the fifth, or gets none."""
ROUNDS = 3
"""Devices that go on sending bring rows back; one that keeps up with this is not to be outrun."""


class PostgresTenants:
    """Implements `identity.tenants.TenantStore`.

    Args:
        pool: an open pool, of the owner.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, name: str, title: str, quota: Quota) -> Tenant | None:
        values = {"name": name, "title": title, **_columns(quota)}
        async with connection(self._pool) as conn:
            added = (await conn.execute(_SQL["add"], values)).rowcount
        return await self.find(name) if added else None

    async def every(self) -> Sequence[Tenant]:
        return await self._tenants(None)

    async def find(self, name: str) -> Tenant | None:
        return next(iter(await self._tenants(name)), None)

    async def limit(self, tenant_id: int, quota: Quota) -> None:
        async with connection(self._pool) as conn:
            await conn.execute(_SQL["limit"], {"tenant_id": tenant_id, **_columns(quota)})

    async def alive(self, tenant_id: int) -> Alive:
        rows = await self._rows("alive", {"tenant_id": tenant_id})
        return Alive([row["name"] for row in rows if row["online"]], [row["name"] for row in rows if row["certified"]])

    async def close(self, tenant_id: int) -> None:
        async with connection(self._pool) as conn, conn.transaction():
            for statement in CLOSING:
                await conn.execute(_SQL[statement], {"tenant_id": tenant_id})

    async def remove(self, tenant_id: int) -> AsyncGenerator[Removed, None]:
        async with connection(self._pool) as conn:
            rows = await find_tenant_rows(conn)
            removal = _Removal(conn, rows, tenant_id)
            for _ in range(ROUNDS):
                try:
                    for table in rows.tables:
                        async for step in removal.empty(table):
                            yield step
                except psycopg.errors.ForeignKeyViolation:
                    # Something was added below what was emptied already.
                    continue
                if not await removal.left():
                    return
        raise StorageError("devices of the tenant go on sending; revoke them, and delete it again")

    async def _tenants(self, name: str | None) -> Sequence[Tenant]:
        return [tenant_of(row) for row in await self._rows("list", {"name": name})]

    async def _rows(self, statement: str, values: dict[str, Any]) -> list[DictRow]:
        async with connection(self._pool) as conn, conn.cursor(row_factory=dict_row) as cursor:
            return await (await cursor.execute(_SQL[statement], values)).fetchall()


def tenant_of(row: DictRow) -> Tenant:
    """The tenant of a row as the statement `list` gives it."""
    return Tenant(
        id=row["id"],
        name=row["name"],
        title=row["title"],
        created_at=row["created_at"],
        closed_at=row["closed_at"],
        quota=Quota(row["max_devices"], row["max_series"], row["max_samples"]),
        usage=Usage(row["devices"], row["series"], row["samples"]),
    )


async def count_rows(conn: Connection, tenant_id: int) -> dict[str, int]:
    """How many rows of a tenant each table has that can have any."""
    rows = await find_tenant_rows(conn)
    return {table: await _Removal(conn, rows, tenant_id).count(table) for table in rows.tables}


class _Removal:
    """Deletes one tenant's rows on one connection, each step a transaction of its own."""

    def __init__(self, conn: Connection, rows: TenantRows, tenant_id: int) -> None:
        self._conn = conn
        self._rows = rows
        self._tenant_id = tenant_id
        self._removed: dict[str, int] = {}

    async def empty(self, table: str) -> AsyncGenerator[Removed, None]:
        """Deletes all rows that `table` has of the tenant."""
        if table in self._rows.samples:
            async for series_id in self._series_in(table):
                async for step in self._steps("delete_samples", table, {"id": series_id}):
                    yield step
            return
        for theirs in self._rows.of(table, self._tenant_id):
            async for step in self._steps("delete_some", table, {}, theirs):
                yield step

    async def left(self) -> int:
        """Rows that are there still, or again."""
        return sum([await self.count(table) for table in self._rows.tables])

    async def count(self, table: str) -> int:
        """Rows of the tenant in `table`."""
        theirs = sql.SQL(" OR ").join(self._rows.of(table, self._tenant_id))
        statement = sql.SQL(_SQL["count"]).format(table=sql.Identifier(table), theirs=theirs)
        row = await (await self._conn.execute(statement)).fetchone()
        return int(str(row[0])) if row else 0

    async def _series_in(self, table: str) -> AsyncGenerator[int, None]:
        after, name = 0, sql.Identifier(table)
        (theirs,) = self._rows.of("series", self._tenant_id)[-1:]
        parents = sql.SQL(_SQL["parents"]).format(
            parent=sql.Identifier("series"), parent_column=sql.Identifier("id"), theirs=theirs
        )
        while True:
            found = await (await self._conn.execute(parents, {"after": after, "limit": SERIES_AT_ONCE})).fetchall()
            if not found:
                return
            ids = [int(str(row[0])) for row in found]
            asked = sql.SQL(_SQL["with_samples"]).format(table=name)
            for row in await (await self._conn.execute(asked, {"ids": ids})).fetchall():
                yield int(str(row[0]))
            after = ids[-1]

    async def _steps(
        self, statement: str, table: str, values: dict[str, int], theirs: sql.Composable | None = None
    ) -> AsyncGenerator[Removed, None]:
        composed = sql.SQL(_SQL[statement]).format(table=sql.Identifier(table), theirs=theirs or sql.SQL(""))
        removed = STEP_ROWS
        # A step that is not full was the last; what is added meanwhile is left to the next round.
        while removed >= STEP_ROWS:
            async with self._conn.transaction():
                # Where an index leads to the rows, a step goes to the next ones; a scan would read them all each time.
                await self._conn.execute(_SQL["by_index"])
                removed = (await self._conn.execute(composed, {**values, "limit": STEP_ROWS})).rowcount
            if removed:
                self._removed[table] = self._removed.get(table, 0) + removed
                yield Removed(table, self._removed[table])


def _columns(quota: Quota) -> dict[str, int | None]:
    return {"devices": quota.devices, "series": quota.series, "samples": quota.samples}
