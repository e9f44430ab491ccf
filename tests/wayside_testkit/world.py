"""A world for the protocol: the agent's and the server's own code over a lossy broker, a crashing database, failing
boards and jumping clocks, all from one seed and in virtual time.

The oracle keeps three sets apart (attempted, accepted, stored) beside the declared drops, each sample with its own
value, so that loss, doubling, invention and halves of batches all show.
"""

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from wayside_edge.errors import TransientError
from wayside_edge.outbox import core
from wayside_edge.ports import Appended, ClosedBatch, EpochState, Incoming, Loaded, Outgoing, Settled
from wayside_edge.uplink.session import Uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_server.domain.ingest import (
    Batch,
    Entry,
    Garbage,
    Hello,
    Item,
    Key,
    NewEntry,
    Plan,
    Raw,
    Settlement,
    StreamKey,
    acks,
    decide,
    keys_of,
)
from wayside_server.errors import StorageError
from wayside_server.ingest.mqtt import Received
from wayside_server.ingest.service import Ingest
from wayside_shared import topics
from wayside_shared.batch import Column, encode_body
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_shared.columns import Body
from wayside_shared.ranges import Ranges
from wayside_shared.session import ServerHello
from wayside_shared.topics import Channel
from wayside_testkit.rows import ModelRows

WALL_NS = 1_790_000_000 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Harshness:
    """How bad the world is: probabilities a message, or mean seconds between events (0 for never)."""

    lose: float = 0.05
    double: float = 0.05
    database_fails: float = 0.05
    commit_unknown: float = 0.05
    device_dies_s: float = 20.0
    broker_dies_s: float = 25.0
    ingest_dies_s: float = 25.0
    card_restored_s: float = 0.0
    server_restored_s: float = 0.0
    clock_jumps_s: float = 30.0


@dataclass
class Oracle:
    """What is true, sample by sample."""

    attempted: set[float] = field(default_factory=set)
    accepted: set[float] = field(default_factory=set)
    forgiven: set[float] = field(default_factory=set)

    def verdict(self, database: "Database") -> dict[str, int]:
        """Counts of what must not be; all are 0 when the promise holds."""
        stored = Counter(value for values in database.samples.values() for value in values)
        dropped = database.dropped()
        return {
            "lost": len(self.accepted - self.forgiven - stored.keys() - dropped),
            "duplicated": sum(times - 1 for times in stored.values()),
            "phantom": len(stored.keys() - self.attempted),
            "partial": sum(len(values) != database.ledger_n[key] for key, values in database.samples.items()),
        }


