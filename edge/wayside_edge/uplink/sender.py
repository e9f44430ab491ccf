"""When to send what: the uplink's core, a step function without I/O.

`step` takes one event and the time and returns what to do about it. It never trusts the broker: a batch leaves the
outbox only when the server names it as committed. Only what was sent and is confirmed by number is settled; the
server's cumulative watermark serves to notice a server that has gone back, never to forget a batch, because after a
restored card the same number may stand for other content.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from wayside_shared.clock import NS_PER_S
from wayside_shared.ranges import Ranges
from wayside_shared.session import Ack, ServerHello

FIRST_WINDOW = 8
"""Batches in flight before the first acknowledgement of a session: enough to fill a slow link, too few to flood."""
BASE_S = 2.0
"""First retransmission: above any healthy commit, below what a person would call stuck (reliability notes, 2.3)."""
CAP_S = 300.0
HELLO_CAP_S = 30.0
"""A hello costs nothing and holds up everything, so it is repeated sooner than a batch."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A session with the broker stands. `nonce` is 8 fresh random bytes for its hello."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session is over."""


@dataclass(frozen=True, slots=True)
class Added:
    """The outbox has new pending batches: just accepted, or numbered anew."""

    seqs: Iterable[int]


@dataclass(frozen=True, slots=True)
class Removed:
    """Batches are pending no more: delivered, refused or given up. `confirmed` counts those the server has."""

    seqs: Iterable[int]
    confirmed: int = 0


@dataclass(frozen=True, slots=True)
class GotAck:
    """The server acknowledged."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class GotHello:
    """The server answered a hello. `epoch` and `next_seq` are the outbox's now."""

    hello: ServerHello
    epoch: bytes
    next_seq: int


@dataclass(frozen=True, slots=True)
class Held:
    """Batches that are not to be sent before `Released`: the time of their samples is not known yet."""

    seqs: Iterable[int]


@dataclass(frozen=True, slots=True)
class Released:
    """What was held can be sent. `nonce` is 8 fresh random bytes, to tell the server of the clock."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = Connected | Disconnected | Added | Removed | GotAck | GotHello | Held | Released | Tick


@dataclass(frozen=True, slots=True)
class SendHello:
    """Say hello with this nonce, for the current epoch and for every older one of which batches are kept."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish these batches, in this order."""

    seqs: list[int]


