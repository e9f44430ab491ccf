"""When a device asks for a new certificate, proves it, and lets the old one go: a step function without I/O.

`step` takes one event and the time and returns what to do about it. The agent's shell does it
(`wayside_edge.identity.keeper`); simulators drive the same function. Nothing here ever asks to stop measuring.

Two rules keep a device in: a certificate is asked for only while the time is known, because a wrong clock would renew
for ever or never; and one certificate is given up only after a session with the other has come about.
"""

import hashlib
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

RENEW_AFTER: Final = 2 / 3
"""Of a certificate's life: the last third is for a server or a link that is away."""
SPREAD: Final = 0.1
"""Of its life: devices that were enrolled together renew over three days of a month, not in one minute."""
BASE_S: Final = 60.0
CAP_S: Final = 86_400.0
"""A failure is tried again once a day at least, however often it failed."""
NEAR_END: Final = 8
"""Tries that must still fit into what is left of the life, so that they come closer towards its end."""
LEAST_CAP_S: Final = 300.0
EXPIRED_CAP_S: Final = 3_600.0
"""An operator who approves an expired device waits no longer than this for it."""
REFRESH_S: Final = 86_400.0
"""A root that is to replace another is announced for weeks; a device that asks daily has it in time."""
MOST_DISPROOFS: Final = 3
"""So often must the broker refuse a new certificate, and take the old one right after, before it is thrown away."""
LONGEST_WAIT_S: Final = 86_400.0
SHORTEST_WAIT_S: Final = 10.0
"""Bounds of what a server may ask a device to wait."""


@dataclass(frozen=True, slots=True)
class Life:
    """What counts of a certificate: its serial number, and from when to when it is valid, in UTC seconds."""

    serial: int
    begins_s: int
    ends_s: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; `synced` says whether the wall clock is right."""

    synced: bool


@dataclass(frozen=True, slots=True)
class Issued:
    """The server gave a new certificate, and it lies beside the present one."""

    life: Life


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The server named its CA certificates; `changed` when a changed list lies beside the present one."""

    changed: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """An operator must approve first; the server wants to be asked again after this time."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The server was not reached or refused; `reason` is for a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Proved:
    """A session with what lay beside has come about."""


@dataclass(frozen=True, slots=True)
class Disproved:
    """What lay beside was refused, and a session with the present certificate came about right after."""

    reason: str


@dataclass(frozen=True, slots=True)
class FellBack:
    """The present certificate was refused, and the one before it was taken right after. `life` is that one's."""

    life: Life
    reason: str


@dataclass(frozen=True, slots=True)
class Unkept:
    """What was to be promoted is not the present one: the disk did not take that. `life` is the present one's."""

    life: Life
    reason: str


@dataclass(frozen=True, slots=True)
class Stood:
    """A session with the present certificate has lasted long enough to be a good one."""


Event: TypeAlias = Tick | Issued | Refreshed | Waiting | Failed | Proved | Disproved | FellBack | Unkept | Stood


@dataclass(frozen=True, slots=True)
class Renew:
    """Ask for a certificate; `expired` when the present one proves nothing any more and only its key is known."""

    expired: bool


@dataclass(frozen=True, slots=True)
class Refresh:
    """Ask for the CA certificates."""


@dataclass(frozen=True, slots=True)
class Prove:
    """Open a session with what lies beside, in place of the running one."""


@dataclass(frozen=True, slots=True)
class Promote:
    """Make what lies beside the present one, and keep the one before."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Throw away what lies beside."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """Make the one before the present one again."""


@dataclass(frozen=True, slots=True)
class DropOld:
    """Throw away the one before."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Tell a person, once: this kept the renewal from succeeding."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """Tell a person, once: the trouble is over."""


Effect: TypeAlias = Renew | Refresh | Prove | Promote | Discard | RollBack | DropOld | Trouble | Recovered


