"""The order of things at ingest: a step function that never acknowledges what is not committed.

Messages wait in arrival order. One group is in the database's hands at a time, and the next one forms meanwhile, so
groups grow with the load and nothing waits for a timer. PUBACKs carry the generation of the session they came on: a
packet id of an old session would acknowledge somebody else's message on a new one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from wayside_server.domain.ingest import Item, Settlement, cost

MAX_GROUP_COST = 16 * 1024 * 1024
"""Decoded size of a group in bytes: some 300,000 samples, a commit of about a second."""
AHEAD_COST = 16 * 1024 * 1024
"""What is decoded ahead while a group is in the database's hands; further messages wait as they came."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a PUBACK needs: the session's generation and the packet id."""

    generation: int
    packet_id: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came. `decode` says what it holds and never raises; it is called once, when there is room for that."""

    decode: Callable[[], Item]
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class SessionBegan:
    """A session with the broker stands."""

    generation: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The session is over: what is queued will come again from its devices."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The group in the database's hands is committed."""

    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Failed:
    """The database could not; the same group must be written again."""


@dataclass(frozen=True, slots=True)
class Poisoned:
    """The group cannot be stored as it is. For a group of one, `replacement` is what to store in its place."""

    replacement: Item | None


Event: TypeAlias = Arrived | SessionBegan | SessionEnded | Committed | Failed | Poisoned


@dataclass(frozen=True, slots=True)
class Write:
    """Hand this group to the database. `again` says that it failed before: wait a moment first."""

    items: Sequence[Item]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """Publish what is now committed."""

    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Puback:
    """Acknowledge these messages to the broker."""

    tickets: Sequence[Ticket]


Effect: TypeAlias = Write | Tell | Puback


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A decoded message and what it costs."""

    item: Item
    ticket: Ticket
    cost: int


@dataclass(slots=True)
class Intake:
    """The state of an ingest session: messages as they came, then decoded ones, then the group that is written."""

    generation: int = 0
    arrived: deque[Arrived] = field(default_factory=deque)
    waiting: deque[_Waiting] = field(default_factory=deque)
    group: list[_Waiting] = field(default_factory=list)

    def step(self, event: Event) -> list[Effect]:
        """What to do about `event`."""
        match event:
            case Arrived():
                self.arrived.append(event)
            case SessionBegan(generation):
                self.generation = generation
            case SessionEnded():
                self.generation = 0
                self.arrived.clear()
                self.waiting.clear()
            case Committed(settlement):
                return self._committed(settlement)
            case Failed():
                return [Write([taken.item for taken in self.group], again=True)]
            case Poisoned(replacement):
                return self._poisoned(replacement)
        return self._next()

    def _next(self) -> list[Effect]:
        self._decode_ahead()
        if self.group or not self.waiting:
            return []
        size = 0
        while self.waiting and (not self.group or size + self.waiting[0].cost <= MAX_GROUP_COST):
            self.group.append(self.waiting.popleft())
            size += self.group[-1].cost
            self._decode_ahead()
        return [Write([taken.item for taken in self.group])]

    def _decode_ahead(self) -> None:
        ahead = sum(taken.cost for taken in self.waiting)
        while self.arrived and ahead < AHEAD_COST:
            arrived = self.arrived.popleft()
            item = arrived.decode()
            self.waiting.append(_Waiting(item, arrived.ticket, cost(item)))
            ahead += self.waiting[-1].cost

    def _committed(self, settlement: Settlement) -> list[Effect]:
        tickets = [taken.ticket for taken in self.group if taken.ticket.generation == self.generation]
        self.group = []
        effects: list[Effect] = [Tell(settlement)]
        if tickets:
            effects.append(Puback(tickets))
        return effects + self._next()

    def _poisoned(self, replacement: Item | None) -> list[Effect]:
        """Alone, the culprit is replaced; in company, the first half goes by itself and the rest after it."""
        if replacement is not None and len(self.group) == 1:
            self.group = [_Waiting(replacement, self.group[0].ticket, self.group[0].cost)]
        else:
            half = max(1, len(self.group) // 2)
            self.waiting.extendleft(reversed(self.group[half:]))
            self.group = self.group[:half]
        return [Write([taken.item for taken in self.group])]
