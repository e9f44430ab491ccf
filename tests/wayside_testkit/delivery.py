"""The real way of a batch, from an outbox to a committed row, in one process: for tests that break links of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from wayside_edge.hal.clock import FLOOR_NS
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import Appended, Clock, ClosedBatch
from wayside_edge.uplink.mqtt import MqttTransport
from wayside_edge.uplink.session import Uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_server.domain.limits import DeviceLimits
from wayside_server.domain.rates import RateLimits, Rates
from wayside_server.ingest.mqtt import BrokerAddress, BrokerSession
from wayside_server.ingest.pace import Pace
from wayside_server.ingest.service import Ingest
from wayside_server.storage.database import Pool
from wayside_server.storage.ingest import PostgresIngest
from wayside_shared.batch import Column, encode_body
from wayside_shared.clock import ClockMap, ClockState
from wayside_testkit.broker import Broker
from wayside_testkit.clock import LiveClock
from wayside_testkit.credentials import Credentials

DEADLINE_S = 30.0


class EdgeSide:
    """An outbox with its uplink, without sensors: the test says what is accepted."""

    def __init__(self, outbox: DurableOutbox, uplink: Uplink, clock: Clock) -> None:
        self.outbox = outbox
        self.uplink = uplink
        self.clock = clock

    async def accept(self, values: Sequence[float], name: str = "t") -> Appended:
        """Accept one batch of `values`, a millisecond apart, ending now."""
        now = self.clock.boottime_ns()
        times = [now - (len(values) - 1 - i) * 1_000_000 for i in range(len(values))]
        state = ClockState.SYNCED if self.clock.synced() else ClockState.UNSYNCED
        clock = ClockMap(now, self.clock.wall_ns(), state)
        body = encode_body([Column(name, "Cel", times, list(values))])
        appended = await self.outbox.append(ClosedBatch(len(values), body, self.clock.boot_id(), clock))
        self.uplink.accepted(appended)
        return appended

    async def delivered(self) -> None:
        """Returns when the server has everything."""
        async with asyncio.timeout(DEADLINE_S):
            await self.uplink.drained()


@asynccontextmanager
async def edge_side(
    path: Path, broker: Broker, who: Credentials, clock: Clock | None = None, **outbox: Any
) -> AsyncIterator[EdgeSide]:
    """The device `who`, delivering from the outbox at `path` while the block runs.

    With a `clock` that is not synchronised, what has no time waits as in the agent.
    """
    clock = clock or LiveClock()
    settled: dict[str, Any] = {"free_disk_floor_mb": 0, "ballast_mb": 0, **outbox}
    store = DurableOutbox(OutboxSettings(path=path, **settled), clock)
    status = await store.open()
    settings = UplinkSettings(
        host=broker.host,
        port=broker.port,
        device=who.name,
        ca_file=who.ca_file,
        cert_file=who.cert_file,
        key_file=who.key_file,
    )
    transport = MqttTransport(settings, lambda: None if clock.synced() else max(FLOOR_NS, status.known_ns))
    uplink = Uplink(
        *(settings, transport, store, status.pending, clock, "test agent", Random(1)), holding=not clock.synced()
    )
    async with _running(uplink.run):
        yield EdgeSide(store, uplink, clock)
    await store.close()


@asynccontextmanager
async def server_side(
    broker: Broker, who: Credentials, pool: Pool, rates: RateLimits | None = None
) -> AsyncIterator[Ingest]:
    """An ingest session that stores into `pool` while the block runs."""
    pace = Pace(Rates(rates or RateLimits(), time.monotonic))
    address = BrokerAddress(broker.host, broker.port, who.name, who.ca_file, who.cert_file, who.key_file)

    def new_session(on_messages: Callable[[], None], on_end: Callable[[str], None]) -> BrokerSession:
        return BrokerSession(address, on_messages, on_end, ingest.on_broker_log)

    ingest = Ingest(new_session, PostgresIngest(pool, "test server", DeviceLimits()), pace, Random(1))
    async with _running(ingest.run):
        yield ingest


@asynccontextmanager
async def _running(run: Callable[[], Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and task.exception() is not None:
        raise task.exception()  # type: ignore[misc]
