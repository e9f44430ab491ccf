"""Devices that wait for somebody's consent: what is kept of them, and where."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from wayside_server.domain.caller import Caller
from wayside_server.errors import WaysideError
from wayside_server.identity.issuing import IssueTransaction, KnownCertificate

SHOWN_LETTERS = 4
"""Enough to tell one waiting device from another; the other eight are 40 bits, which nobody guesses by typing."""


@dataclass(frozen=True, slots=True)
class WaitBounds:
    """How many may wait at a time.

    Args:
        network: from one network. A plant behind one address may set up as many at once; beyond, its oldest makes
            room, which asks again anyway.
        every: of all; each takes a kilobyte, and asks once a minute in the end.
    """

    network: int = 256
    every: int = 4_096


class Kind(Enum):
    """What somebody is asked to consent to."""

    NEW = "new"
    RENEWAL = "renewal"


class Decision(Enum):
    """What was decided."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """A device that waits, as the store has it; times are UTC.

    Args:
        entry_id: the store's own number for it.
        kind: a new device, or the renewal of a known one.
        codes: what it shows, one for each root.
        address: where it asked from last.
        first_seen: when it asked first.
        last_seen: and last, exact to SEEN_EVERY.
        expires_at: until when it waits, or the decision stands.
        decision: what was decided.
        tenant_id: whose it is; None while nobody has claimed it.
        device_id: the device's number, once it has one.
        device: its name.
        serial: of the certificate that it was given.
    """

    entry_id: int
    kind: Kind
    codes: tuple[str, ...]
    address: str
    first_seen: datetime
    last_seen: datetime
    expires_at: datetime
    decision: Decision
    tenant_id: int | None
    device_id: int | None
    device: str | None
    serial: int | None

    @property
    def code_begins(self) -> str:
        """As much of the code as is shown to people who have not seen the device."""
        return self.codes[0][:SHOWN_LETTERS]


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A device that asks for the first time; `network` is by what the number of those from one place is bounded."""

    kind: Kind
    key_sha256: bytes
    csr: bytes
    codes: tuple[str, ...]
    address: str
    network: str
    at: datetime
    expires_at: datetime
    tenant_id: int | None
    device_id: int | None


class ClaimTransaction(IssueTransaction, Protocol):
    """With what devices wait and are let in."""

    async def entry(self, key_sha256: bytes) -> Entry | None:
        """Who waits with this key; no other transaction gets it until this one has ended."""

    async def entry_by_id(self, entry_id: int) -> Entry | None:
        """As `entry`, by its number."""

    async def entries_by_code(self, code: str) -> list[Entry]:
        """As `entry`: all that wait and show `code`."""

    async def wait(self, new: NewEntry, bounds: WaitBounds) -> int:
        """Keeps `new`; how many others that wait had to go for it.

        Beyond a bound the oldest goes: of its network, or of the network that has most.
        """

    async def seen(self, entry_id: int, address: str, now: datetime) -> None:
        """Notes that it asked again."""

    async def forget(self, entry_id: int) -> None:
        """Removes it."""

    async def decide(self, entry_id: int, decision: Decision, caller: Caller, now: datetime, until: datetime) -> None:
        """Keeps what was decided, by whom, and until when it stands."""

    async def place(self, entry_id: int, tenant_id: int, group_id: int | None, device_id: int) -> None:
        """Says which device it becomes."""

    async def given(self, entry_id: int, serial: int) -> None:
        """Notes the certificate that it was given."""

    async def group(self, tenant_id: int, name: str) -> int:
        """The number of the tenant's group, made when missing."""


class ClaimStore(Protocol):
    """Where devices that wait are kept."""

    def claims(self) -> AbstractAsyncContextManager[ClaimTransaction]:
        """Begins a transaction; leaving the block commits it."""

    async def waiting(
        self, tenant_id: int, now: datetime, *, unclaimed: bool, before_id: int, limit: int
    ) -> list[Entry]:
        """What waits for the tenant's consent, with numbers below `before_id`, the latest first.

        With `unclaimed` also what nobody has claimed.
        """

    async def sole_tenant(self) -> bool:
        """Whether the installation has one tenant only."""


class WaitRefused(Enum):
    """Why a device without a token does not get in."""

    REFUSED = "enrolment_refused"
    UNKNOWN_KEY = "renewal_unknown"
    BAD_KEY = "renewal_refused"


_WHY = {
    WaitRefused.REFUSED: "an operator has refused this device",
    WaitRefused.UNKNOWN_KEY: "this key is not known for that device; enrol it anew, with a token or a code",
    WaitRefused.BAD_KEY: "this key counts no more; make a new one and enrol the device anew, with a token or a code",
}


class WaitRefusedError(WaysideError):
    """A device without a token is not let in; `why` says why, `known` whose key it is."""

    def __init__(self, why: WaitRefused, known: KnownCertificate | None = None) -> None:
        self.why = why
        self.known = known
        super().__init__(_WHY[why])


class WaitExpiredError(WaysideError):
    """Nobody has claimed it in time; it may ask anew."""

    def __init__(self) -> None:
        super().__init__("nobody has let this device in for too long; start the enrolment again")


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet.

    Args:
        retry_after_s: when to ask again.
        displaced: how many others had to go for it.
    """

    retry_after_s: int
    displaced: int = 0
