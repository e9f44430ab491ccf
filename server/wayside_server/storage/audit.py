"""The audit log in PostgreSQL."""

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow, dict_row

from wayside_server.domain.audit import Act, AuditQuery, Entry, Outcome, chained, cleaned, detail_text
from wayside_server.domain.moments import from_us, to_us
from wayside_server.storage.database import Connection, Pool, connection
from wayside_server.storage.statements import load_statements

_SQL = load_statements("audit")

_COLUMNS = ("actor", "action", "subject", "tenant_id", "address")
STEP = 10_000
"""Entries read at a time when all are: some megabytes."""


async def enter(conn: Connection, act: Act, at: datetime) -> None:
    """Enters `act` within the transaction that `conn` is in: it is entered if what it tells of is done.

    Until that transaction ends no other act can be entered.
    """
    act, detail, at_us = cleaned(act), detail_text(act), to_us(at)
    last, previous = await _head(conn, "lock_head")
    number = last + 1
    entered = {"id": number, "hash": chained(previous, number, at_us, act, detail)}
    said = {name: getattr(act, name) for name in _COLUMNS}
    kept = {"outcome": act.outcome.value, "detail": detail, "at": from_us(at_us)}
    await conn.execute(_SQL["enter"], said | kept | entered)
    await conn.execute(_SQL["advance"], entered)


class PostgresAudit:
    """Implements `domain.audit.AuditTrail` and `AuditReading`.

    Args:
        pool: an open pool.
        now: the time, aware.
    """

    def __init__(self, pool: Pool, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._now = now

    async def record(self, act: Act) -> None:
        async with connection(self._pool) as conn, conn.transaction():
            await enter(conn, act, self._now())

    async def entries(self, query: AuditQuery) -> Sequence[Entry]:
        return await self._entries(
            "entries",
            {
                "tenant_id": query.tenant_id,
                "before_id": query.before_id,
                "limit": query.limit,
                "actor": _pattern(query.actor),
                "action": _pattern(query.action),
                "subject": _pattern(query.subject),
                "since": from_us(query.since_us),
                "until": from_us(query.until_us),
            },
        )

    async def every(self) -> AsyncGenerator[Entry, None]:
        """All entries from the first on."""
        after = 0
        while found := await self._entries("onward", {"after_id": after, "limit": STEP}):
            for entry in found:
                yield entry
            after = found[-1].id

    async def head(self) -> tuple[int, bytes]:
        async with connection(self._pool) as conn:
            return await _head(conn, "head")

    async def _entries(self, name: str, values: dict[str, Any]) -> list[Entry]:
        async with connection(self._pool) as conn:
            # A plan for any values could use no index for a text with a final *.
            cursor = await conn.cursor(row_factory=dict_row).execute(_SQL[name], values, prepare=False)
            rows = await cursor.fetchall()
        return [_entry(row) for row in rows]


async def _head(conn: Connection, name: str) -> tuple[int, bytes]:
    row = await (await conn.execute(_SQL[name])).fetchone()
    assert row is not None, "the migration made the head"
    number, head = row
    assert isinstance(number, int), "as the table has it"
    assert isinstance(head, bytes), "as the table has it"
    return number, head


def _entry(row: DictRow) -> Entry:
    act = Act(**{name: row[name] for name in _COLUMNS}, outcome=Outcome(row["outcome"]))
    return Entry(row["id"], row["at_us"], act, row["detail"], row["hash"])


def _pattern(wanted: str) -> str:
    """`wanted` for LIKE: only a final `*` stands for more."""
    whole = wanted.removesuffix("*")
    plain = whole.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return plain if whole == wanted else plain + "%"
