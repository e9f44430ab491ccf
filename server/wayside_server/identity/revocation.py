"""Revocation: a device that is let in no more, and let in again."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from wayside_server.domain.access import Principal
from wayside_server.domain.audit import Act, AuditTrail
from wayside_server.errors import UnknownDeviceError
from wayside_server.identity.crl import Reason, Revoked


class RevocationList(Protocol):
    """Says which certificates are good no longer."""

    async def is_revoked(self, serial: int) -> bool:
        """Whether the certificate with this serial number, or the device that it belongs to, is revoked.

        A number that is not known is not revoked: whether it was ever issued is another question.

        Raises:
            StorageError: it cannot be said.
        """


@dataclass(frozen=True, slots=True)
class Mark:
    """Who revokes or restores a device.

    Args:
        device: its name.
        tenant_id: within which tenant it is looked for; None within all.
        by: the actor, as the audit log has it.
        reason: why it is revoked.
        at: when, UTC.
    """

    device: str
    tenant_id: int | None
    by: str
    reason: Reason
    at: datetime


@dataclass(frozen=True, slots=True)
class Marked:
    """What was marked.

    Args:
        tenant_id: whose device it is.
        certificates: how many of its unexpired certificates are now revoked.
        released: how many of them a restoration has taken off the list.
        revoked: whether the device was revoked before it was restored.
    """

    tenant_id: int
    certificates: int
    released: int = 0
    revoked: bool = True


class Cause(Enum):
    """Why a session with the broker must end."""

    REVOKED = "revoked"
    REPLACED = "replaced"
    """Another board has the name now, and may come back at once."""
    DELETED = "deleted"
    """The device's tenant was deleted, and perhaps the device with it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A session that must end.

    Args:
        device: whose.
        cause: why.
        since: when it was asked for, UTC.
    """

    device: str
    cause: Cause
    since: datetime


class PublishingTransaction(Protocol):
    """The newest list, held so that nobody else signs the next one meanwhile."""

    number: int
    pem: bytes

    async def revoked(self, now: datetime) -> Sequence[Revoked]:
        """Every revoked certificate that has not expired."""

    async def adopt(self, unknown: Sequence[Revoked]) -> None:
        """Keeps what an older backup of the database has forgotten, for as long as it is in use."""

    async def keep(self, number: int, pem: bytes) -> None:
        """Makes this the newest list."""


class RevocationStore(RevocationList, Protocol):
    """Where revocations are kept. Every method raises StorageError when it is away."""

    async def revoke(self, mark: Mark, record: Callable[[Marked], Awaitable[None]]) -> Marked | None:
        """Marks the device and its certificates, in one transaction with `record`; None when there is no such device.

        What was revoked before keeps its time; its reason changes, unless to HOLD, which would make it good again some
        day. The session of the device is to be ended again.
        """

    async def restore(self, mark: Mark, record: Callable[[Marked], Awaitable[None]]) -> Marked | None:
        """Takes the device's mark away, and that of certificates on hold; None when there is no such device."""

    def publishing(self) -> AbstractAsyncContextManager[PublishingTransaction]:
        """Begins to publish; leaving the block commits what was kept."""

    def sessions_to_end(self) -> AbstractAsyncContextManager[Sequence[Ending] | None]:
        """The sessions that have not been ended yet, one for a name, for nobody else within the block.

        None when another process is at them: two that take a name over take it from each other.
        """

    async def session_ended(self, ending: Ending, now: datetime, incident: str | None) -> None:
        """There is no such session any more; or, with `incident` (a detail), it cannot be got rid of."""

    async def not_published(self, reason: str) -> None:
        """Operators must see that the newest list could not be written."""


class Revocations:
    """Revokes devices and restores them; `jobs` brings it to the broker.

    Args:
        store: where they are kept.
        trail: where each is recorded.
        now: the time, aware.
    """

    def __init__(self, store: RevocationStore, trail: AuditTrail, now: Callable[[], datetime]) -> None:
        self._store = store
        self._trail = trail
        self._now = now

    async def revoke(self, device: str, by: Principal, reason: Reason, address: str | None = None) -> Marked:
        """From now on nothing that `device` sends is stored, and its certificates are on the way to the broker.

        Args:
            device: its name.
            by: who does it; only a device of their tenant is found.
            reason: why; only HOLD can be taken back.
            address: network address of who does it.

        Raises:
            NotFoundError: there is no such device.
            StorageError: nothing happened.
        """
        mark = Mark(device, by.tenant_id, by.actor, reason, self._now())

        async def record(marked: Marked) -> None:
            detail = {"reason": reason.value, "certificates": marked.certificates}
            await self._trail.record(
                Act(by.actor, "device.revoke", f"device:{device}", marked.tenant_id, address, detail=detail)
            )

        return _found(device, await self._store.revoke(mark, record))

    async def restore(self, device: str, by: Principal, address: str | None = None) -> Marked:
        """What `device` sends is stored again, once it has a certificate: those on hold are good again, others are not.

        Args:
            device: its name.
            by: who does it; only a device of their tenant is found.
            address: network address of who does it.

        Raises:
            NotFoundError: there is no such device.
            StorageError: nothing happened.
        """
        mark = Mark(device, by.tenant_id, by.actor, Reason.UNSPECIFIED, self._now())

        async def record(marked: Marked) -> None:
            detail = {"released": marked.released, "certificates": marked.certificates}
            await self._trail.record(
                Act(by.actor, "device.restore", f"device:{device}", marked.tenant_id, address, detail=detail)
            )

        return _found(device, await self._store.restore(mark, record))


def _found(device: str, marked: Marked | None) -> Marked:
    if marked is None:
        raise UnknownDeviceError(device)
    return marked
