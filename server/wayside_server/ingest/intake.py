"""The order of things at ingest: a step function that never acknowledges what is not committed.

Messages wait in arrival order. One group is in the database's hands at a time, and the next one forms meanwhile, so
groups grow with the load and nothing waits for a timer. PUBACKs carry the generation of the session they came on: a
packet id of an old session would acknowledge somebody else's message on a new one.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from wayside_server.domain.ingest import Item, Settlement

MAX_GROUP_BYTES = 512 * 1024
"""Payload in a group: some 300,000 samples at the usual density, a commit of about a second."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a PUBACK needs: the session's generation and the packet id."""

    generation: int
    packet_id: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came, decoded or not yet worth decoding; `size` is its payload in bytes."""

    item: Item
    ticket: Ticket
    size: int


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


@dataclass(slots=True)
class Intake:
    """The state of an ingest session."""

    generation: int = 0
    waiting: deque[Arrived] = field(default_factory=deque)
    group: list[Arrived] = field(default_factory=list)

    def step(self, event: Event) -> list[Effect]:
        """What to do about `event`."""
        match event:
            case Arrived():
                self.waiting.append(event)
            case SessionBegan(generation):
                self.generation = generation
            case SessionEnded():
                self.generation = 0
                self.waiting.clear()
            case Committed(settlement):
                return self._committed(settlement)
            case Failed():
                return [Write([arrived.item for arrived in self.group], again=True)]
            case Poisoned(replacement):
                return self._poisoned(replacement)
        return self._next()

    def _next(self) -> list[Effect]:
        if self.group or not self.waiting:
            return []
        size = 0
        while self.waiting and (not self.group or size < MAX_GROUP_BYTES):
            arrived = self.waiting.popleft()
            self.group.append(arrived)
            size += arrived.size
        return [Write([arrived.item for arrived in self.group])]

    def _committed(self, settlement: Settlement) -> list[Effect]:
        tickets = [arrived.ticket for arrived in self.group if arrived.ticket.generation == self.generation]
        self.group = []
        effects: list[Effect] = [Tell(settlement)]
        if tickets:
            effects.append(Puback(tickets))
        return effects + self._next()

    def _poisoned(self, replacement: Item | None) -> list[Effect]:
        """Alone, the culprit is replaced; in company, the first half goes by itself and the rest after it."""
        if replacement is not None and len(self.group) == 1:
            self.group = [Arrived(replacement, self.group[0].ticket, self.group[0].size)]
        else:
            half = max(1, len(self.group) // 2)
            self.waiting.extendleft(reversed(self.group[half:]))
            self.group = self.group[:half]
        return [Write([arrived.item for arrived in self.group])]
