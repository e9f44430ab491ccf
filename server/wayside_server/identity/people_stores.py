"""Where people are kept: the Protocols that storage implements."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Protocol

from wayside_server.domain.access import Role
from wayside_server.domain.audit import Enter
from wayside_server.identity.people import (
    Invitation,
    Level,
    Member,
    NewInvitation,
    NewPerson,
    NewSession,
    OpenSession,
    Person,
    Place,
)
from wayside_server.identity.throttle import AttemptStore


class PeopleStore(Protocol):
    """Where accounts are kept. Names compare as they are.

    What changes something takes `enter`, which enters the act: it is awaited within the transaction, once all of it has
    been done, and what it raises undoes it.
    """

    async def claimed(self) -> bool:
        """Whether there is anybody at all."""

    async def find_person(self, name: str) -> Person | None:
        """The account `name`."""

    async def find_subject(self, issuer: str, subject: str) -> Person | None:
        """The account that a provider knows."""

    async def people(self) -> list[Person]:
        """All accounts by name."""

    async def add_first(self, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
        """The first account: an administrator of the installation, and an admin of the first tenant; None when there
        is anybody already, even if two ask at once."""

    async def add_administrator(self, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
        """As `add_first`, but beside others; None when the name is taken."""

    async def add_mapped(self, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
        """An account that a provider knows, without memberships; None when the name is taken."""

    async def set_passphrase(self, person_id: int, kept: str, enter: Enter, *, must_change: bool) -> None:
        """Replaces the passphrase."""

    async def reset(self, person_id: int, now: datetime, enter: Callable[[int], Awaitable[None]]) -> int:
        """Takes passphrase and second factor away, ends all sessions and links, and revokes the keys that they made;
        `enter` is told how many keys, which is returned too."""

    async def set_second_factor(
        self, person_id: int, sealed: bytes | None, codes: Collection[bytes], enter: Enter
    ) -> None:
        """Replaces the secret and the recovery codes, by their digests."""

    async def spend_step(self, person_id: int, step: int) -> bool:
        """Notes that a code of `step` was taken; False when one of it or a later one was before."""

    async def spend_recovery(self, person_id: int, digest: bytes) -> bool:
        """Spends a recovery code; False when there is no such."""

    async def recovery_left(self, person_id: int) -> int:
        """How many recovery codes are left."""

    async def set_disabled(
        self, person_id: int, since: datetime | None, level: Level, enter: Enter, *, keep_admin: int | None = None
    ) -> bool:
        """Disables the account and ends its sessions and links, or enables it.

        Args:
            person_id: whose it is.
            since: since when it is disabled; None enables it.
            level: who does it. What the installation disabled no tenant enables.
            enter: enters the act.
            keep_admin: the tenant that must have another admin.

        Returns:
            False when it stays disabled, because the installation disabled it.

        Raises:
            LastAdminError: the tenant has no other admin.
        """

    async def set_administrator(self, person_id: int, enter: Enter, *, granted: bool) -> None:
        """Whether they are an administrator of the installation."""

    async def map_roles(
        self, person_id: int, roles: Mapping[str, Role], enter: Callable[[int, Role | None], Awaitable[None]]
    ) -> int:
        """Makes the mapped memberships those of `roles` (by tenant name); others stay. Returns how many they have.

        `enter` is told of each that changes, by tenant and role, which is None for one that ends.
        """

    async def members(self, tenant_id: int) -> list[Member]:
        """Everybody in a tenant, by name."""

    async def places(self, person_id: int) -> list[Place]:
        """Where somebody can act: every tenant, for an administrator of the installation."""

    async def set_role(
        self, person_id: int, tenant_id: int, role: Role | None, enter: Enter, *, keep_admin: bool
    ) -> bool:
        """Changes a membership, or ends it with None; False when there is none. Invitations that they made and that
        give more than they have left end too.

        Raises:
            LastAdminError: `keep_admin` is wanted, and nobody else is admin; even if two ask at once.
        """

    async def add_invitation(self, new: NewInvitation, enter: Enter) -> None:
        """Keeps an invitation; those that have expired are forgotten."""

    async def find_invitation(self, digest: bytes, now: datetime) -> Invitation | None:
        """The invitation, unless it has expired."""

    async def invitations(self, tenant_id: int, now: datetime) -> list[Invitation]:
        """What is open in a tenant."""

    async def withdraw_invitation(self, invitation_id: int, tenant_id: int, enter: Enter) -> bool:
        """Ends it; False when there is none."""

    async def accept_new(self, digest: bytes, new: NewPerson, now: datetime, enter: Enter) -> Person | None:
        """Spends the invitation on a new account, whole or not at all; None when it is gone.

        Raises:
            NameTakenError: somebody has the name.
        """

    async def accept_known(self, digest: bytes, person_id: int, now: datetime, enter: Enter) -> int | None:
        """Spends the invitation on an account that there is; gives the tenant, None when it is gone. Who may more in
        that tenant already keeps their role."""

    async def required_second_factor(self, tenant_id: int) -> bool:
        """Whether the tenant wants a second factor of its admins."""

    async def require_second_factor(self, tenant_id: int, enter: Enter, *, wanted: bool) -> None:
        """Whether it does from now on."""

    async def tenant_id(self, name: str) -> int | None:
        """The number of the tenant `name`."""


class SessionStore(AttemptStore, Protocol):
    """Where sessions and sign-in links are kept; `enter` as in `PeopleStore`."""

    async def add_session(self, new: NewSession, enter: Enter, *, instead_of: bytes | None = None) -> None:
        """Keeps a session, and notes the sign-in; those that have ended are forgotten, and the one `instead_of`."""

    async def find_session(self, digest: bytes, now: datetime, idle_since: datetime) -> OpenSession | None:
        """The session, unless it has ended, was not used after `idle_since`, or its person is disabled."""

    async def touch_session(self, digest: bytes, now: datetime) -> None:
        """Notes that it was used."""

    async def sessions(self, person_id: int, now: datetime, idle_since: datetime) -> list[OpenSession]:
        """The open sessions of somebody, the latest first."""

    async def end_session(self, digest: bytes, enter: Enter) -> None:
        """Forgets the session; one that is not known is no error, and no act."""

    async def end_numbered(self, person_id: int, number: int, enter: Enter) -> bool:
        """Forgets a session of somebody; False when there is none."""

    async def end_sessions(self, person_id: int, enter: Enter, *, but: bytes | None) -> int:
        """Forgets all sessions of somebody but one; returns how many."""

    async def add_link(self, digest: bytes, person_id: int, now: datetime, expires_at: datetime, enter: Enter) -> None:
        """Keeps a sign-in link; those that have expired are forgotten."""

    async def spend_link(self, digest: bytes, now: datetime) -> Person | None:
        """Spends the link and gives its person; None when it is spent, expired or unknown, or they are disabled."""
