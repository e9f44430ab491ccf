"""What becomes of a refusal: it is counted for operators and entered in the audit trail, at a price that is bounded."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from prometheus_client import Counter

from wayside_server.domain.access import Permission, Principal
from wayside_server.domain.audit import Act, AuditTrail, Outcome

REFUSED = Counter("wayside_enrolments_refused", "Enrolments, renewals and claims refused, by reason.", ["kind"])

AUDIT_EVERY = timedelta(minutes=1)
"""Of those that differ in nothing one act a minute is entered; it says how many there were since the last."""
AUDIT_MOST = 60
"""Acts a minute from all strangers: their number must not let them fill a log that keeps everything."""
REMEMBERED = 1_000
"""Refusals that differ; beyond, the one that was silent longest is forgotten, and with it its number."""


class Refusals(Protocol):
    """Counts what was refused, for operators."""

    async def count_refusal(self, kind: str, detail: str, now: datetime, tenant_id: int | None = None) -> None:
        """One more refusal of `kind` on this day; `detail` is one line without secrets, the latest is kept.

        Without a tenant it is the installation's, and no tenant sees it.
        """


class RefusalNotes:
    """Counts refusals of people and programs, and enters them in the audit trail, which damps those that repeat.

    Args:
        refusals: where they are counted.
        trail: where they are entered.
        now: the time, aware.
    """

    def __init__(self, refusals: Refusals, trail: AuditTrail, now: Callable[[], datetime]) -> None:
        self._refusals = refusals
        self._trail = trail
        self._now = now

    async def note(self, kind: str, told: str, act: Act) -> None:
        """Notes one.

        Args:
            kind: as in `domain.refusals.MEANINGS`.
            told: one line without secrets, for operators.
            act: what was tried; it is entered as refused.

        Raises:
            StorageError: it could not be noted; the answer should not be given then.
        """
        await self._refusals.count_refusal(kind, told, self._now(), act.tenant_id)
        await self._trail.record(replace(act, outcome=Outcome.REFUSED, detail={"kind": kind, **act.detail}))

    async def forbidden(self, asker: Principal, needs: Permission, route: str, address: str | None) -> None:
        """Notes that somebody was not let through to `route`; as `domain.access.Forbidden`.

        Raises:
            StorageError: as `note`.
        """
        told = f"{asker.actor} has not '{needs.value}', for {route} (from {address})"
        detail = {"needs": needs.value}
        act = Act(asker.actor, "route.use", f"route:{route}", asker.tenant_id, address, detail=detail)
        await self.note("permission", told, act)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was refused.

    Args:
        kind: as in `domain.refusals.MEANINGS`.
        detail: one line without secrets.
        action: as in `domain.audit.Act`.
        subject: as there.
        address: where it came from.
        actor: as there; None for a stranger.
        tenant_id: whose it is; None when that is not known.
    """

    kind: str
    detail: str
    action: str
    subject: str
    address: str | None
    actor: str | None = None
    tenant_id: int | None = None


class RefusalDesk:
    """Counts each refusal, and enters the first of each that differs in each minute in the audit trail.

    Args:
        refusals: where they are counted.
        trail: the audit trail.
        now: the time, aware.
    """

    def __init__(self, refusals: Refusals, trail: AuditTrail, now: Callable[[], datetime]) -> None:
        self._refusals = refusals
        self._trail = trail
        self._now = now
        self._seen: dict[tuple[str | int | None, ...], tuple[datetime, int]] = {}
        self._minute = now()
        self._entered = 0

    async def refuse(self, refusal: Refusal) -> None:
        """Notes `refusal`.

        Raises:
            StorageError: it could not be noted; the answer should not be given then.
        """
        now = self._now()
        REFUSED.labels(refusal.kind).inc()
        await self._refusals.count_refusal(refusal.kind, refusal.detail, now, refusal.tenant_id)
        times = self._times(refusal, now)
        if times:
            await self._trail.record(
                Act(
                    actor=refusal.actor or f"stranger:{refusal.address}",
                    action=refusal.action,
                    subject=refusal.subject,
                    tenant_id=refusal.tenant_id,
                    address=refusal.address,
                    outcome=Outcome.REFUSED,
                    detail={"kind": refusal.kind, "reason": refusal.detail, "times": times},
                )
            )

    def _times(self, refusal: Refusal, now: datetime) -> int:
        """How many there were since the last that was entered; 0 when this one is not."""
        if now - self._minute >= AUDIT_EVERY:
            self._minute, self._entered = now, 0
        # Whose it is and who did it tell refusals apart: a stranger's word for what it wants does not.
        subject = None if refusal.tenant_id is None else refusal.subject
        pair = refusal.kind, refusal.address, refusal.tenant_id, refusal.actor, subject
        since, left_out = self._seen.pop(pair, (None, 0))
        if len(self._seen) >= REMEMBERED:
            del self._seen[next(iter(self._seen))]
        if self._entered >= AUDIT_MOST or (since is not None and now - since < AUDIT_EVERY):
            self._seen[pair] = since or now - AUDIT_EVERY, left_out + 1
            return 0
        self._entered += 1
        self._seen[pair] = now, 0
        return left_out + 1
