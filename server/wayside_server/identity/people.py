"""People as they are kept: accounts, memberships, invitations, sessions."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from wayside_server.domain.access import Role
from wayside_server.errors import WaysideError

NAME_PATTERN = r"[a-z0-9][a-z0-9._@+-]{1,62}"
"""An account's name. Mail addresses fit, and nothing that could be taken for another letter."""


class NameTakenError(WaysideError):
    """Somebody has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name!r} is taken; choose another")


class LastAdminError(WaysideError):
    """The tenant would be left without an admin."""

    def __init__(self) -> None:
        super().__init__("the tenant would be left without an admin; make somebody else one first")


class Method(Enum):
    """How somebody came in."""

    PASSPHRASE = "passphrase"  # noqa: S105
    LINK = "link"
    """One that was made on the server itself, where whoever makes it may do anything anyway."""
    OIDC = "oidc"


class Level(Enum):
    """Who disables an account, and may enable it again: whoever is at least as high."""

    TENANT = "tenant"
    INSTALLATION = "installation"


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


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """What an invitation begins with.

    Args:
        digest: SHA-256 of its token.
        tenant_id: into which tenant.
        role: with which role.
        label: for whom it is.
        made_by: who makes it.
        now: when it is made.
        expires_at: when it ends.
    """

    digest: bytes
    tenant_id: int
    role: Role
    label: str
    made_by: str
    now: datetime
    expires_at: datetime
