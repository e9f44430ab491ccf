"""Sessions, sign-in links and attempts in PostgreSQL: adapter for `identity.people_stores.SessionStore`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wayside_server.domain.access import Role
from wayside_server.domain.audit import Enter
from wayside_server.identity.people import Method, NewSession, OpenSession, Person
from wayside_server.identity.throttle import Pace
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.people import SQL, rows_of

MAX_AGENT = 200


class PostgresSessions:
    """Sessions in one database; every method raises StorageError when it is away.

    Args:
        pool: an open pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add_session(self, new: NewSession, enter: Enter, *, instead_of: bytes | None = None) -> None:
        """As `SessionStore`."""
        agent = new.agent and new.agent.encode("utf-8", "replace").decode().replace("\0", "")[:MAX_AGENT]
        values = {
            "digest": new.digest,
            "person_id": new.person_id,
            "tenant_id": new.tenant_id,
            "method": new.method.value,
            "factor_done": new.factor_done,
            "now": new.now,
            "expires_at": new.expires_at,
            "address": new.address,
            "agent": agent,
        }
        async with connection(self._pool) as conn, conn.transaction():
            await conn.execute(SQL["forget_sessions"], values)
            await conn.execute(SQL["end_session"], {"digest": instead_of})
            await conn.execute(SQL["add_session"], values)
            if new.factor_done:
                await conn.execute(SQL["note_sign_in"], values)
            await enter()

    async def find_session(self, digest: bytes, now: datetime, idle_since: datetime) -> OpenSession | None:
        """As `SessionStore`."""
        found = await self._sessions("find_session", {"digest": digest, "now": now, "idle_since": idle_since})
        return next(iter(found), None)

    async def touch_session(self, digest: bytes, now: datetime) -> None:
        """As `SessionStore`."""
        await self._run("touch_session", {"digest": digest, "now": now})

    async def sessions(self, person_id: int, now: datetime, idle_since: datetime) -> list[OpenSession]:
        """As `SessionStore`."""
        return await self._sessions("sessions", {"person_id": person_id, "now": now, "idle_since": idle_since})

    async def end_session(self, digest: bytes, enter: Enter) -> None:
        """As `SessionStore`."""
        await self._end("end_session", {"digest": digest}, enter)

    async def end_numbered(self, person_id: int, number: int, enter: Enter) -> bool:
        """As `SessionStore`."""
        return await self._end("end_numbered", {"person_id": person_id, "number": number}, enter) > 0

    async def end_sessions(self, person_id: int, enter: Enter, *, but: bytes | None) -> int:
        """As `SessionStore`."""
        return await self._end("end_sessions", {"person_id": person_id, "but": but}, enter)

    async def add_link(self, digest: bytes, person_id: int, now: datetime, expires_at: datetime, enter: Enter) -> None:
        """As `SessionStore`."""
        async with connection(self._pool) as conn, conn.transaction():
            await conn.execute(SQL["forget_links"], {"now": now})
            await conn.execute(SQL["add_link"], {"digest": digest, "person_id": person_id, "expires_at": expires_at})
            await enter()

    async def spend_link(self, digest: bytes, now: datetime) -> Person | None:
        """As `SessionStore`."""
        async with connection(self._pool) as conn:
            return next(iter(await rows_of(conn, Person, "spend_link", {"digest": digest, "now": now})), None)

    async def begin_attempt(self, subject: bytes, pace: Pace, now: datetime, forget: datetime) -> datetime | None:
        """As `AttemptStore`."""
        values = {
            "subject": subject,
            "free": pace.free,
            "longest_s": pace.longest_s,
            "now": now,
            "forget": forget,
        }
        async with connection(self._pool) as conn:
            await conn.execute(SQL["forget_attempts"], values)
            if await (await conn.execute(SQL["begin_attempt"], values)).fetchone() is not None:
                return None
            row = await (await conn.execute(SQL["blocked_until"], values)).fetchone()
        # It may have been forgotten meanwhile; then the next try is free.
        return row[0] if row is not None and isinstance(row[0], datetime) else now

    async def clear_attempts(self, subject: bytes) -> None:
        """As `AttemptStore`."""
        await self._run("clear_attempts", {"subject": subject})

    async def undo_attempt(self, subject: bytes, now: datetime) -> None:
        """As `AttemptStore`."""
        await self._run("undo_attempt", {"subject": subject, "now": now})

    async def _run(self, statement: str, values: Mapping[str, Any]) -> int:
        async with connection(self._pool) as conn:
            return (await conn.execute(SQL[statement], values)).rowcount

    async def _end(self, statement: str, values: Mapping[str, Any], enter: Enter) -> int:
        async with connection(self._pool) as conn, conn.transaction():
            ended = (await conn.execute(SQL[statement], values)).rowcount
            if ended:
                await enter()
            return ended

    async def _sessions(self, statement: str, values: Mapping[str, Any]) -> list[OpenSession]:
        async with connection(self._pool) as conn:
            return await rows_of(conn, _session, statement, values)


def _session(**row: Any) -> OpenSession:
    role = None if row["role"] is None else Role(row["role"])
    return OpenSession(**{**row, "role": role, "method": Method(row["method"])})
