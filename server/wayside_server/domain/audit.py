"""What the audit log keeps: who did what to what, from where, and whether it was let."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Final, Protocol, TypeAlias

from wayside_server.domain.moments import from_us

Detail: TypeAlias = Mapping[str, str | int | float | bool | None]


Enter: TypeAlias = Callable[[], Awaitable[None]]
"""Enters an act; a store awaits it within the transaction that does the act, so that neither is without the other."""


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


async def enter_nothing() -> None:
    """An `Enter` for what is no act of anybody."""


class AuditTrail(Protocol):
    """Where acts are entered; nothing in it is ever changed."""

    async def record(self, act: Act) -> None:
        """Enters `act`, now.

        Raises:
            StorageError: it could not be entered; the act must then not be done either.
        """


@dataclass(frozen=True, slots=True)
class Entry:
    """An act as it was entered.

    Args:
        id: 1, 2, 3, … without a gap.
        at_us: when, in microseconds since 1970 UTC.
        act: what.
        detail: the act's, as JSON text: what is hashed is the text that is kept.
        hash: `chained` of all before it and of it.
    """

    id: int
    at_us: int
    act: Act
    detail: str
    hash: bytes

    @property
    def at(self) -> datetime:
        """When, UTC."""
        return from_us(self.at_us)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries are wanted, newest first; texts must be equal, or equal up to a final `*`.

    Args:
        tenant_id: of this tenant only; None for all, which is for the installation's administrators.
        before_id: with smaller numbers.
        limit: at most.
        actor: who.
        action: what was done.
        subject: what it was done to.
        since_us: not before, in microseconds since 1970 UTC.
        until_us: before.
    """

    tenant_id: int | None
    before_id: int
    limit: int
    actor: str = "*"
    action: str = "*"
    subject: str = "*"
    since_us: int = 0
    until_us: int = (1 << 62) - 1


class AuditReading(Protocol):
    """Where acts are looked up."""

    async def entries(self, query: AuditQuery) -> Sequence[Entry]:
        """The entries that match, newest first.

        Raises:
            StorageError: the database is away.
        """

    async def head(self) -> tuple[int, bytes]:
        """Number and hash of the last entry; 0 and GENESIS when there is none."""


GENESIS: Final = bytes(32)
"""What the first entry is chained to."""
MAX_TEXT: Final = 500
"""Longest text of an entry: names and addresses are shorter, and a stranger's words must not fill the table."""


def detail_text(act: Act) -> str:
    """The detail of `act` as JSON, always the same for the same."""
    kept = {key: _kept(value) if isinstance(value, str) else value for key, value in act.detail.items()}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def cleaned(act: Act) -> Act:
    """`act` with texts that any database keeps: bounded, without NUL and halves of characters."""
    return replace(
        act,
        actor=_kept(act.actor),
        action=_kept(act.action),
        subject=_kept(act.subject),
        address=None if act.address is None else _kept(act.address),
    )


def chained(previous: bytes, number: int, at_us: int, act: Act, detail: str) -> bytes:
    """SHA-256 of the hash before and of all that the entry says; changing, leaving out or moving an entry changes it.

    Args:
        previous: hash of the entry before; GENESIS for the first.
        number: the entry's.
        at_us: when it was entered.
        act: a cleaned one.
        detail: its `detail_text`.
    """
    said = [number, at_us, act.actor, act.action, act.subject, act.tenant_id, act.address, act.outcome.value, detail]
    return hashlib.sha256(previous + json.dumps(said, separators=(",", ":")).encode()).digest()


class Check:
    """Goes along the chain from its first entry, and tells what does not fit.

    Args:
        heads: hashes of entries by their number, as they were told outside of the database.
    """

    def __init__(self, heads: Mapping[int, bytes]) -> None:
        self.last = 0
        """Number of the last entry seen."""
        self._hash = GENESIS
        self._heads = heads

    def fault(self, entry: Entry) -> str | None:
        """What is wrong with the next entry, for a person; None when it fits."""
        before, self.last = self.last, entry.id
        previous, self._hash = self._hash, entry.hash
        if entry.id != before + 1:
            return _missing(before, entry.id)
        if chained(previous, entry.id, entry.at_us, entry.act, entry.detail) != entry.hash:
            return f"entry {entry.id} is not what was entered: it was changed, moved, or the one before it was"
        told = self._heads.get(entry.id, entry.hash)
        if told != entry.hash:
            return f"entry {entry.id} is another than the one that was told outside: the log was written anew"
        return None

    def end(self, last: int, last_hash: bytes) -> str | None:
        """What is missing behind the last entry, when the database says that `last` is the last."""
        told = max([last, *self._heads])
        if self.last < told:
            return _missing(self.last, told + 1)
        return None if last_hash == self._hash else "the log's own mark is not that of its last entry"


def _missing(before: int, after: int) -> str:
    first, last = before + 1, after - 1
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _kept(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:MAX_TEXT]
