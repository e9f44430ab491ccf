"""The audit trail where no other is wired: the log."""

import structlog

from wayside_server.domain.audit import Act

log = structlog.get_logger(__name__)


class LoggedTrail:
    """An `AuditTrail` that writes each act to the log."""

    async def record(self, act: Act) -> None:
        """As `AuditTrail`."""
        log.info(
            "audit",
            actor=act.actor,
            action=act.action,
            subject=act.subject,
            tenant_id=act.tenant_id,
            address=act.address,
            outcome=act.outcome.value,
            detail=dict(act.detail),
        )
