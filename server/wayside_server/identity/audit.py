"""Ways to enter acts in the audit log."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import structlog

from wayside_server.domain.audit import Act, AuditTrail, Outcome
from wayside_server.errors import StorageError

log = structlog.get_logger(__name__)

DAMPED_FOR: Final = timedelta(minutes=1)
MAX_DAMPED: Final = 1_000
"""Refusals that are held back at a time, each different; the oldest makes room, and its repeats are entered."""
MAX_A_MINUTE: Final = 120
"""Different refusals that are entered by themselves in a minute; of more, how many there were of each action, kind and
tenant. Addresses and names cost a stranger nothing, and an entry is kept for ever."""
FLUSH_EVERY_S: Final = 5.0
"""How late repeats are entered, beside the minute."""

_Same: TypeAlias = tuple[str | int | None, ...]


@dataclass(slots=True)
class _Held:
    since: datetime
    act: Act
    repeats: int = 0


class DampedTrail:
    """Enters what was done at once; of refusals and failures that repeat the first at once, and a minute later how many
    followed.

    A stranger who guesses tokens must be seen, and must not fill the log. What differs in who, what or whose it was is
    no repeat: each is told of by itself, and nobody is named for what another did.

    Args:
        trail: where acts are entered.
        now: the time, aware.
    """

    def __init__(self, trail: AuditTrail, now: Callable[[], datetime]) -> None:
        self._trail = trail
        self._now = now
        self._held: OrderedDict[_Same, _Held] = OrderedDict()
        self._minute = now()
        self._entered = 0

    async def record(self, act: Act) -> None:
        """As `AuditTrail`."""
        if act.outcome is Outcome.DONE:
            await self._trail.record(act)
            return
        if not self._held_back(_same(act)):
            many = self._too_many()
            act = _many(act) if many else act
            if not self._held_back(_same(act)):
                await self._begin(act, entered=not many)

    async def flush(self, *, everything: bool = False) -> None:
        """Enters the repeats that are due; with `everything` all, at the end.

        Raises:
            StorageError: they could not be entered; they are held still.
        """
        due = self._now() - DAMPED_FOR
        while self._held:
            same, held = next(iter(self._held.items()))
            if held.since > due and not everything:
                return
            del self._held[same]
            await self._enter(same, held)

    async def run(self) -> None:
        """Enters what is due until cancelled."""
        away = False
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self.flush()
                away = False
            except StorageError as error:
                if not away:
                    log.warning("repeated refusals could not be entered yet, trying again", reason=str(error))
                away = True

    def _held_back(self, same: _Same) -> bool:
        held = self._held.get(same)
        if held is not None:
            held.repeats += 1
        return held is not None

    def _too_many(self) -> bool:
        now = self._now()
        if now - self._minute >= DAMPED_FOR:
            self._minute, self._entered = now, 0
        self._entered += 1
        return self._entered > MAX_A_MINUTE

    async def _begin(self, act: Act, *, entered: bool) -> None:
        if len(self._held) >= MAX_DAMPED:
            await self._enter(*self._held.popitem(last=False))
        # Held first: what comes while it is being entered is a repeat of it.
        same = _same(act)
        self._held[same] = _Held(self._now(), act, 0 if entered else 1)
        if entered:
            try:
                await self._trail.record(act)
            except StorageError:
                self._held.pop(same, None)
                raise

    async def _enter(self, same: _Same, held: _Held) -> None:
        if not held.repeats:
            return
        try:
            await self._trail.record(replace(held.act, detail={**held.act.detail, "repeats": held.repeats}))
        except StorageError:
            again = self._held.setdefault(same, held)
            again.repeats += 0 if again is held else held.repeats
            self._held.move_to_end(same, last=False)
            raise


def _same(act: Act) -> _Same:
    return act.action, str(act.detail.get("kind", "")), act.subject, act.actor, act.tenant_id, act.address


def _many(act: Act) -> Act:
    """What is entered of many that differ: nobody is named."""
    kept = {"kind": act.detail["kind"]} if "kind" in act.detail else {}
    return replace(act, actor="many", subject="many", address=None, detail=kept)
