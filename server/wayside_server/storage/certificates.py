"""Certificates in PostgreSQL: what is asked of them, and what audits find."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from psycopg.rows import DictRow, dict_row

from wayside_server.domain.certificates import NEAR_END_PART, WITHIN, Certificate, Identity
from wayside_server.domain.watching import LAPSED, LIST_STALE, NEAR_END
from wayside_server.errors import UnknownDeviceError
from wayside_server.storage.database import Connection, Pool, connection, fetch
from wayside_server.storage.incidents import Noted, enter_incidents
from wayside_server.storage.statements import load_statements

_SQL = load_statements("certificates")
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class PostgresCertificates:
    """Implements `domain.certificates.Certificates`, and what `jobs` audits.

    Args:
        pool: an open pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def certificates(
        self, tenant_id: int | None, *, after: tuple[datetime, int] | None, limit: int
    ) -> Sequence[Certificate]:
        """As `Certificates`."""
        end, number = after or (_FIRST, 0)
        values = {"tenant_id": tenant_id, "after": end, "after_id": number, "limit": limit}
        return [
            Certificate(**{**row, "serial": int(row["serial"])}) for row in await self._rows("certificates", values)
        ]

    async def identity(self, tenant_id: int | None, device: str) -> Identity:
        """As `Certificates`."""
        rows = await self._rows("identity", {"tenant_id": tenant_id, "device": device})
        if not rows:
            raise UnknownDeviceError(device)
        row = rows[0]
        certificate = None
        if row["serial"] is not None:
            certificate = Certificate(
                device_id=row["device_id"],
                device=row["device"],
                serial=int(row["serial"]),
                not_before=row["not_before"],
                not_after=row["not_after"],
                revoked_at=row["certificate_revoked_at"],
                revoked_reason=row["certificate_revoked_reason"],
                last_seen=row["last_seen"],
            )
        return Identity(
            row["device"],
            row["revoked_at"],
            row["revoked_reason"],
            row["revoked_by"],
            row["session_ended_at"],
            certificate,
        )

    async def only_of_others(self, issuer: bytes, now: datetime, limit: int) -> tuple[int, Sequence[str]]:
        """As `identity.rollover.IssuedCertificates`."""
        rows = await self._rows("only_of_others", {"issuer": issuer, "now": now, "limit": limit})
        return (rows[0]["devices"] if rows else 0), [row["name"] for row in rows]

    async def audit(self, now: datetime) -> Mapping[str, int]:
        """Raises incidents of what was not said before; how many of each kind.

        Raises:
            StorageError: nothing was raised.
        """
        async with connection(self._pool) as conn, conn.transaction():
            near = await self._found(conn, "near_end", now, NEAR_END)
            lapsed = await self._found(conn, "lapsed", now, LAPSED)
            await enter_incidents(conn, [*near, *lapsed])
        return {NEAR_END: len(near), LAPSED: len(lapsed)}

    async def expiring(self, now: datetime) -> Mapping[str, int]:
        """How many certificates in force end within each of `WITHIN`, and how many have ended as 'expired'."""
        ends = [now, *(now + span for span in WITHIN.values())]
        async with connection(self._pool) as conn:
            counts = [count for _, count in await fetch(conn, _SQL["count_expiring"], {"ends": ends, "last": ends[-1]})]
        return {"expired": counts[0], **{label: n - counts[0] for label, n in zip(WITHIN, counts[1:], strict=True)}}

    async def revoked_devices(self) -> int:
        """How many devices are revoked."""
        async with connection(self._pool) as conn:
            rows: list[tuple[int]] = await fetch(conn, _SQL["count_revoked_devices"], {})
        return rows[0][0]

    async def list_is_stale(self, detail: str) -> None:
        """Raises the incident that belongs to no device."""
        async with connection(self._pool) as conn, conn.transaction():
            await enter_incidents(conn, [(None, LIST_STALE, detail, 1)])

    async def _found(self, conn: Connection, statement: str, now: datetime, kind: str) -> list[Noted]:
        async with conn.cursor(row_factory=dict_row) as cursor:
            rows = await (await cursor.execute(_SQL[statement], {"now": now, "part": NEAR_END_PART})).fetchall()
        return [(row["device_id"], kind, _detail(kind, row, now), 1) for row in rows]

    async def _rows(self, statement: str, values: Mapping[str, object]) -> list[DictRow]:
        async with connection(self._pool) as conn, conn.cursor(row_factory=dict_row) as cursor:
            return await (await cursor.execute(_SQL[statement], values)).fetchall()


def _detail(kind: str, row: DictRow, now: datetime) -> str:
    end: datetime = row["not_after"]
    seen: datetime | None = row["last_seen"]
    if kind == NEAR_END:
        left_d = (end - now).total_seconds() / 86_400
        return f"it ends {end:%Y-%m-%d %H:%M} UTC, in {left_d:.1f} days, and was not renewed; see the agent's log"
    if seen is None:
        return f"it ended {end:%Y-%m-%d %H:%M} UTC; the device was never seen"
    if seen < end:
        return f"it ended {end:%Y-%m-%d %H:%M} UTC; the device was last seen {seen:%Y-%m-%d %H:%M} and cannot come back"
    return f"it ended {end:%Y-%m-%d %H:%M} UTC; the device is refused as soon as its connection breaks"
