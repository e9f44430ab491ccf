"""Enrolment tokens, certificates and devices that wait, in PostgreSQL: adapters for identity's Protocols."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import psycopg
from cryptography.hazmat.primitives import serialization
from psycopg.rows import class_row, dict_row

from wayside_server.domain.caller import Caller
from wayside_server.identity.crl import issuer_of
from wayside_server.identity.enrolment import EnrolmentTransaction
from wayside_server.identity.issuing import Issue, KnownCertificate, NameHeldError, TenantFullError
from wayside_server.identity.tokens import Holder, NewToken, StoredToken, TokenRecord
from wayside_server.identity.waiting import (
    ClaimTransaction,
    Decision,
    Entry,
    Kind,
    NewEntry,
    WaitBounds,
)
from wayside_server.storage.database import Connection, Pool, connection
from wayside_server.storage.quotas import may_keep_devices
from wayside_server.storage.statements import load_statements

_SQL = load_statements("enrolment")

TOKENS_AT_ONCE = 500
"""Statements that are sent before their answers are read: a progress bar moves twenty times in 10,000."""


class PostgresEnrolment:
    """Tokens, certificates and claims of one database; every method raises StorageError when it is away.

    Args:
        pool: an open pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        # While one is open, the audit trail and the list of revocations are asked over other connections. If every
        # connection were held by one that waits for another, none would go on.
        self._few = asyncio.Semaphore(max(1, pool.max_size // 2))

    async def tenant_id(self, name: str) -> int | None:
        """As `TokenStore`."""
        async with connection(self._pool) as conn:
            return await _number(conn, "tenant_id", {"name": name})

    async def add_tokens(self, tenant_id: int, tokens: Sequence[NewToken], told: Callable[[int], None]) -> list[int]:
        """As `TokenStore`."""
        groups = [{"tenant_id": tenant_id, "name": name} for name in sorted({t.group for t in tokens if t.group})]
        rows = [_token_row(tenant_id, token) for token in tokens]
        numbers: list[int] = []
        async with connection(self._pool) as conn, conn.transaction(), conn.cursor() as cursor:
            if groups:
                await cursor.executemany(_SQL["add_group"], groups)
            for start in range(0, len(rows), TOKENS_AT_ONCE):
                await cursor.executemany(_SQL["add_token"], rows[start : start + TOKENS_AT_ONCE], returning=True)
                numbers.extend(await _all_numbers(cursor))
                told(len(numbers))
        return numbers

    async def holders(self, names: Sequence[str]) -> dict[str, Holder]:
        """As `TokenStore`."""
        async with connection(self._pool) as conn:
            rows = await (await conn.execute(_SQL["holders"], {"names": list(names)})).fetchall()
        return {str(name): Holder(int(str(tenant_id)), bool(revoked)) for name, tenant_id, revoked in rows}

    async def list_tokens(self, tenant_id: int, *, before_id: int, limit: int) -> list[TokenRecord]:
        """As `TokenStore`."""
        values = {"tenant_id": tenant_id, "before_id": before_id, "limit": limit}
        async with connection(self._pool) as conn:
            cursor = conn.cursor(row_factory=class_row(TokenRecord))
            return await (await cursor.execute(_SQL["list_tokens"], values)).fetchall()

    async def revoke_token(self, tenant_id: int, token_id: int, now: datetime) -> bool:
        """As `TokenStore`."""
        async with connection(self._pool) as conn:
            values = {"tenant_id": tenant_id, "token_id": token_id, "now": now}
            return (await conn.execute(_SQL["revoke_token"], values)).rowcount > 0

    async def sole_tenant(self) -> bool:
        """As `ClaimStore`."""
        async with connection(self._pool) as conn:
            row = await (await conn.execute(_SQL["sole_tenant"])).fetchone()
            return row == (True,)

    async def waiting(
        self, tenant_id: int, now: datetime, *, unclaimed: bool, before_id: int, limit: int
    ) -> list[Entry]:
        """As `ClaimStore`."""
        values = {"tenant_id": tenant_id, "now": now, "unclaimed": unclaimed, "before_id": before_id, "limit": limit}
        async with connection(self._pool) as conn:
            return await _entries(conn, "waiting", values)

    @asynccontextmanager
    async def enrolment(self) -> AsyncIterator[EnrolmentTransaction]:
        """As `EnrolmentStore`."""
        async with self._begun() as transaction:
            yield transaction

    @asynccontextmanager
    async def claims(self) -> AsyncIterator[ClaimTransaction]:
        """As `ClaimStore`."""
        async with self._begun() as transaction:
            yield transaction

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator["_Transaction"]:
        async with self._few, connection(self._pool) as conn, conn.transaction():
            yield _Transaction(conn)


class _Transaction:
    """As `EnrolmentTransaction` and `ClaimTransaction`."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def token(self, digest: bytes) -> StoredToken | None:
        cursor = self._conn.cursor(row_factory=class_row(StoredToken))
        return await (await cursor.execute(_SQL["lock_token"], {"digest": digest})).fetchone()

    async def use_token(self, token_id: int, device_id: int, now: datetime) -> None:
        await self._conn.execute(_SQL["use_token"], {"token_id": token_id, "device_id": device_id, "now": now})

    async def join_device(self, name: str, tenant_id: int, group_id: int | None, *, replace: bool) -> int | None:
        made = await self.new_device(name, tenant_id, group_id)
        if made is not None:
            return made
        values = {"name": name, "tenant_id": tenant_id, "group_id": group_id}
        row = await (await self._conn.execute(_SQL["join_device"], values)).fetchone()
        if row is not None and (row[1] or not replace):
            raise NameHeldError(revoked=bool(row[1]))
        return None if row is None else _int(row)

    async def new_device(self, name: str, tenant_id: int, group_id: int | None) -> int | None:
        values = {"name": name, "tenant_id": tenant_id, "group_id": group_id}
        made = await _number(self._conn, "new_device", values)
        if made is not None and not await may_keep_devices(self._conn, tenant_id):
            raise TenantFullError
        return made

    async def last_number(self, prefix: str) -> int:
        return await _number(self._conn, "last_number", {"prefix": prefix}) or 0

    async def by_key(self, key_sha256: bytes) -> list[KnownCertificate]:
        return await self._certificates(key_sha256=key_sha256)

    async def by_serial(self, serial: int) -> KnownCertificate | None:
        # A statement of its own: the next one sees what a transaction did that was waited for.
        await self._conn.execute(_SQL["hold_device"], {"serial": serial})
        return next(iter(await self._certificates(serial=serial)), None)

    async def issued_since(self, device_id: int, since: datetime) -> int:
        return await _number(self._conn, "issued_since", {"device_id": device_id, "since": since}) or 0

    async def issued(self, issue: Issue) -> int:
        await self._conn.execute(_SQL["supersede"], {"device_id": issue.device_id, "at": issue.at})
        certificate = issue.certificate
        values: dict[str, object] = {
            "serial": certificate.serial_number,
            "device_id": issue.device_id,
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
            "at": issue.at,
            "key_sha256": issue.key_sha256,
            "origin": issue.origin.value,
            "token_id": issue.token_id,
            "der": certificate.public_bytes(serialization.Encoding.DER),
            "issuer": issuer_of(certificate),
        }
        await self._conn.execute(_SQL["add_certificate"], values)
        return await self._replace(values) if issue.origin.replaces else 0

    async def _replace(self, values: dict[str, object]) -> int:
        replaced = (await self._conn.execute(_SQL["revoke_replaced"], values)).rowcount
        if replaced:
            await self._conn.execute(_SQL["end_replaced_session"], values)
            await self._conn.execute(_SQL["tell_of_revocations"])
        return replaced

    async def still_renews(self, serial: int, now: datetime) -> None:
        await self._conn.execute(_SQL["still_renews"], {"serial": serial, "at": now})

    async def entry(self, key_sha256: bytes) -> Entry | None:
        return next(iter(await _entries(self._conn, "entry_by_key", {"key_sha256": key_sha256})), None)

    async def entry_by_id(self, entry_id: int) -> Entry | None:
        return next(iter(await _entries(self._conn, "entry_by_id", {"entry_id": entry_id})), None)

    async def entries_by_code(self, code: str) -> list[Entry]:
        return await _entries(self._conn, "entries_by_code", {"code": code})

    async def wait(self, new: NewEntry, bounds: WaitBounds) -> int:
        await self._conn.execute(_SQL["lock_waiting"])
        await self._conn.execute(_SQL["forget_lapsed"], {"now": new.at})
        values = {"network": new.network, "most": bounds.network - 1}
        displaced = (await self._conn.execute(_SQL["make_room_in_network"], values)).rowcount
        displaced += (await self._conn.execute(_SQL["make_room"], {"most": bounds.every - 1})).rowcount
        row = {
            "kind": new.kind.value,
            "key_sha256": new.key_sha256,
            "csr": new.csr,
            "codes": list(new.codes),
            "address": new.address,
            "network": new.network,
            "at": new.at,
            "expires_at": new.expires_at,
            "tenant_id": new.tenant_id,
            "device_id": new.device_id,
        }
        await self._conn.execute(_SQL["add_waiting"], row)
        return displaced

    async def seen(self, entry_id: int, address: str, now: datetime) -> None:
        await self._conn.execute(_SQL["seen"], {"entry_id": entry_id, "address": address, "now": now})

    async def forget(self, entry_id: int) -> None:
        await self._conn.execute(_SQL["forget"], {"entry_id": entry_id})

    async def decide(self, entry_id: int, decision: Decision, caller: Caller, now: datetime, until: datetime) -> None:
        values = {"entry_id": entry_id, "outcome": decision.value, "decided_by": caller.actor}
        await self._conn.execute(_SQL["decide"], values | {"now": now, "until": until})

    async def place(self, entry_id: int, tenant_id: int, group_id: int | None, device_id: int) -> None:
        values = {"entry_id": entry_id, "tenant_id": tenant_id, "group_id": group_id, "device_id": device_id}
        await self._conn.execute(_SQL["place"], values)

    async def given(self, entry_id: int, serial: int) -> None:
        await self._conn.execute(_SQL["given"], {"entry_id": entry_id, "serial": serial})

    async def group(self, tenant_id: int, name: str) -> int:
        values = {"tenant_id": tenant_id, "name": name}
        await self._conn.execute(_SQL["add_group"], values)
        found = await _number(self._conn, "group_id", values)
        assert found is not None, "the group was inserted or found in this transaction"
        return found

    async def _certificates(self, key_sha256: bytes | None = None, serial: int | None = None) -> list[KnownCertificate]:
        cursor = self._conn.cursor(row_factory=dict_row)
        rows = await (
            await cursor.execute(_SQL["certificates"], {"key_sha256": key_sha256, "serial": serial})
        ).fetchall()
        return [KnownCertificate(**(row | {"serial": int(row["serial"])})) for row in rows]


async def _entries(conn: Connection, statement: str, values: dict[str, object]) -> list[Entry]:
    cursor = conn.cursor(row_factory=dict_row)
    return [
        Entry(
            kind=Kind(row.pop("kind")),
            codes=tuple(row.pop("codes")),
            decision=Decision(row.pop("outcome")),
            serial=None if (serial := row.pop("serial")) is None else int(serial),
            **row,
        )
        for row in await (await cursor.execute(_SQL[statement], values)).fetchall()
    ]


async def _number(conn: Connection, statement: str, values: dict[str, object]) -> int | None:
    row = await (await conn.execute(_SQL[statement], values)).fetchone()
    return None if row is None else _int(row)


async def _all_numbers(cursor: psycopg.AsyncCursor[tuple[object, ...]]) -> list[int]:
    numbers: list[int] = []
    while True:
        numbers.extend(_int(row) for row in await cursor.fetchall())
        if not cursor.nextset():
            return numbers


def _int(row: tuple[object, ...]) -> int:
    assert isinstance(row[0], int), "the statement asks for a number"
    return row[0]


def _token_row(tenant_id: int, token: NewToken) -> dict[str, object]:
    return {
        "tenant_id": tenant_id,
        "digest": token.digest,
        "name": token.name,
        "prefix": token.prefix,
        "group": token.group,
        "max_uses": token.max_uses,
        "label": token.label,
        "replaces": token.replaces,
        "created_by": token.created_by,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }
