"""People as they are kept: accounts, memberships, invitations, sessions; and where."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from wayside_server.domain.access import Role
from wayside_server.errors import WaysideError
from wayside_server.identity.throttle import AttemptStore

NAME_PATTERN = r"[a-z0-9][a-z0-9._@+-]{1,62}"
"""An account's name. Mail addresses fit, and nothing that could be taken for another letter."""


class NameTakenError(WaysideError):
    """Somebody has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name!r} is taken; choose another")


class Method(Enum):
    """How somebody came in."""

    PASSPHRASE = "passphrase"  # noqa: S105
    LINK = "link"
    """One that was made on the server itself, where whoever makes it may do anything anyway."""
    OIDC = "oidc"


@dataclass(frozen=True, slots=True)
class Person:
    """An account; times are UTC.

    Args:
        person_id: the store's own number for it.
        name: login name.
        display_name: what people call them.
        passphrase_hash: argon2id; None for who has no passphrase.
        must_change: whether a new passphrase is due before anything else.
        totp_secret: sealed; None without a second factor.
        totp_step: the last time step whose code was taken.
        is_administrator: of the installation.
        created_at: when it was made.
        disabled_at: since when nothing comes in as them.
        last_sign_in: when somebody last did.
        issuer: the OpenID Connect provider that knows them; None for a local account.
    """

    person_id: int
    name: str
    display_name: str
    passphrase_hash: str | None
    must_change: bool
    totp_secret: bytes | None
    totp_step: int | None
    is_administrator: bool
    created_at: datetime
    disabled_at: datetime | None
    last_sign_in: datetime | None
    issuer: str | None

    @property
    def actor(self) -> str:
        """As the audit log names them."""
        return f"person:{self.name}"


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a tenant.

    Args:
        name: login name.
        display_name: what people call them.
        role: what they may there.
        mapped: whether the role follows from a group that the provider tells.
        second_factor: whether they have one.
        is_administrator: of the installation.
        elsewhere: whether they belong to another tenant too.
        disabled_at: since when the account is disabled.
        last_sign_in: when they last signed in.
    """

    name: str
    display_name: str
    role: Role
    mapped: bool
    second_factor: bool
    is_administrator: bool
    elsewhere: bool
    disabled_at: datetime | None
    last_sign_in: datetime | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A way in that waits for somebody.

    Args:
        invitation_id: the store's own number for it.
        tenant_id: into which tenant.
        tenant: its title.
        role: with which role.
        label: for whom it is.
        made_by: who made it.
        expires_at: when it ends.
    """

    invitation_id: int
    tenant_id: int
    tenant: str
    role: Role
    label: str
    made_by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant that somebody can act in.

    Args:
        tenant_id: its number.
        title: what people call it.
        role: theirs there; None for an installation administrator who is no member.
    """

    tenant_id: int
    title: str
    role: Role | None


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that has not ended.

    Args:
        number: by which its owner names it; opens nothing.
        method: how it began.
        factor_done: whether the second factor was given or is not needed.
        created_at: when it began.
        last_used: exact to TOUCH_EVERY.
        expires_at: when it ends at the latest.
        address: from where it began.
        agent: with which browser.
        tenant_id: the tenant that was chosen.
        tenant: its title.
        role: theirs there; None when no member.
        person_id: whose it is.
        name: their login name.
        display_name: what people call them.
        is_administrator: of the installation.
        must_change: whether a new passphrase is due.
        second_factor: whether they have one.
        require_second_factor: whether the tenant wants one of its admins.
    """

    number: int
    method: Method
    factor_done: bool
    created_at: datetime
    last_used: datetime
    expires_at: datetime
    address: str | None
    agent: str | None
    tenant_id: int | None
    tenant: str | None
    role: Role | None
    person_id: int
    name: str
    display_name: str
    is_administrator: bool
    must_change: bool
    second_factor: bool
    require_second_factor: bool


@dataclass(frozen=True, slots=True)
class NewPerson:
    """What a new account begins with; None for the passphrase of who comes in otherwise.

    Args:
        name: login name.
        display_name: what people call them.
        passphrase_hash: argon2id.
        issuer: the provider that knows them.
        subject: as whom it knows them.
    """

    name: str
    display_name: str
    passphrase_hash: str | None = None
    issuer: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a session begins with.

    Args:
        digest: SHA-256 of its token.
        person_id: whose it is.
        method: how it began.
        factor_done: whether it opens anything yet.
        now: when it begins.
        expires_at: when it ends at the latest.
        address: from where.
        agent: with which browser.
        tenant_id: the tenant chosen; None for the first that they belong to.
    """

    digest: bytes
    person_id: int
    method: Method
    factor_done: bool
    now: datetime
    expires_at: datetime
    address: str | None
    agent: str | None
    tenant_id: int | None = None


class PeopleStore(Protocol):
    """Where accounts are kept. Names compare as they are."""

    async def claimed(self) -> bool:
        """Whether there is anybody at all."""

    async def find_person(self, name: str) -> Person | None:
        """The account `name`."""

    async def find_subject(self, issuer: str, subject: str) -> Person | None:
        """The account that a provider knows."""

    async def people(self) -> list[Person]:
        """All accounts by name."""

    async def add_first(self, new: NewPerson, now: datetime) -> Person | None:
        """The first account: an administrator of the installation, and an admin of the first tenant; None when there
        is anybody already, even if two ask at once."""

    async def add_administrator(self, new: NewPerson, now: datetime) -> Person | None:
        """As `add_first`, but beside others; None when the name is taken."""

    async def add_mapped(self, new: NewPerson, now: datetime) -> Person | None:
        """An account that a provider knows, without memberships; None when the name is taken."""

    async def set_passphrase(self, person_id: int, kept: str, *, must_change: bool) -> None:
        """Replaces the passphrase."""

    async def reset(self, person_id: int) -> None:
        """Takes passphrase and second factor away, and ends all sessions and links."""

    async def set_second_factor(self, person_id: int, sealed: bytes | None, codes: Collection[bytes]) -> None:
        """Replaces the secret and the recovery codes, by their digests."""

    async def spend_step(self, person_id: int, step: int) -> bool:
        """Notes that a code of `step` was taken; False when one of it or a later one was before."""

    async def spend_recovery(self, person_id: int, digest: bytes) -> bool:
        """Spends a recovery code; False when there is no such."""

    async def recovery_left(self, person_id: int) -> int:
        """How many recovery codes are left."""

    async def set_disabled(self, person_id: int, since: datetime | None) -> None:
        """Disables the account and ends its sessions and links, or enables it."""

    async def set_administrator(self, person_id: int, *, granted: bool) -> None:
        """Whether they are an administrator of the installation."""

    async def map_roles(self, person_id: int, roles: Mapping[str, Role]) -> int:
        """Makes the mapped memberships those of `roles` (by tenant name); others stay. Returns how many they have."""

    async def members(self, tenant_id: int) -> list[Member]:
        """Everybody in a tenant, by name."""

    async def places(self, person_id: int) -> list[Place]:
        """Where somebody can act: every tenant, for an administrator of the installation."""

    async def set_role(self, person_id: int, tenant_id: int, role: Role | None) -> bool:
        """Changes a membership, or ends it with None; False when there is none."""

    async def add_invitation(
        self, digest: bytes, tenant_id: int, role: Role, label: str, made_by: str, now: datetime, expires_at: datetime
    ) -> None:
        """Keeps an invitation; those that have expired are forgotten."""

    async def find_invitation(self, digest: bytes, now: datetime) -> Invitation | None:
        """The invitation, unless it has expired."""

    async def invitations(self, tenant_id: int, now: datetime) -> list[Invitation]:
        """What is open in a tenant."""

    async def withdraw_invitation(self, invitation_id: int, tenant_id: int) -> bool:
        """Ends it; False when there is none."""

    async def accept_new(self, digest: bytes, new: NewPerson, now: datetime) -> Person | None:
        """Spends the invitation on a new account, whole or not at all; None when it is gone.

        Raises:
            NameTakenError: somebody has the name.
        """

    async def accept_known(self, digest: bytes, person_id: int, now: datetime) -> int | None:
        """Spends the invitation on an account that there is; gives the tenant, None when it is gone."""

    async def required_second_factor(self, tenant_id: int) -> bool:
        """Whether the tenant wants a second factor of its admins."""

    async def require_second_factor(self, tenant_id: int, *, wanted: bool) -> None:
        """Whether it does from now on."""

    async def tenant_id(self, name: str) -> int | None:
        """The number of the tenant `name`."""


class SessionStore(AttemptStore, Protocol):
    """Where sessions and sign-in links are kept."""

    async def add_session(self, new: NewSession) -> None:
        """Keeps a session, and notes the sign-in; those that have ended are forgotten."""

    async def find_session(self, digest: bytes, now: datetime, idle_since: datetime) -> OpenSession | None:
        """The session, unless it has ended, was not used after `idle_since`, or its person is disabled."""

    async def touch_session(self, digest: bytes, now: datetime) -> None:
        """Notes that it was used."""

    async def sessions(self, person_id: int, now: datetime, idle_since: datetime) -> list[OpenSession]:
        """The open sessions of somebody, the latest first."""

    async def choose_tenant(self, digest: bytes, tenant_id: int) -> None:
        """Acts in another tenant from now on."""

    async def end_session(self, digest: bytes) -> None:
        """Forgets the session; one that is not known is no error."""

    async def end_numbered(self, person_id: int, number: int) -> bool:
        """Forgets a session of somebody; False when there is none."""

    async def end_sessions(self, person_id: int, *, but: bytes | None) -> int:
        """Forgets all sessions of somebody but one; returns how many."""

    async def add_link(self, digest: bytes, person_id: int, now: datetime, expires_at: datetime) -> None:
        """Keeps a sign-in link; those that have expired are forgotten."""

    async def spend_link(self, digest: bytes, now: datetime) -> Person | None:
        """Spends the link and gives its person; None when it is spent, expired or unknown, or they are disabled."""