@dataclass(frozen=True, slots=True)
class Settle:
    """Take the acknowledgement into the outbox."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class Rewind:
    """Make pending again what is marked delivered and this answer does not know."""

    hello: ServerHello


@dataclass(frozen=True, slots=True)
class Fork:
    """Start a new epoch: the server knows numbers of this one that this outbox never gave out."""


Effect: TypeAlias = SendHello | Publish | Settle | Rewind | Fork


@dataclass(slots=True)
class _Flight:
    due_ns: int
    attempt: int


@dataclass(slots=True)
class Sender:
    """The state of the uplink.

    Args:
        pending: numbers of the batches that the outbox has not delivered; those found to wait for the time move to
            `held`.
        max_window: most batches in flight.
        random: source of jitter.
    """

    pending: Ranges
    max_window: int
    random: Random
    window: float = FIRST_WINDOW
    threshold: float = 64.0
    flights: dict[int, _Flight] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    held: Ranges = field(default_factory=Ranges)
    nonce: bytes | None = None
    greeted: bool = False
    hello_due_ns: int = 0
    hello_attempt: int = 0
    live_from: int = 0
    slow_until_ns: int = 0
    slow_ns: int = 0

    def step(self, event: Event, now_ns: int) -> list[Effect]:
        """What to do about `event` at `now_ns` (boot time, nanoseconds)."""
        effects: list[Effect] = []
        match event:
            case Connected(nonce):
                self._open(nonce, now_ns)
                effects.append(SendHello(nonce))
            case Disconnected():
                self._close()
            case Added() | Removed() | Held():
                self._keep_books(event)
            case GotAck(ack):
                effects.extend(self._on_ack(ack, now_ns))
            case GotHello():
                effects.extend(self._on_hello(event))
            case Released(nonce):
                effects.extend(self._release(nonce, now_ns))
            case Tick():
                effects.extend(self._on_tick(now_ns))
        effects.extend(self._fill(now_ns))
        return effects

    def next_due_ns(self) -> int | None:
        """When the next `Tick` has work; None while nothing waits for time alone."""
        if self.nonce is None:
            return None
        if not self.greeted:
            return self.hello_due_ns
        dues = [flight.due_ns for flight in self.flights.values()]
        if self.slow_ns and self.pending:
            dues.append(self.slow_until_ns)
        return min(dues, default=None)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent: the server was heard, and all that is pending is on its way."""
        return self.nonce is not None and self.greeted and self._next_idle(0) is None

    def ask_again(self, nonce: bytes, now_ns: int) -> list[Effect]:
        """Ask the server where it stands, with batches going on meanwhile."""
        self.nonce = nonce
        self.hello_due_ns = now_ns + int(HELLO_CAP_S * NS_PER_S)
        return [SendHello(nonce)]

    def _open(self, nonce: bytes, now_ns: int) -> None:
        self._close()
        self.nonce = nonce
        self.hello_due_ns = now_ns + self._delay(0, HELLO_CAP_S)
        # What is accepted from now on goes first; what waited fills the rest of the window, oldest first.
        pairs = self.pending.pairs()
        self.live_from = pairs[-1][1] + 1 if pairs else 0

    def _close(self) -> None:
        self.nonce = None
        self.greeted = False
        self.hello_attempt = 0
        self.flights.clear()
        self.attempts.clear()
        self.window = FIRST_WINDOW
        self.slow_ns = 0

    def _remove(self, seqs: Iterable[int], confirmed: int) -> None:
        for seq in seqs:
            self.pending.discard(seq)
            self.held.discard(seq)
            self.flights.pop(seq, None)
            self.attempts.pop(seq, None)
        for _ in range(confirmed):
            self.window += 1.0 if self.window < self.threshold else 1.0 / self.window
        self.window = min(self.window, float(self.max_window))

    def _keep_books(self, event: Added | Removed | Held) -> None:
        match event:
            case Added(seqs):
                for seq in seqs:
                    self.pending.add(seq)
            case Removed(seqs, confirmed):
                self._remove(seqs, confirmed)
            case Held(seqs):
                for seq in seqs:
                    if seq in self.pending:
                        self.pending.discard(seq)
                        self.held.add(seq)
                        self.flights.pop(seq, None)

    def _release(self, nonce: bytes, now_ns: int) -> list[Effect]:
        for first, last in self.held.pairs():
            self.pending.add(first, last)
        self.held = Ranges()
        return [] if self.nonce is None else self.ask_again(nonce, now_ns)

    def _on_ack(self, ack: Ack, now_ns: int) -> list[Effect]:
        self.slow_ns = ack.slow_ms * 1_000_000
        self.slow_until_ns = now_ns + self.slow_ns
        return [Settle(ack)]

    def _on_hello(self, event: GotHello) -> list[Effect]:
        hello = event.hello
        if hello.nonce != self.nonce:
            return []
        if hello.epoch == event.epoch:
            self.greeted = True
            self.hello_attempt = 0
            if hello.max_seq >= event.next_seq:
                return [Fork()]
        return [Rewind(hello)]

    def _on_tick(self, now_ns: int) -> list[Effect]:
        if self.nonce is None:
            return []
        if not self.greeted:
            if now_ns < self.hello_due_ns:
                return []
            self.hello_attempt += 1
            self.hello_due_ns = now_ns + self._delay(self.hello_attempt, HELLO_CAP_S)
            return [SendHello(self.nonce)]
        late = [seq for seq, flight in self.flights.items() if flight.due_ns <= now_ns]
        if late:
            # A retransmission storm doubles the load on a server that is already behind: fall back to one.
            self.threshold = max(2.0, self.window / 2)
            self.window = 1.0
        for seq in late:
            self.attempts[seq] = self.flights.pop(seq).attempt + 1
        return []

    def _fill(self, now_ns: int) -> list[Effect]:
        if self.nonce is None or not self.greeted or now_ns < self.slow_until_ns:
            return []
        room = int(self.window) - len(self.flights)
        if self.slow_ns:
            room = min(room, 1)
        chosen: list[int] = []
        for start, stop in ((self.live_from, None), (0, self.live_from)):
            seq = self._next_idle(start)
            while seq is not None and len(chosen) < room and (stop is None or seq < stop):
                chosen.append(seq)
                seq = self._next_idle(seq + 1)
        for seq in chosen:
            attempt = self.attempts.get(seq, 0)
            self.flights[seq] = _Flight(now_ns + self._delay(attempt, CAP_S), attempt)
        if chosen and self.slow_ns:
            self.slow_until_ns = now_ns + self.slow_ns
        return [Publish(chosen)] if chosen else []

    def _next_idle(self, at_least: int) -> int | None:
        seq = self.pending.next(at_least)
        while seq is not None and seq in self.flights:
            seq = self.pending.next(seq + 1)
        return seq

    def _delay(self, attempt: int, cap_s: float) -> int:
        """Back-off with full jitter, in nanoseconds, never under the base."""
        spread = min(cap_s, BASE_S * 2.0**attempt)
        return int((BASE_S + self.random.uniform(0, spread)) * NS_PER_S)
