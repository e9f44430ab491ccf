"""A broker in virtual time, worse than any, with the sessions of both sides."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

from wayside_edge.errors import TransientError
from wayside_edge.ports import Incoming, Outgoing
from wayside_server.domain.ingest import (
    Raw,
)
from wayside_server.ingest.mqtt import Received
from wayside_shared import topics
from wayside_shared.clock import NS_PER_S
from wayside_shared.topics import Channel
from wayside_testkit.simulated_server import Database, Harshness

WALL_NS = 1_790_000_000 * NS_PER_S


class SimBroker:
    """A broker worse than any: it loses, doubles and reorders, and forgets everything when it dies."""

    def __init__(self, random: Random, harsh: Harshness, database: Database) -> None:
        self._random = random
        self.harsh = harsh
        self.database = database
        self.devices: dict[str, SimConnection] = {}
        self.sessions: list[SimSession] = []
        self.generations = 0

    def to_server(self, device: str, message: Outgoing) -> None:
        """Carry a device's message to some ingest session, once, twice or not at all."""
        if not self.sessions:
            return
        session = self._random.choice(self.sessions)
        self._carry(lambda: session.deliver(device, message))

    def to_device(self, device: str, topic: str, payload: bytes) -> None:
        """Carry the server's message to a device."""
        connection = self.devices.get(device)
        if connection is not None:
            self._carry(lambda: connection.deliver(Incoming(topic, payload)))

    def die(self) -> None:
        """Lose every session and everything under way."""
        for connection in list(self.devices.values()):
            connection.end()
        for session in list(self.sessions):
            session.end("the broker died")

    def _carry(self, deliver: Callable[[], None]) -> None:
        if self._random.random() < self.harsh.lose:
            return
        times = 2 if self._random.random() < self.harsh.double else 1
        for _ in range(times):
            delay = self._random.expovariate(20.0)
            asyncio.get_running_loop().call_later(delay, deliver)


class SimConnection:
    """A device's session (`ports.Connection`)."""

    def __init__(self, broker: SimBroker, device: str) -> None:
        self._broker = broker
        self._device = device
        self._queue: asyncio.Queue[Incoming | None] = asyncio.Queue()
        self._over = False
        old = broker.devices.get(device)
        if old is not None:
            old.end()
        broker.devices[device] = self

    def publish(self, message: Outgoing) -> None:
        if self._over:
            raise TransientError("the session is over")
        self._broker.to_server(self._device, message)

    @property
    def ended(self) -> str:
        return "simulated" if self._over else ""

    async def incoming(self) -> AsyncIterator[Incoming]:
        while (message := await self._queue.get()) is not None:
            yield message

    def deliver(self, message: Incoming) -> None:
        if not self._over:
            self._queue.put_nowait(message)

    def end(self) -> None:
        self._over = True
        self._queue.put_nowait(None)
        if self._broker.devices.get(self._device) is self:
            del self._broker.devices[self._device]

    async def close(self) -> None:
        self.end()


class SimTransport:
    """`ports.Transport` of one device."""

    def __init__(self, broker: SimBroker, device: str) -> None:
        self._broker = broker
        self._device = device

    async def connect(self) -> SimConnection:
        await asyncio.sleep(0.05)
        return SimConnection(self._broker, self._device)


class SimSession:
    """An ingest session (`ingest.service.Session`); it checks each PUBACK as a broker cannot."""

    def __init__(self, broker: SimBroker, on_messages: Callable[[], None], on_end: Callable[[str], None]) -> None:
        broker.generations += 1
        self.generation = broker.generations
        self._broker = broker
        self._on_messages = on_messages
        self._on_end = on_end
        self._received: list[Received] = []
        self._unacknowledged: dict[int, Received] = {}

    async def open(self) -> None:
        await asyncio.sleep(0.05)
        self._broker.sessions.append(self)

    def take(self) -> list[Received]:
        taken, self._received = self._received, []
        return taken

    def publish(self, device: str, channel: Channel, payload: bytes, content_type: str) -> None:
        self._broker.to_device(device, topics.topic(device, channel), payload)

    def deliver(self, device: str, message: Outgoing) -> None:
        address = topics.parse(message.topic)
        assert address is not None
        if self not in self._broker.sessions:
            return
        raw = Raw(device, message.topic, message.content_type, message.payload, WALL_NS // 1000)
        received = Received(raw, address.channel, len(self._unacknowledged) + 1)
        self._unacknowledged[received.packet_id] = received
        self._received.append(received)
        self._on_messages()

    def acknowledge(self, packet_id: int) -> None:
        from wayside_server.ingest.decode import decode

        assert packet_id in self._unacknowledged, "a PUBACK of another session"
        received = self._unacknowledged[packet_id]
        assert self._broker.database.committed(decode(received.raw, received.channel)), "a PUBACK before the commit"

    def end(self, reason: str) -> None:
        if self in self._broker.sessions:
            self._broker.sessions.remove(self)
            self._on_end(reason)

    async def close(self) -> None:
        if self in self._broker.sessions:
            self._broker.sessions.remove(self)
