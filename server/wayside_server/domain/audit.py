"""What the audit log keeps: who did what to what, from where, and whether it was let."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

Detail: TypeAlias = Mapping[str, str | int | float | bool | None]


class Outcome(Enum):
    """What became of it."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that somebody did or tried.

    Args:
        actor: kind and name, as `person:ada`, `key:k3v9x2m4`, `device:boiler-7`, `command line:root`, `system:jobs`.
        action: thing and verb, as `token.create`, `device.revoke`, `session.begin`.
        subject: kind and name of what it was done to, as `device:boiler-7`.
        tenant_id: whose it is; None for the installation's own.
        address: network address of the actor; None on the machine itself.
        outcome: what became of it.
        detail: what else matters. Never a secret, nor anything from which one follows.
    """

    actor: str
    action: str
    subject: str
    tenant_id: int | None
    address: str | None = None
    outcome: Outcome = Outcome.DONE
    detail: Detail = field(default_factory=dict)


class AuditTrail(Protocol):
    """Where acts are entered; nothing in it is ever changed."""

    async def record(self, act: Act) -> None:
        """Enters `act`, now.

        Raises:
            StorageError: it could not be entered; the act must then not be done either.
        """