class SimClock:
    """A board's clocks in virtual time; the wall clock can jump."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.jump_ns = 0

    def boottime_ns(self) -> int:
        return int(self._loop.time() * NS_PER_S)

    def wall_ns(self) -> int:
        return WALL_NS + self.boottime_ns() + self.jump_ns

    def synced(self) -> bool:
        return True

    def boot_id(self) -> bytes:
        return b"simulated-boot--"


class ModelOutbox:
    """`ports.OutboxDelivery` over rows in memory, with a moment before and after each commit for a crash to hit."""

    def __init__(self, rows: ModelRows, limits: core.Limits, on_drop: Callable[[Sequence[int]], None]) -> None:
        self.rows = rows
        self._limits = limits
        self._on_drop = on_drop

    async def append(self, batch: ClosedBatch) -> Appended:
        await asyncio.sleep(0)
        with self.rows.transaction() as rows:
            appended = core.append(rows, batch, self._limits)
        self._on_drop(appended.dropped)
        await asyncio.sleep(0)
        return appended

    async def load(self, seqs: Any) -> Loaded:
        await asyncio.sleep(0)
        found = [row for seq in seqs if (row := self.rows.get(seq)) is not None]
        current, counters = core.counters(self.rows)
        return Loaded(found, current, counters, (), ())

    async def settle(self, ack: Any) -> Settled:
        await asyncio.sleep(0)
        with self.rows.transaction() as rows:
            settled = core.settle(rows, ack)
        await asyncio.sleep(0)
        return settled

    async def rewind(self, hello: ServerHello) -> Sequence[int]:
        with self.rows.transaction() as rows:
            return core.rewind(rows, hello)

    async def streams(self) -> Sequence[EpochState]:
        return self.rows.kept_epochs()

    async def fork(self) -> None:
        with self.rows.transaction() as rows:
            rows.begin_epoch()


class Database:
    """`domain.ingest.IngestStore` in memory: it fails before a commit, or after it without saying so."""

    def __init__(self, random: Random, harsh: Harshness) -> None:
        self._random = random
        self.harsh = harsh
        self.ledger: dict[Key, Entry] = {}
        self.ledger_n: dict[Key, int] = {}
        self.samples: dict[Key, list[float]] = {}
        self.first_seq: dict[StreamKey, int] = {}
        self.bodies: dict[Key, list[float]] = {}

    async def settle(self, items: Sequence[Item]) -> Settlement:
        await asyncio.sleep(self._random.uniform(0, 0.05))
        if self._random.random() < self.harsh.database_fails:
            raise StorageError("simulated: crashed before the commit")
        settlement = self._commit(items)
        await asyncio.sleep(self._random.uniform(0, 0.02))
        if self._random.random() < self.harsh.commit_unknown:
            raise StorageError("simulated: the connection broke during the commit")
        return settlement

    async def count_refusals(self, kind: str, count: int, detail: str) -> None:
        raise AssertionError("the simulated broker refuses nobody")

    def committed(self, item: Item) -> bool:
        """Whether `item` may be acknowledged to the broker."""
        return not isinstance(item, Batch) or item.key in self.ledger

    def dropped(self) -> set[float]:
        """Samples of batches that their device declared dropped."""
        return {
            value
            for key, entry in self.ledger.items()
            if entry.outcome.startswith("dropped:")
            for value in self.bodies.get(key, ())
        }

    def state(self) -> dict[str, Any]:
        """A backup."""
        return copy.deepcopy({"ledger": self.ledger, "ledger_n": self.ledger_n, "samples": self.samples})

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a backup."""
        self.__dict__.update(copy.deepcopy(state))

    def _commit(self, items: Sequence[Item]) -> Settlement:
        batches = [item for item in items if isinstance(item, Batch)]
        assert not any(isinstance(item, Garbage) for item in items)
        for batch in batches:
            self.first_seq.setdefault(batch.stream, batch.envelope.first_seq)
        plan: Plan = decide(batches, {key: self.ledger[key] for key in keys_of(batches) if key in self.ledger})
        for entry in plan.entries:
            self._enter(entry)
        for batch in plan.stored:
            assert isinstance(batch.content, Body)
            values = [v for b in batch.content.blocks if b.numbers is not None for v in b.numbers.tolist()]
            self.samples.setdefault(batch.key, []).extend(values)
        answers = [self._answer(item) for item in items if isinstance(item, Hello)]
        marks = {batch.stream: self._watermark(batch.stream) for batch in batches}
        return Settlement(acks(plan, marks), answers, 0, 0, len(plan.dead))

    def _enter(self, entry: NewEntry) -> None:
        assert entry.key not in self.ledger, "the ledger's primary key"
        self.ledger[entry.key] = Entry(entry.digest, entry.outcome)
        self.ledger_n[entry.key] = entry.n

    def _answer(self, item: Hello) -> tuple[str, ServerHello]:
        stream = (item.raw.device, item.hello.epoch)
        self.first_seq.setdefault(stream, item.hello.first_seq)
        upto = self._watermark(stream)
        seqs = [seq for device, epoch, seq in self.ledger if (device, epoch) == stream]
        top = max(seqs, default=self.first_seq[stream] - 1)
        ranges = Ranges(seq for seq in seqs if seq > upto).pairs()
        return stream[0], ServerHello(item.hello.nonce, item.hello.epoch, upto, top, "simulated", ranges)

    def _watermark(self, stream: StreamKey) -> int:
        upto = self.first_seq[stream] - 1
        while (*stream, upto + 1) in self.ledger:
            upto += 1
        return upto


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


