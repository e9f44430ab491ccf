"""How often somebody may try: each failure costs a longer pause, whether what was tried exists or not."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from wayside_server.domain.addresses import network_of
from wayside_server.errors import ThrottledError


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast pauses grow.

    Args:
        free: failures before the first pause, which is of one second; each further one doubles it.
        longest_s: the longest pause, seconds.
    """

    free: int
    longest_s: float


ACCOUNT_PACE = Pace(free=5, longest_s=300.0)
"""Mistyped a few times costs nothing; the tenth failure costs half a minute. More than five minutes would help nobody
but him who wants to keep the owner out: 300 guesses a day find no passphrase that is not among the commonest."""
ADDRESS_PACE = Pace(free=30, longest_s=300.0)
"""An office behind one address mistypes more often than one person."""
FORGET_AFTER = timedelta(hours=24)


class AttemptStore(Protocol):
    """Where attempts are counted, for every process that serves people."""

    async def begin_attempt(self, subject: bytes, pace: Pace, now: datetime, forget: datetime) -> datetime | None:
        """Counts a try as failed until it turns out otherwise, at once, so that many at a time are counted too.

        Args:
            subject: SHA-256 of what is tried.
            pace: how fast its pauses grow.
            now: the time.
            forget: failures whose last is older count no more.

        Returns:
            None when it may be tried; else until when not, and nothing is counted.
        """

    async def clear_attempts(self, subject: bytes) -> None:
        """Forgets the failures of `subject`."""

    async def undo_attempt(self, subject: bytes, now: datetime) -> None:
        """Takes the last try back: it did not fail."""


class Throttle:
    """Lets tries through, or not yet.

    Args:
        store: where they are counted.
        now: the time, aware.
    """

    def __init__(self, store: AttemptStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def begin(self, kind: str, name: str | None, address: str | None) -> None:
        """Counts a try for the account `name` of `kind` from `address`; either may be None.

        Raises:
            ThrottledError: it comes too soon after the ones before.
        """
        now = self._now()
        for subject, pace in self._subjects(kind, name, address):
            until = await self._store.begin_attempt(subject, pace, now, now - FORGET_AFTER)
            if until is not None:
                raise ThrottledError(
                    "too many failed attempts; wait as long as Retry-After says",
                    max(1, math.ceil((until - now).total_seconds())),
                )

    async def succeeded(self, kind: str, name: str | None, address: str | None) -> None:
        """What was begun with the same arguments was no failure."""
        for subject, pace in self._subjects(kind, name, address):
            if pace is ACCOUNT_PACE:
                await self._store.clear_attempts(subject)
            else:
                await self._store.undo_attempt(subject, self._now())

    def _subjects(self, kind: str, name: str | None, address: str | None) -> list[tuple[bytes, Pace]]:
        # The address first: what it may not try any more does not count against the account.
        subjects = [] if address is None else [(_digest(f"address {network_of(address)}"), ADDRESS_PACE)]
        return subjects if name is None else [*subjects, (_digest(f"{kind} {name}"), ACCOUNT_PACE)]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
