"""What somebody may who comes with a session, and the names and tokens by which people are known."""

import hashlib
import re

from wayside_server.domain.access import Permission, Principal, Role, permissions_of
from wayside_server.errors import ConfigError
from wayside_server.identity.people import NAME_PATTERN, Method, OpenSession

UNKNOWN = "unknown account"
"""In the audit log, for a name that is no account's: it may be a passphrase that was typed into the wrong field."""


def principal_of(session: OpenSession) -> Principal:
    """Who asks with `session`, which opens something, and what they may."""
    may, held = {Permission.SELF}, None
    role = Role.ADMIN if session.is_administrator and session.tenant_id is not None else session.role
    if session.must_change:
        held = "choose a new passphrase first, on the page Account"
    elif _lacks_factor(session, role):
        held = "this tenant wants a second factor of its admins; set one up first, on the page Account"
    else:
        if role is not None:
            may |= permissions_of(role)
        elif session.is_administrator:
            held = "choose a tenant first, on the page Account"
        else:
            held = "your account belongs to no tenant; ask an admin for an invitation"
        if session.is_administrator:
            may |= {Permission.INSTALL, Permission.METRICS}
    tenant_id = session.tenant_id if role is not None else None
    tenant = None if tenant_id is None else session.tenant
    return Principal(f"person:{session.name}", session.display_name, tenant_id, frozenset(may), held, tenant)


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    # Text from a header may hold lone surrogates; they must not raise.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_name(name: str) -> str:
    """The login name in the form in which it is kept.

    Raises:
        ConfigError: it is none.
    """
    clean = name.strip().casefold()
    if re.fullmatch(NAME_PATTERN, clean) is None:
        raise ConfigError("a name has 2 to 63 of a-z, 0-9 and . _ @ + -, and begins with a letter or digit")
    return clean


def check_reach(by: Principal, *roles: Role) -> None:
    """Insists that `by` may all that `roles` may: nobody gives, or takes, what they have not.

    Raises:
        ConfigError: one may more.
    """
    for role in roles:
        more = sorted(one.value for one in permissions_of(role) - by.permissions)
        if more:
            raise ConfigError(f"{role.name.lower()}: you have not {', '.join(more)} yourself; choose a lower role")


def one_line(text: str, longest: int) -> str:
    """`text` as it can be kept and shown: what people typed, or pasted, on one line."""
    # PostgreSQL takes neither NUL nor lone surrogates.
    return " ".join(text.encode("utf-8", "replace").decode().replace("\0", " ").split())[:longest]


def _lacks_factor(session: OpenSession, role: Role | None) -> bool:
    # With OpenID Connect the second factor is the provider's part.
    wanted = session.require_second_factor and role is Role.ADMIN and session.method is not Method.OIDC
    return wanted and not session.second_factor