def renew_at_s(device: str, life: Life) -> float:
    """When `device` renews a certificate of this life, in UTC seconds: the same each time it is asked.

    Counted from the certificate's own beginning, which the server dates back a little, so a fleet's order is kept.
    """
    digest = hashlib.sha256(f"{device} {life.serial:x}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return life.begins_s + (life.ends_s - life.begins_s) * (RENEW_AFTER + SPREAD * share)


@dataclass(slots=True)
class Renewal:
    """The state of one device's certificate.

    Args:
        device: its name.
        life: of the present certificate.
        random: source of jitter.
        staged: of the certificate that lies beside the present one, from a run before; None without.
        keeps_old: whether the one before the present one is still there.
    """

    device: str
    life: Life
    random: Random
    staged: Life | None = None
    keeps_old: bool = False
    asking: Renew | Refresh | None = None
    proving: bool = False
    failures: int = 0
    disproofs: int = 0
    due_s: float = 0.0
    prove_due_s: float = 0.0
    refresh_due_s: float = 0.0
    refresh_failures: int = 0
    trouble: str = ""
    trouble_since_s: float = 0.0

    def step(self, event: Event, now_s: float) -> list[Effect]:
        """What to do about `event` at `now_s` (UTC seconds as the device's clock has them)."""
        match event:
            case Tick(synced):
                return self._on_tick(now_s) if synced else self._prove_if_due(now_s)
            case Issued() | Refreshed() | Waiting() | Failed():
                return self._on_answer(event, now_s)
            case Proved() | Disproved() | FellBack() | Unkept() | Stood():
                return self._on_session(event, now_s)

    def next_renewal_s(self) -> float:
        """When the server is asked next for a certificate, in UTC seconds."""
        return max(self.due_s, renew_at_s(self.device, self.life))

    def expired(self, now_s: float) -> bool:
        """Whether the present certificate has ended."""
        return now_s >= self.life.ends_s

    def _on_tick(self, now_s: float) -> list[Effect]:
        if not self.refresh_due_s:
            # The first of a run comes by lot within an hour: a fleet whose power comes back starts together.
            self.refresh_due_s = now_s + self.random.uniform(0.0, 3_600.0)
        if self.staged is not None:
            return self._prove_if_due(now_s)
        if self.asking is not None:
            return []
        if now_s >= self.next_renewal_s():
            self.asking = Renew(expired=self.expired(now_s))
        elif now_s >= self.refresh_due_s and not self.expired(now_s):
            self.asking = Refresh()
        return [] if self.asking is None else [self.asking]

    def _prove_if_due(self, now_s: float) -> list[Effect]:
        if self.staged is None or self.proving or now_s < self.prove_due_s:
            return []
        self.proving = True
        return [Prove()]

    def _on_answer(self, event: Issued | Refreshed | Waiting | Failed, now_s: float) -> list[Effect]:
        refreshing, self.asking = isinstance(self.asking, Refresh), None
        match event:
            case Issued(life):
                self.refresh_due_s = self._next_refresh(now_s)  # it brought the CA certificates too
                return self._stage(life, now_s)
            case Refreshed(changed):
                self.refresh_failures = 0
                self.refresh_due_s = self._next_refresh(now_s)
                return self._stage(self.life, now_s) if changed else []
            case Waiting(retry_after_s):
                wait_s = min(max(retry_after_s, SHORTEST_WAIT_S), LONGEST_WAIT_S)
                self.due_s = now_s + wait_s * self.random.uniform(1.0, 1.1)
                return self._troubled("an operator must approve the renewal", now_s)
            case Failed(reason) if refreshing:
                # The present list serves as well as yesterday; a renewal that fails is what a person must hear of.
                self.refresh_failures += 1
                self.refresh_due_s = now_s + self._pause(self.refresh_failures + 5, REFRESH_S)
                return []
            case Failed(reason):
                return self._fail(reason, now_s)

    def _stage(self, life: Life, now_s: float) -> list[Effect]:
        self.staged = life
        self.disproofs = 0
        self.prove_due_s = now_s
        return self._prove_if_due(now_s)

    def _on_session(self, event: Proved | Disproved | FellBack | Unkept | Stood, now_s: float) -> list[Effect]:
        match event:
            case Proved() if self.staged is not None:
                self.life, self.staged, self.proving = self.staged, None, False
                self.keeps_old, self.failures, self.due_s = True, 0, 0.0
                return [Promote(), *self._well()]
            case Disproved(reason) if self.staged is not None:
                return self._disprove(reason, now_s)
            case FellBack(life, reason):
                self.life, self.keeps_old = life, False
                return [RollBack(), *self._fail(f"the broker refused the new certificate: {reason}", now_s)]
            case Unkept(life, reason):
                self.staged, self.life, self.keeps_old = self.life, life, False
                self.prove_due_s = now_s + self._pause(3, self._cap(now_s))
                return self._fail(reason, now_s)
            case Stood() if self.keeps_old:
                self.keeps_old = False
                return [DropOld()]
        return []

    def _disprove(self, reason: str, now_s: float) -> list[Effect]:
        self.proving = False
        self.disproofs += 1
        self.prove_due_s = now_s + self._pause(self.disproofs + 3, self._cap(now_s))
        effects: list[Effect] = []
        if self.disproofs >= MOST_DISPROOFS:
            self.staged = None
            effects.append(Discard())
        return [*effects, *self._fail(f"the broker refuses the new certificate: {reason}", now_s)]

    def _fail(self, reason: str, now_s: float) -> list[Effect]:
        self.failures += 1
        self.due_s = now_s + self._pause(self.failures, self._cap(now_s))
        return self._troubled(reason, now_s)

    def _troubled(self, reason: str, now_s: float) -> list[Effect]:
        if reason == self.trouble:
            return []
        self.trouble, self.trouble_since_s = reason, now_s
        return [Trouble(reason)]

    def _well(self) -> list[Effect]:
        if not self.trouble:
            return []
        self.trouble = ""
        return [Recovered()]

    def _cap(self, now_s: float) -> float:
        left_s = self.life.ends_s - now_s
        if left_s <= 0:
            return EXPIRED_CAP_S
        return min(CAP_S, max(LEAST_CAP_S, left_s / NEAR_END))

    def _pause(self, failures: int, cap_s: float) -> float:
        spread_s = min(cap_s, BASE_S * 2.0 ** min(failures, 30))
        return self.random.uniform(spread_s / 2, spread_s)

    def _next_refresh(self, now_s: float) -> float:
        return now_s + REFRESH_S * self.random.uniform(0.9, 1.1)
