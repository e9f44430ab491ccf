"""Accounts, memberships and invitations in PostgreSQL: adapter for `identity.people_stores.PeopleStore`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

from psycopg.rows import kwargs_row

from wayside_server.domain.access import Role
from wayside_server.domain.audit import Enter
from wayside_server.identity.people import (
    Invitation,
    LastAdminError,
    Level,
    Member,
    NameTakenError,
    NewInvitation,
    NewPerson,
    Person,
    Place,
)
from wayside_server.storage.database import Connection, Pool, connection
from wayside_server.storage.statements import load_statements

SQL = load_statements("people")
T = TypeVar("T")


async def rows_of(conn: Connection, kind: Callable[..., T], statement: str, values: Mapping[str, Any]) -> list[T]:
    """The rows of a statement as objects."""
    cursor = conn.cursor(row_factory=kwargs_row(kind))
    return await (await cursor.execute(SQL[statement], values)).fetchall()


class PostgresPeople:
    """Accounts in one database; every method raises StorageError when it is away.

    Args:
        pool: an open pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claimed(self) -> bool:
        """As `PeopleStore`."""
        return bool(await self._value("claimed", {}))

    async def find_person(self, name: str) -> Person | None:
        """As `PeopleStore`."""
        return await self._one(Person, "find_person", {"name": _storable(name)})

    async def find_subject(self, issuer: str, subject: str) -> Person | None:
        """As `PeopleStore`."""
        return await self._one(Person, "find_subject", {"issuer": issuer, "subject": _storable(subject)})

    async def people(self) -> list[Person]:
        """As `PeopleStore`."""
        return await self._all(Person, "people", {})

    async def add_first(self, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
        """As `PeopleStore`."""
        async with self._transaction() as conn:
            await conn.execute(SQL["lock_people"])
            row = await (await conn.execute(SQL["claimed"])).fetchone()
            return None if row is None or row[0] else await _administrator(conn, new, now, enter)

    async def add_administrator(self, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
        """As `PeopleStore`."""
        async with self._transaction() as conn:
            return await _administrator(conn, new, now, enter)

    async def add_mapped(self, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
        """As `PeopleStore`."""
        async with self._transaction() as conn:
            person = await _add(conn, new, now, is_administrator=False)
            if person is not None:
                await enter()
            return person

    async def set_passphrase(self, person_id: int, kept: str, enter: Enter, *, must_change: bool) -> None:
        """As `PeopleStore`."""
        values = {"person_id": person_id, "kept": kept, "must_change": must_change}
        await self._together(values, enter, "set_passphrase")

    async def reset(self, person_id: int, now: datetime, enter: Callable[[int], Awaitable[None]]) -> int:
        """As `PeopleStore`."""
        values = {"person_id": person_id, "but": None, "now": now, "tenant_id": None, "role": 0}
        async with self._transaction() as conn:
            for statement in ("reset_person", "forget_recovery", "end_sessions", "end_links", "withdraw_beyond"):
                await conn.execute(SQL[statement], values)
            keys = (await conn.execute(SQL["revoke_keys_of"], values)).rowcount
            await enter(keys)
            return keys

    async def set_second_factor(
        self, person_id: int, sealed: bytes | None, codes: Collection[bytes], enter: Enter
    ) -> None:
        """As `PeopleStore`."""
        values = {"person_id": person_id, "sealed": sealed, "digests": list(codes)}
        await self._together(values, enter, "set_second_factor", "forget_recovery", "add_recovery")

    async def spend_step(self, person_id: int, step: int) -> bool:
        """As `PeopleStore`."""
        return await self._run("spend_step", {"person_id": person_id, "step": step}) > 0

    async def spend_recovery(self, person_id: int, digest: bytes) -> bool:
        """As `PeopleStore`."""
        return await self._run("spend_recovery", {"person_id": person_id, "digest": digest}) > 0

    async def recovery_left(self, person_id: int) -> int:
        """As `PeopleStore`."""
        return int(await self._value("recovery_left", {"person_id": person_id}))

    async def set_disabled(
        self, person_id: int, since: datetime | None, level: Level, enter: Enter, *, keep_admin: int | None = None
    ) -> bool:
        """As `PeopleStore`."""
        values = {"person_id": person_id, "since": since, "level": level.value, "but": None}
        async with self._transaction() as conn:
            if since is not None:
                if keep_admin is not None:
                    await _keep_admin(conn, person_id, keep_admin)
                for statement in ("disable", "end_sessions", "end_links", "withdraw_beyond"):
                    await conn.execute(SQL[statement], {**values, "tenant_id": None, "role": 0})
            elif (await conn.execute(SQL["enable"], values)).rowcount == 0:
                return False
            await enter()
            return True

    async def set_administrator(self, person_id: int, enter: Enter, *, granted: bool) -> None:
        """As `PeopleStore`."""
        await self._together({"person_id": person_id, "granted": granted}, enter, "set_administrator")

    async def map_roles(
        self, person_id: int, roles: Mapping[str, Role], enter: Callable[[int, Role | None], Awaitable[None]]
    ) -> int:
        """As `PeopleStore`."""
        async with self._transaction() as conn:
            ended = await conn.execute(SQL["end_mapped"], {"person_id": person_id, "tenants": list(roles)})
            for (tenant_id,) in await ended.fetchall():
                await enter(int(str(tenant_id)), None)
            for tenant, role in roles.items():
                values = {"person_id": person_id, "tenant": tenant, "role": int(role)}
                for (tenant_id,) in await (await conn.execute(SQL["add_mapped"], values)).fetchall():
                    await enter(int(str(tenant_id)), role)
            row = await (await conn.execute(SQL["count_memberships"], {"person_id": person_id})).fetchone()
            return 0 if row is None else int(str(row[0]))

    async def members(self, tenant_id: int) -> list[Member]:
        """As `PeopleStore`."""
        return await self._all(_member, "members", {"tenant_id": tenant_id})

    async def places(self, person_id: int) -> list[Place]:
        """As `PeopleStore`."""
        return await self._all(_place, "places", {"person_id": person_id})

    async def set_role(
        self, person_id: int, tenant_id: int, role: Role | None, enter: Enter, *, keep_admin: bool
    ) -> bool:
        """As `PeopleStore`."""
        values = {"person_id": person_id, "tenant_id": tenant_id, "role": 0 if role is None else int(role)}
        async with self._transaction() as conn:
            if keep_admin and role is not Role.ADMIN:
                await _keep_admin(conn, person_id, tenant_id)
            if (await conn.execute(SQL["end_membership" if role is None else "set_role"], values)).rowcount == 0:
                return False
            await conn.execute(SQL["withdraw_beyond"], values)
            await enter()
            return True

    async def add_invitation(self, new: NewInvitation, enter: Enter) -> None:
        """As `PeopleStore`."""
        values = {
            "digest": new.digest,
            "tenant_id": new.tenant_id,
            "role": int(new.role),
            "label": new.label,
            "made_by": new.made_by,
            "now": new.now,
            "expires_at": new.expires_at,
        }
        await self._together(values, enter, "forget_invitations", "add_invitation")

    async def find_invitation(self, digest: bytes, now: datetime) -> Invitation | None:
        """As `PeopleStore`."""
        found = await self._all(_invitation, "find_invitation", {"digest": digest, "now": now})
        return next(iter(found), None)

    async def invitations(self, tenant_id: int, now: datetime) -> list[Invitation]:
        """As `PeopleStore`."""
        return await self._all(_invitation, "invitations", {"tenant_id": tenant_id, "now": now})

    async def withdraw_invitation(self, invitation_id: int, tenant_id: int, enter: Enter) -> bool:
        """As `PeopleStore`."""
        values = {"invitation_id": invitation_id, "tenant_id": tenant_id}
        async with self._transaction() as conn:
            gone = (await conn.execute(SQL["withdraw_invitation"], values)).rowcount > 0
            if gone:
                await enter()
            return gone

    async def accept_new(self, digest: bytes, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
        """As `PeopleStore`."""
        async with self._transaction() as conn:
            spent = await (await conn.execute(SQL["spend_invitation"], {"digest": digest, "now": now})).fetchone()
            if spent is None:
                return None
            person = await _add(conn, new, now, is_administrator=False)
            if person is None:
                raise NameTakenError(new.name)
            await _join(conn, person.person_id, spent)
            await enter()
            return person

    async def accept_known(self, digest: bytes, person_id: int, now: datetime, enter: Enter) -> int | None:
        """As `PeopleStore`."""
        async with self._transaction() as conn:
            spent = await (await conn.execute(SQL["spend_invitation"], {"digest": digest, "now": now})).fetchone()
            if spent is None:
                return None
            await _join(conn, person_id, spent)
            await enter()
            return int(str(spent[0]))

    async def required_second_factor(self, tenant_id: int) -> bool:
        """As `PeopleStore`."""
        return bool(await self._value("required_second_factor", {"tenant_id": tenant_id}))

    async def require_second_factor(self, tenant_id: int, enter: Enter, *, wanted: bool) -> None:
        """As `PeopleStore`."""
        await self._together({"tenant_id": tenant_id, "wanted": wanted}, enter, "require_second_factor")

    async def tenant_id(self, name: str) -> int | None:
        """As `PeopleStore`."""
        found = await self._value("tenant_id", {"name": _storable(name)})
        return None if found is None else int(found)

    async def _run(self, statement: str, values: Mapping[str, Any]) -> int:
        async with connection(self._pool) as conn:
            return (await conn.execute(SQL[statement], values)).rowcount

    async def _together(self, values: Mapping[str, Any], enter: Enter, *statements: str) -> None:
        async with self._transaction() as conn:
            for statement in statements:
                await conn.execute(SQL[statement], values)
            await enter()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with connection(self._pool) as conn, conn.transaction():
            yield conn

    async def _value(self, statement: str, values: Mapping[str, Any]) -> Any:
        async with connection(self._pool) as conn:
            row = await (await conn.execute(SQL[statement], values)).fetchone()
            return None if row is None else row[0]

    async def _all(self, kind: Callable[..., T], statement: str, values: Mapping[str, Any]) -> list[T]:
        async with connection(self._pool) as conn:
            return await rows_of(conn, kind, statement, values)

    async def _one(self, kind: Callable[..., T], statement: str, values: Mapping[str, Any]) -> T | None:
        return next(iter(await self._all(kind, statement, values)), None)


async def _keep_admin(conn: Connection, person_id: int, tenant_id: int) -> None:
    # The lock makes two admins who take the role from each other wait for each other.
    values = {"person_id": person_id, "tenant_id": tenant_id}
    await conn.execute(SQL["lock_tenant"], values)
    row = await (await conn.execute(SQL["is_last_admin"], values)).fetchone()
    if row is not None and row[0]:
        raise LastAdminError


async def _administrator(conn: Connection, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
    person = await _add(conn, new, now, is_administrator=True)
    if person is not None:
        first = await (await conn.execute(SQL["first_tenant"])).fetchone()
        await _join(conn, person.person_id, ((first or (None,))[0], int(Role.ADMIN)))
        await enter()
    return person


async def _add(conn: Connection, new: NewPerson, now: datetime, *, is_administrator: bool) -> Person | None:
    values = {
        "name": new.name,
        "display_name": new.display_name,
        "passphrase_hash": new.passphrase_hash,
        "is_administrator": is_administrator,
        "now": now,
        "issuer": new.issuer,
        "subject": new.subject,
    }
    return next(iter(await rows_of(conn, Person, "add_person", values)), None)


async def _join(conn: Connection, person_id: int, place: tuple[object, ...]) -> None:
    tenant_id, role = place
    await conn.execute(SQL["add_membership"], {"person_id": person_id, "tenant_id": tenant_id, "role": role})


def _storable(text: str) -> str:
    """PostgreSQL takes neither NUL nor lone surrogates in text, and a stranger may send both."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _member(**row: Any) -> Member:
    return Member(**{**row, "role": Role(row["role"])})


def _place(**row: Any) -> Place:
    return Place(**{**row, "role": row["role"] and Role(row["role"])})


def _invitation(**row: Any) -> Invitation:
    return Invitation(**{**row, "role": Role(row["role"])})
