"""Who does something within a tenant, and from where: what the audit log needs of it."""

from dataclasses import dataclass

from wayside_server.domain.access import Permission, Principal
from wayside_server.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who acts within a tenant.

    Args:
        actor: kind and name, as in `domain.audit.Act`.
        tenant_id: within which tenant.
        address: network address; None on the server itself.
        installs: whether the installation's own is in their hands too.
    """

    actor: str
    tenant_id: int
    address: str | None
    installs: bool = False


def caller_of(principal: Principal, address: str | None) -> Caller:
    """`principal` as a caller.

    Raises:
        NotFoundError: it acts within no tenant.
    """
    if principal.tenant_id is None:
        raise NotFoundError("this is a tenant's, and you act within none; choose a tenant first")
    return Caller(principal.actor, principal.tenant_id, address, Permission.INSTALL in principal.permissions)
