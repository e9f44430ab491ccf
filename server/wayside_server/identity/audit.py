"""An audit trail in the log, for what has no other."""

import structlog

from wayside_server.domain.audit import Act

log = structlog.get_logger(__name__)


class LoggedTrail:
    """`domain.audit.AuditTrail` whose acts are lines of the log."""

    async def record(self, act: Act) -> None:
        """Enters `act`, now."""
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
