"""Named points at which a process dies: the product's own parts, with a trap around each step that matters.

The traps stand in subclasses and wrappers, so the product's code knows nothing of them.
"""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from wayside_edge.outbox.sqlite import SqliteRows
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import Appended, ClosedBatch, Connection, Incoming, Outgoing, Settled, Transport
from wayside_shared import topics
from wayside_shared.session import Ack
from wayside_shared.topics import Channel

if TYPE_CHECKING:
    from wayside_server.ingest.mqtt import BrokerSession
    from wayside_server.storage.ingest import PostgresIngest

T = TypeVar("T")

EXIT_KILLED = 137
"""What a shell reports of a process that died by SIGKILL."""

AGENT_POINTS = (
    "before outbox commit",
    "after outbox commit",
    "before publish",
    "after publish",
    "before settle",
    "after settle",
)
INGEST_POINTS = (
    "before insert",
    "after insert",
    "before commit",
    "after commit",
    "before ack",
    "after ack",
    "before PUBACK",
    "after PUBACK",
)


class Trap:
    """Ends this process, at once and uncleanly, when it passes a named point for the `passes`-th time.

    Args:
        point: one of the points, or '' for none.
        passes: 1 or more.
    """

    def __init__(self, point: str, passes: int) -> None:
        self._point = point
        self._left = passes

    def at(self, point: str) -> None:
        """This process is at `point`."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os._exit(EXIT_KILLED)


class TrappedOutbox(DurableOutbox):
    """The outbox, with traps around the commit of an append and around the settling of an acknowledgement."""

    def __init__(self, trap: Trap, *args: Any) -> None:
        super().__init__(*args)
        self._trap = trap
        self._appending = False

    def _append(self, batch: ClosedBatch) -> Appended:
        self._appending = True
        try:
            return super()._append(batch)
        finally:
            self._appending = False

    async def settle(self, ack: Ack) -> Settled:
        self._trap.at("before settle")
        settled = await super().settle(ack)
        self._trap.at("after settle")
        return settled

    def _in_transaction(self, step: Callable[[SqliteRows], T]) -> T:
        if not self._appending:
            return super()._in_transaction(step)

        def trapped(rows: SqliteRows) -> T:
            result = step(rows)
            self._trap.at("before outbox commit")
            return result

        result = super()._in_transaction(trapped)
        self._trap.at("after outbox commit")
        return result


class TrappedTransport:
    """A transport whose connections have traps around each batch's publish."""

    def __init__(self, trap: Trap, transport: Transport) -> None:
        self._trap = trap
        self._transport = transport

    async def connect(self) -> Connection:
        return _TrappedConnection(self._trap, await self._transport.connect())


class _TrappedConnection:
    def __init__(self, trap: Trap, connection: Connection) -> None:
        self._trap = trap
        self._connection = connection

    def publish(self, message: Outgoing) -> None:
        address = topics.parse(message.topic)
        if address is None or address.channel is not Channel.UP:
            self._connection.publish(message)
            return
        self._trap.at("before publish")
        self._connection.publish(message)
        self._trap.at("after publish")

    @property
    def ended(self) -> str:
        return self._connection.ended

    def incoming(self) -> AsyncIterator[Incoming]:
        return self._connection.incoming()

    async def close(self) -> None:
        await self._connection.close()


def ingest_parts(trap: Trap) -> "tuple[type[PostgresIngest], type[BrokerSession]]":
    """The store and session of ingest as classes with traps; imported here, for agents need none of the server."""
    from wayside_server.domain.ingest import Item, Settlement
    from wayside_server.ingest.mqtt import BrokerSession
    from wayside_server.storage.ingest import PostgresIngest

    class TrappedStore(PostgresIngest):
        async def settle(self, items: Sequence[Item]) -> Settlement:
            settlement = await super().settle(items)
            if settlement.stored:
                trap.at("after commit")
            return settlement

        async def _store(self, *args: Any) -> None:
            trap.at("before insert")
            await super()._store(*args)
            trap.at("after insert")

        async def _write(self, *args: Any) -> Settlement:
            settlement = await super()._write(*args)
            if settlement.stored:
                trap.at("before commit")
            return settlement

    class TrappedSession(BrokerSession):
        def publish(self, device: str, channel: Channel, payload: bytes, content_type: str) -> None:
            if channel is Channel.ACK:
                trap.at("before ack")
            super().publish(device, channel, payload, content_type)
            if channel is Channel.ACK:
                trap.at("after ack")

        def acknowledge(self, packet_id: int) -> None:
            trap.at("before PUBACK")
            super().acknowledge(packet_id)
            trap.at("after PUBACK")

    return TrappedStore, TrappedSession
