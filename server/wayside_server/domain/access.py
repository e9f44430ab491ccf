"""Who asks: what the API and the console need to know of identity."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from wayside_server.errors import WaysideError

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
SESSION_COOKIE = "__Host-wayside"
"""The prefix makes browsers insist on Secure, on this host alone and on the whole path (RFC 6265bis, 4.1.3.2)."""
_DECLARED = "__wayside_permission__"


class Role(IntEnum):
    """What somebody may do within a tenant; each role may all that the ones before it may."""

    VIEWER = 1
    """Looks: devices, telemetry, accounts, exports."""
    OPERATOR = 2
    """Acts on what is there: log levels, commands, alarms."""
    ENGINEER = 3
    """Changes what is there: enrols, groups, revokes and removes devices."""
    ADMIN = 4
    """Decides who else may: people, keys, the audit log, limits."""


class Permission(Enum):
    """What a route needs of its caller. Every route declares one. The value is the scope by which API keys have it."""

    PUBLIC = "public"
    """Anybody: liveness, enrolment (which has its own token), sign-in, static files."""
    METRICS = "metrics"
    """A key, or an address from the configured list."""
    DEVICE = "device"
    """A device, by its certificate on the connection."""
    SELF = "self"
    """Anybody established, for what is their own: password, second factor, sessions."""
    READ = "read"
    """Looking at a tenant's devices and telemetry."""
    OPERATE = "operate"
    """Acting on them."""
    MANAGE = "manage"
    """Enrolling, grouping, revoking and removing devices."""
    ADMINISTER = "administer"
    """A tenant's people, keys, audit log and limits."""
    INSTALL = "install"
    """The installation's own: tenants, certificate authority, its audit log."""


LEAST_ROLE: Mapping[Permission, Role] = MappingProxyType(
    {
        Permission.READ: Role.VIEWER,
        Permission.OPERATE: Role.OPERATOR,
        Permission.MANAGE: Role.ENGINEER,
        Permission.ADMINISTER: Role.ADMIN,
    }
)
"""The least role that has a permission within its tenant. Those that are not here come from elsewhere."""


SCOPES = (
    Permission.READ,
    Permission.OPERATE,
    Permission.MANAGE,
    Permission.ADMINISTER,
    Permission.METRICS,
    Permission.INSTALL,
)
"""What an API key may be given. None brings another with it: a key that manages and reads has both."""
DEFAULT_SCOPES = frozenset({Permission.READ, Permission.METRICS})


def permissions_of(role: Role) -> frozenset[Permission]:
    """All that `role` may within its tenant."""
    return frozenset(permission for permission, least in LEAST_ROLE.items() if least <= role)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody established.

    Args:
        actor: kind and name, as the audit log has them: `key:k3v9x2m4`, `person:ada`, `device:boiler-7`.
        label: what people call it.
        tenant_id: within which tenant it acts; None when within none.
        permissions: what it may.
        held: what it must do before it may more, as a sentence without its full stop; None for nothing.
        tenant: what people call that tenant; None when it is in none, or is a program.
        personal: whether it is a key that a person made, or a key of theirs.
    """

    actor: str
    label: str
    tenant_id: int | None
    permissions: frozenset[Permission]
    held: str | None = None
    tenant: str | None = None
    personal: bool = False

    def may(self, permission: str) -> bool:
        """Whether it has the permission of this scope; for templates."""
        return Permission(permission) in self.permissions


FIRST_TENANT = 1
"""The one that every installation has: devices that a restored database has forgotten are its."""


def sees_installation(asker: Principal) -> bool:
    """Whether `asker` may see what belongs to no tenant, such as strangers that the broker turned away.

    Keys of the first tenant that were made on the machine itself are in the hands of who runs it; one that a person
    made shows no more than they see themselves.
    """
    if Permission.INSTALL in asker.permissions:
        return True
    return asker.tenant_id == FIRST_TENANT and asker.actor.startswith("key:") and not asker.personal


@dataclass(frozen=True, slots=True)
class Session:
    """A console session, just begun.

    Args:
        token: the secret for the cookie; kept nowhere but there.
        expires_at: when it ends at the latest, UTC.
        needs_code: whether it opens nothing before the second factor.
    """

    token: str
    expires_at: datetime
    needs_code: bool = False


class Access(Protocol):
    """Establishes who asks. Every method raises UnauthorizedError when it cannot, whatever the reason."""

    async def authenticate(self, bearer: str, address: str | None = None) -> Principal:
        """The owner of the API key `bearer`, which came from `address`."""

    async def resume(self, session: str, *, active: bool = True) -> Principal:
        """The owner of the console session whose token is `session`.

        Args:
            session: the token.
            active: whether somebody did something; a page that refreshes itself keeps no session alive.
        """


class Forbidden(Protocol):
    """Notes who was not let through."""

    async def __call__(self, asker: Principal, needs: Permission, route: str, address: str | None, /) -> None:
        """Notes that `asker` lacks what `route` needs; what it raises is the answer then."""


class DeviceRefusedError(WaysideError):
    """A device's certificate counts no more; one line with the fix."""


class DeviceAccess(Protocol):
    """Establishes devices, for routes that declare Permission.DEVICE."""

    async def establish(self, certificate: bytes, address: str | None) -> Principal:
        """The device whose certificate (DER) TLS has verified on the connection.

        Raises:
            DeviceRefusedError: it was revoked or replaced, or the device is gone.
        """


def requires(permission: Permission) -> Callable[[Endpoint], Endpoint]:
    """Declares what a route needs; the API refuses to start with a route that declares nothing."""

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__[_DECLARED] = permission
        return endpoint

    return declare


def required(endpoint: object) -> Permission | None:
    """What `endpoint` declares; None when it declares nothing."""
    found = getattr(endpoint, _DECLARED, None)
    return found if isinstance(found, Permission) else None