class Board:
    """A device: rows that survive, and an agent that does not."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.rows = ModelRows(name=name)
        self.clock = SimClock(asyncio.get_running_loop())
        self.image: ModelRows | None = None
        self.power = asyncio.Lock()
        self.tasks: list[asyncio.Task[None]] = []
        self._made = 0

    def start(self) -> None:
        """Boot: the agent finds what the rows hold."""
        outbox = ModelOutbox(self.rows, self.world.limits, lambda _: None)
        settings = UplinkSettings(host="simulated", device=self.name)
        pending = Ranges(head.seq for head in self.rows.pending(0, 1 << 30))
        transport = SimTransport(self.world.broker, self.name)
        random = Random(self.world.random.random())
        uplink = Uplink(settings, transport, outbox, pending, self.clock, "simulated", random)
        self.tasks = [asyncio.create_task(uplink.run()), asyncio.create_task(self._sense(outbox, uplink))]

    async def die(self) -> None:
        """Lose power at whatever point it is."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for task in self.tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def restore_card(self) -> None:
        """Put an older image of the card in; what only the newer one held is gone and nobody's fault."""
        if self.image is not None:
            delivered = {value for values in self.world.database.samples.values() for value in values}
            held = {value for head in self.rows.pending(0, 1 << 30) for value in self._values(self.rows, head.seq)}
            kept = {value for head in self.image.pending(0, 1 << 30) for value in self._values(self.image, head.seq)}
            self.world.oracle.forgiven |= held - kept - delivered
            self.rows = copy.deepcopy(self.image)
            self.rows.epochs_made += 1_000 * self.world.random.randrange(1, 1_000)
        self.image = copy.deepcopy(self.rows)

    def _values(self, rows: ModelRows, seq: int) -> list[float]:
        row = rows.get(seq)
        return [] if row is None else self.world.values_of.get(row.body, [])

    async def _sense(self, outbox: ModelOutbox, uplink: Uplink) -> None:
        while True:
            await asyncio.sleep(self.world.random.uniform(0.1, 0.9))
            if not self.world.sensing:
                continue
            values = [self.world.new_value() for _ in range(self.world.random.randrange(1, 6))]
            now = self.clock.boottime_ns()
            times = [now + i for i in range(len(values))]
            body = encode_body([Column("t", "Cel", times, values)])
            self.world.values_of[body] = values
            self.world.oracle.attempted.update(values)
            clock = ClockMap(now, self.clock.wall_ns(), ClockState.SYNCED)
            appended = await outbox.append(ClosedBatch(len(values), body, self.clock.boot_id(), clock))
            self.world.oracle.accepted.update(values)
            uplink.accepted(appended)


