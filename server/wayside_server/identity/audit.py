"""Acts as lines of the log."""

import structlog

from wayside_server.domain.audit import Act

log = structlog.get_logger(__name__)


class LoggedTrail:
    """An `AuditTrail` that keeps nothing but a line of the log."""

    async def record(self, act: Act) -> None:
        """Logs `act`."""
        log.info(
            "audit",
            actor=act.actor,
            action=act.action,
            subject=act.subject,
            tenant_id=act.tenant_id,
            address=act.address,
            outcome=act.outcome.value,
            **{f"detail_{name}": value for name, value in act.detail.items()},
        )
