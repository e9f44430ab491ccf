"""Ways to enter acts in the audit log."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from wayside_server.domain.audit import Act, AuditTrail, Outcome

log = structlog.get_logger(__name__)

DAMPED_FOR: Final = timedelta(minutes=1)
MAX_DAMPED: Final = 1_000
"""Kinds of refusals that are held back at a time; the oldest makes room, and is entered."""


class LoggedTrail:
    """Says acts in the server's own log, and keeps nothing."""

    async def record(self, act: Act) -> None:
        """As `AuditTrail`."""
        said = {"actor": act.actor, "action": act.action, "subject": act.subject, "tenant_id": act.tenant_id}
        log.info("audit", **said, address=act.address, outcome=act.outcome.value, **act.detail)


@dataclass(slots=True)
class _Held:
    since: datetime
    act: Act
    repeats: int = 0


class DampedTrail:
    """Enters what was done at once; of refusals that repeat the first at once, and a minute later how many followed.

    A stranger who guesses tokens must be seen, and must not fill the log.

    Args:
        trail: where acts are entered.
        now: the time, aware.
    """

    def __init__(self, trail: AuditTrail, now: Callable[[], datetime]) -> None:
        self._trail = trail
        self._now = now
        self._held: OrderedDict[tuple[str, str | None], _Held] = OrderedDict()

    async def record(self, act: Act) -> None:
        """As `AuditTrail`."""
        await self.flush()
        if act.outcome is not Outcome.REFUSED:
            await self._trail.record(act)
            return
        kind = (act.action, act.address)
        held = self._held.get(kind)
        if held is not None:
            held.act, held.repeats = act, held.repeats + 1
            return
        if len(self._held) == MAX_DAMPED:
            await self._enter(self._held.popitem(last=False)[1])
        self._held[kind] = _Held(self._now(), act)
        await self._trail.record(act)

    async def flush(self, *, everything: bool = False) -> None:
        """Enters the repeats that are due; with `everything` all, at the end."""
        due = self._now() - DAMPED_FOR
        while self._held:
            kind, held = next(iter(self._held.items()))
            if held.since > due and not everything:
                return
            del self._held[kind]
            await self._enter(held)

    async def _enter(self, held: _Held) -> None:
        if held.repeats:
            detail = {**held.act.detail, "repeats": held.repeats}
            await self._trail.record(replace(held.act, detail=detail))
