"""Nothing is said about a batch before it is committed, and nothing of an old session on a new one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random

import pytest

from wayside_server.domain.ingest import Batch, Item, Raw, Settlement
from wayside_server.domain.rates import BURST_S, RateLimits, Rates
from wayside_server.ingest.mqtt import Received
from wayside_server.ingest.pace import Pace
from wayside_server.ingest.service import Ingest
from wayside_shared.batch import CONTENT_TYPE
from wayside_shared.session import Ack, decode_ack
from wayside_shared.topics import Channel, topic
from wayside_testkit.batches import Device, column

BURST = 3
"""Messages that a device may send at once."""


class Store:
    """An `IngestStore` whose commits the test lets happen."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def settle(self, items: Sequence[Item]) -> Settlement:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait(committed)
        await committed
        batches = [item for item in items if isinstance(item, Batch)]
        acks = [(b.raw.device, Ack(b.envelope.epoch, b.envelope.seq, [(b.envelope.seq,) * 2])) for b in batches]
        return Settlement(acks, [], len(batches), 0, 0)


class Session:
    """An `ingest.service.Session` that remembers what it was told."""

    def __init__(self, generation: int, on_messages: Callable[[], None], on_end: Callable[[str], None]) -> None:
        self.generation = generation
        self.published: list[Channel] = []
        self.acks: list[Ack] = []
        self.acknowledged: list[int] = []
        self.end = on_end
        self._on_messages = on_messages
        self._received: list[Received] = []

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    def take(self) -> list[Received]:
        taken, self._received = self._received, []
        return taken

    def publish(self, device: str, channel: Channel, payload: bytes, content_type: str) -> None:
        self.published.append(channel)
        if channel is Channel.ACK:
            self.acks.append(decode_ack(payload))

    def acknowledge(self, packet_id: int) -> None:
        self.acknowledged.append(packet_id)

    def deliver(self, payload: bytes, packet_id: int) -> None:
        raw = Raw("boiler-7", topic("boiler-7", Channel.UP), CONTENT_TYPE, payload, 1)
        self._received.append(Received(raw, Channel.UP, packet_id))
        self._on_messages()


class Broker:
    """Makes the sessions, and gives them to the test as they begin."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[Session] = asyncio.Queue()
        self._generation = 0

    def __call__(self, on_messages: Callable[[], None], on_end: Callable[[str], None]) -> Session:
        self._generation += 1
        session = Session(self._generation, on_messages, on_end)
        # Served in the next turn of the loop; then its messages are taken at once.
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, self.began.put_nowait, session)
        return session


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def broker(store: Store) -> AsyncIterator[Broker]:
    broker = Broker()
    pace = Pace(Rates(RateLimits(device_messages=BURST / BURST_S), lambda: 0.0))
    task = asyncio.create_task(Ingest(broker, store, pace, Random(1)).run())
    yield broker
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_batch_is_acknowledged_only_once_it_is_committed(broker: Broker, store: Store) -> None:
    session = await broker.began.get()
    session.deliver(Device().message(column("t", [1.0])), 7)
    committed = await store.waiting.get()
    await turns()
    assert (session.published, session.acknowledged) == ([], [])
    committed.set_result(None)
    await turns()
    assert (session.published, session.acknowledged) == ([Channel.ACK], [7])


async def test_a_commit_that_comes_after_its_session_pubacks_nothing_on_the_next(broker: Broker, store: Store) -> None:
    first = await broker.began.get()
    first.deliver(Device().message(column("t", [1.0])), 1)
    committed = await store.waiting.get()
    first.end("the broker died")
    second = await broker.began.get()
    second.deliver(Device("boiler-8").message(column("t", [2.0])), 1)
    committed.set_result(None)
    await turns()
    assert second.acknowledged == [], "packet 1 of the new session is another message, not committed yet"
    (await store.waiting.get()).set_result(None)
    await turns()
    assert second.acknowledged == [1]


async def test_what_is_too_much_is_done_with_for_the_broker_and_unheard_of_for_the_device(
    broker: Broker, store: Store
) -> None:
    session, device = await broker.began.get(), Device()
    for packet_id in range(1, BURST + 2):
        session.deliver(device.message(column("t", [1.0])), packet_id)
    assert session.acknowledged == [BURST + 1], "it is not waited for"
    while len(session.acknowledged) <= BURST:
        (await store.waiting.get()).set_result(None)
        await turns()
    told = [seq for ack in session.acks for seq, _ in ack.ranges]
    assert told == list(range(1, BURST + 1)), "the device sends the last one again"
    assert session.acks[-1].slow_ms == BURST_S * 1_000 / BURST // 1 + 1, "and is told how fast it may"
