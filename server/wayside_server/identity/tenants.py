"""Makes tenants, bounds them, and deletes them with all they have."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from wayside_server.domain.access import FIRST_TENANT
from wayside_server.domain.audit import Act, AuditTrail, Outcome
from wayside_server.domain.tenants import NAME_PATTERN, NAME_RULE, Quota, Tenant
from wayside_server.errors import ConfigError, NotFoundError, WaysideError

MAX_TITLE = 200
SHOWN = 3
"""Devices that a refusal names."""


class TakenError(ConfigError):
    """The name is taken."""


@dataclass(frozen=True, slots=True)
class Removed:
    """How far a deletion has come: `rows` of `table` so far."""

    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class Alive:
    """What of a tenant may still send.

    Args:
        online: names of devices that are connected.
        certified: names of devices with a certificate that has not ended.
    """

    online: Sequence[str]
    certified: Sequence[str]


class TenantStore(Protocol):
    """Where tenants are kept. Every method raises StorageError when the database is away."""

    async def add(self, name: str, title: str, quota: Quota) -> Tenant | None:
        """Keeps a new tenant; None when the name is taken."""

    async def every(self) -> Sequence[Tenant]:
        """All tenants in order of name."""

    async def find(self, name: str) -> Tenant | None:
        """The tenant called `name`."""

    async def limit(self, tenant_id: int, quota: Quota) -> None:
        """Sets what a tenant may have."""

    async def alive(self, tenant_id: int) -> Alive:
        """What of a tenant may still send."""

    async def close(self, tenant_id: int) -> None:
        """Lets nobody in any more: keys, tokens and certificates end for good.

        Nothing that its devices send is taken, their sessions are to be ended, and what the broker keeps on their
        topics is to go.
        """

    def remove(self, tenant_id: int) -> AsyncGenerator[Removed, None]:
        """Deletes all rows of a tenant in small steps, tells of each, and at last makes sure that none is left.

        Raises:
            TransientError: its devices go on sending, so that it did not come to an end.
        """


class Tenants:
    """What the installation's administrators do with tenants; each act is entered in the audit log.

    Args:
        store: where they are kept.
        audit: where acts are entered.
    """

    def __init__(self, store: TenantStore, audit: AuditTrail) -> None:
        self._store = store
        self._audit = audit

    async def create(self, name: str, title: str, quota: Quota, *, actor: str, address: str | None = None) -> Tenant:
        """A new tenant, without people, keys or devices.

        Raises:
            TakenError: there is one of that name.
            ConfigError: the name breaks the rules, or the title is too long.
        """
        if re.fullmatch(NAME_PATTERN, name) is None:
            raise ConfigError(f"tenant name {name[:80]!r}: {NAME_RULE}")
        if not 0 < len(title) <= MAX_TITLE or not title.isprintable():
            raise ConfigError(f"a tenant's title has 1 to {MAX_TITLE} printable signs")
        made = await self._store.add(name, title, quota)
        if made is None:
            raise TakenError(f"there is a tenant {name!r} already; choose another name")
        await self._audit.record(Act(actor, "tenant.create", f"tenant:{name}", made.id, address))
        return made

    async def every(self) -> Sequence[Tenant]:
        """All tenants in order of name."""
        return await self._store.every()

    async def limit(self, name: str, quota: Quota, *, actor: str, address: str | None = None) -> None:
        """Sets what a tenant may have.

        Raises:
            NotFoundError: there is no such tenant.
        """
        tenant = await self.find(name)
        detail = {"devices": quota.devices, "series": quota.series, "samples": quota.samples}
        await self._audit.record(Act(actor, "tenant.limit", f"tenant:{name}", tenant.id, address, detail=detail))
        await self._store.limit(tenant.id, quota)

    async def delete(
        self, name: str, *, actor: str, force: bool = False, address: str | None = None
    ) -> AsyncGenerator[Removed, None]:
        """Deletes a tenant with all it has, in steps, and tells of each. What was interrupted is begun again.

        Args:
            name: the tenant's.
            actor: who does it.
            force: even if its devices could still send; they are put out, and nothing that they send is taken.
            address: where from.

        Raises:
            NotFoundError: there is no such tenant.
            ConfigError: it is the first one, or its devices could still send.
            TransientError: devices went on sending, or the database is away; what is gone stays gone.
        """
        tenant = await self.find(name)
        if tenant.id == FIRST_TENANT:
            raise ConfigError(f"{name!r} is the first tenant, which every installation needs; it cannot be deleted")
        if not force:
            _refuse_alive(name, await self._store.alive(tenant.id))
        act = Act(actor, "tenant.delete", f"tenant:{name}", tenant.id, address, detail={"force": force})
        # Entered before, so that nothing is deleted that nobody can be asked about.
        await self._audit.record(act)
        await self._store.close(tenant.id)
        rows: dict[str, int] = {}
        try:
            async with aclosing(self._store.remove(tenant.id)) as steps:
                async for step in steps:
                    rows[step.table] = step.rows
                    yield step
        except WaysideError as error:
            detail = {"reason": str(error)[:200]}
            await self._audit.record(
                Act(actor, "tenant.delete", f"tenant:{name}", tenant.id, address, Outcome.FAILED, detail)
            )
            raise
        await self._audit.record(
            Act(actor, "tenant.deleted", f"tenant:{name}", tenant.id, address, detail={"rows": sum(rows.values())})
        )

    async def find(self, name: str) -> Tenant:
        """The tenant called `name`.

        Raises:
            NotFoundError: there is none.
        """
        tenant = await self._store.find(name)
        if tenant is None:
            raise NotFoundError(f"there is no tenant {name[:63]!r}; see wayside-server tenant list")
        return tenant


def _refuse_alive(name: str, alive: Alive) -> None:
    for devices, state, fix in (
        (alive.online, "connected", "stop or revoke them"),
        (alive.certified, "with a certificate that has not ended", "revoke them"),
    ):
        if devices:
            named = ", ".join(devices[:SHOWN]) + (", …" if len(devices) > SHOWN else "")
            raise ConfigError(
                f"tenant {name!r} has {len(devices)} devices {state} ({named}); {fix}, or delete it with --force: "
                "nothing that they send is taken from then on, and what they have not delivered is lost"
            )