class World:
    """Everything, from one seed.

    Args:
        seed: of every choice.
        harsh: how bad it is.
        boards: how many devices.
        limits: of their outboxes.
    """

    def __init__(self, seed: int, harsh: Harshness, boards: int = 3, limits: core.Limits | None = None) -> None:
        self.random = Random(seed)
        self.harsh = harsh
        self.limits = limits or core.Limits(1 << 30, 1 << 30, 1 << 62)
        self.oracle = Oracle()
        self.values_of: dict[bytes, list[float]] = {}
        self.sensing = True
        self._values = 0
        self._boards = boards

    def new_value(self) -> float:
        """A value that no other sample has."""
        self._values += 1
        return float(self._values)

    async def run(self, seconds: float) -> dict[str, int]:
        """Live through `seconds` of trouble, then let everything drain in peace.

        Returns:
            The oracle's verdict, with the number of accepted samples under "accepted".
        """
        self.database = Database(self.random, self.harsh)
        self.broker = SimBroker(self.random, self.harsh, self.database)
        self.backup = self.database.state()
        self.boards = [Board(self, f"board-{i}") for i in range(self._boards)]
        ingests = [self._start_ingest() for _ in range(2)]
        for board in self.boards:
            board.start()
        troubles = [asyncio.create_task(task) for task in self._troubles(ingests)]
        await asyncio.sleep(seconds)
        for board in self.boards:
            # A board that is off when the trouble ends would stay off.
            await board.power.acquire()
        for task in troubles:
            task.cancel()
        await asyncio.gather(*troubles, return_exceptions=True)
        for task in troubles:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        await self._drain(ingests)
        for board in self.boards:
            await board.die()
        for ingest in ingests:
            ingest.cancel()
        await asyncio.gather(*ingests, return_exceptions=True)
        self._note_bodies()
        return {"accepted": len(self.oracle.accepted), **self.oracle.verdict(self.database)}

    async def _drain(self, ingests: list[asyncio.Task[None]]) -> None:
        self.sensing = False
        peace = Harshness(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        self.broker.harsh = self.database.harsh = peace
        self.broker.die()
        deadline = asyncio.get_running_loop().time() + 900
        # Two quiet looks a minute apart: a rewind may still be on its way when the first finds nothing pending.
        quiet = 0
        while quiet < 2:
            await asyncio.sleep(60)
            for task in [*ingests, *(task for board in self.boards for task in board.tasks)]:
                if task.done():
                    task.result()
            quiet = quiet + 1 if not any(board.rows.pending(0, 1) for board in self.boards) else 0
            assert asyncio.get_running_loop().time() < deadline, "the outboxes do not drain"

    def _start_ingest(self) -> asyncio.Task[None]:
        def new_session(on_messages: Callable[[], None], on_end: Callable[[str], None]) -> SimSession:
            return SimSession(self.broker, on_messages, on_end)

        ingest = Ingest(new_session, self.database, Random(self.random.random()))
        return asyncio.create_task(ingest.run())

    def _troubles(self, ingests: list[asyncio.Task[None]]) -> list[Any]:
        async def devices() -> None:
            board = self.random.choice(self.boards)
            async with board.power:
                await board.die()
                await asyncio.sleep(self.random.uniform(0, 3))
                board.start()

        async def cards() -> None:
            board = self.random.choice(self.boards)
            async with board.power:
                await board.die()
                board.restore_card()
                board.start()

        async def broker() -> None:
            self.broker.die()

        async def server() -> None:
            self.database.restore(self.backup)
            self.backup = self.database.state()
            await ingest()

        async def ingest() -> None:
            at = self.random.randrange(len(ingests))
            ingests[at].cancel()
            await asyncio.gather(ingests[at], return_exceptions=True)
            ingests[at] = self._start_ingest()

        async def clocks() -> None:
            board = self.random.choice(self.boards)
            board.clock.jump_ns = self.random.choice([0, 3_600, -3_600, 86_400, 315_360_000, -315_360_000]) * NS_PER_S

        harsh = self.harsh
        kinds = [
            (harsh.device_dies_s, devices),
            (harsh.broker_dies_s, broker),
            (harsh.ingest_dies_s, ingest),
            (harsh.card_restored_s, cards),
            (harsh.server_restored_s, server),
            (harsh.clock_jumps_s, clocks),
        ]
        return [self._repeat(mean_s, trouble) for mean_s, trouble in kinds if mean_s]

    async def _repeat(self, mean_s: float, trouble: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(1 / mean_s))
            await trouble()

    def _note_bodies(self) -> None:
        """Dropped batches are known by number only; find what they held."""
        for board in self.boards:
            for key, values in board_values(board).items():
                self.database.bodies[key] = values


def board_values(board: Board) -> dict[Key, list[float]]:
    """The samples of each batch that a board still keeps, by ledger key."""
    return {
        (board.name, item.row.epoch, seq): board.world.values_of.get(item.row.body, [])
        for seq, item in board.rows.stored.items()
    }
