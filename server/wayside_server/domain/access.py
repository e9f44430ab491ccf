"""Who asks: what the API and the console need to know of identity."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
SESSION_COOKIE = "__Host-wayside"
"""The prefix makes browsers insist on Secure, on this host alone and on the whole path (RFC 6265bis, 4.1.3.2)."""
_DECLARED = "__wayside_permission__"


class Permission(Enum):
    """What a route needs of its caller. Every route declares one."""

    PUBLIC = "public"
    """Anybody: liveness, enrolment (which has its own token), sign-in, static files."""
    METRICS = "metrics"
    """A key, or an address from the configured list."""
    READ = "read"
    """Any valid key or session."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody established.

    Args:
        key_id: the API key that stands behind the request or the session.
        label: what its maker called it.
    """

    key_id: int
    label: str


@dataclass(frozen=True, slots=True)
class Session:
    """A console session, just begun.

    Args:
        token: the secret for the cookie; kept nowhere but there.
        expires_at: when it ends at the latest, UTC.
    """

    token: str
    expires_at: datetime


class Access(Protocol):
    """Establishes who asks. Every method raises UnauthorizedError when it cannot, whatever the reason."""

    async def authenticate(self, bearer: str) -> Principal:
        """The owner of the API key `bearer`."""

    async def resume(self, session: str) -> Principal:
        """The owner of the console session whose token is `session`."""

    async def sign_in(self, bearer: str) -> Session:
        """A new session for the owner of the API key `bearer`."""

    async def redeem(self, link: str) -> Session:
        """A new session for the one-time sign-in link whose token is `link`, which is spent."""

    async def sign_out(self, session: str) -> None:
        """Ends the session; one that is not known is no error."""


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
