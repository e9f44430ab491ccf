"""The agent's composition root: the only place that names concrete classes.

The way of a sample:

1. `drivers` read a chip through `hal` and return readings.
2. `acquisition` stamps them with boot time.
3. Readings that can never be stored are refused and counted here, before anything is promised.
4. `pipeline.batcher` gathers them into a batch and closes it by count, size or age.
5. `outbox` numbers the batch and makes it durable: from here the sample is accepted.
6. `uplink.sender` decides when to send it, the newest ahead of the backlog.
7. `uplink.mqtt` publishes it with the device's own certificate.
8. The server commits it and names its number in an acknowledgement.
9. `outbox` marks it delivered and keeps a tail, in case the server is restored from a backup.
10. What had to be given up for want of room is declared, and that declaration travels like a sample.
"""

import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from random import SystemRandom

from wayside_edge.acquisition import Acquisition
from wayside_edge.config import AgentSettings
from wayside_edge.errors import ConfigError, OutboxError
from wayside_edge.hal.buses import Buses
from wayside_edge.hal.clock import SystemClock
from wayside_edge.health.events import ClockHeld, ClockSynced, DropDeclared, Journal, OutboxAway
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import Appended, ClosedBatch, Status
from wayside_edge.uplink.mqtt import MqttTransport
from wayside_edge.uplink.session import Uplink
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_shared.rejects import DropReason

CLOCK_LOOK_S = 2.0
OUTBOX_RETRY_S = 5.0
"""A disk that came back is noticed within this; looking costs one failed open."""


def run(settings: AgentSettings) -> int:
    """Measure and deliver until SIGTERM or SIGINT; returns the exit status."""
    logging.basicConfig(level=settings.log.level.value.upper(), format="%(asctime)s %(levelname)s %(message)s")
    try:
        return asyncio.run(_Agent(settings).run())
    except BaseExceptionGroup as group:
        # A bus of another package can find its settings wrong only when it opens.
        mistakes, _ = group.split(ConfigError)
        if mistakes is None:
            raise
        raise _first(mistakes) from group


@dataclass
class _Accepting:
    """The outbox as the acquisition sees it; what is accepted is told to the uplink, once there is one."""

    store: DurableOutbox
    uplink: Uplink | None = None

    async def append(self, batch: ClosedBatch) -> Appended:
        appended = await self.store.append(batch)
        if self.uplink is not None:
            self.uplink.accepted(appended)
        return appended


class _Agent:
    """One agent, from start to stop. Building it checks the settings and connects nothing."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._journal = Journal()
        self._clock = SystemClock(settings.clock)
        self._buses = Buses(settings.bus)
        self._store = DurableOutbox(settings.outbox, self._clock, self._dropped)
        self._accepting = _Accepting(self._store)
        self._acquisition = Acquisition(settings, self._buses, self._clock, self._accepting, journal=self._journal)

    async def run(self) -> int:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with asyncio.TaskGroup() as tasks:
            delivering = tasks.create_task(self._deliver())
            sensing = tasks.create_task(self._acquisition.run())
            watching = tasks.create_task(self._watch_clock())
            await stopping.wait()
            await _end(sensing)
            await self._acquisition.flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.uplink.drain_s):
                    if self._accepting.uplink is not None:
                        await self._accepting.uplink.drained()
            await _end(watching)
            await _end(delivering)
        await self._store.close()
        self._buses.close()
        return 0

    async def _deliver(self) -> None:
        status = await self._open()
        settings = self._settings.uplink
        transport = MqttTransport(settings)
        agent = f"wayside-edge {version('wayside')}"
        self._accepting.uplink = Uplink(
            settings, transport, self._store, status.pending, self._clock, agent, SystemRandom()
        )
        await self._hold()
        await self._accepting.uplink.run()

    async def _open(self) -> Status:
        """The outbox, as soon as the disk gives it; samples wait in memory meanwhile."""
        said = ""
        while True:
            try:
                return await self._store.open()
            except OutboxError as error:
                if str(error) != said:
                    self._journal.emit(OutboxAway(str(error)))
                said = str(error)
                await asyncio.sleep(OUTBOX_RETRY_S)

    async def _hold(self) -> None:
        """Keep samples back while the time is unknown: what was sent with a wrong time stays wrong."""
        until_ns = self._clock.boottime_ns() + int(self._settings.clock.hold_s * NS_PER_S)
        if not self._clock.synced():
            self._journal.emit(ClockHeld(self._settings.clock.hold_s))
        while not self._clock.synced() and self._clock.boottime_ns() < until_ns:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(min(CLOCK_LOOK_S, max(0.1, self._settings.clock.hold_s)))

    async def _watch_clock(self) -> None:
        """Once the time is known, note it for the batches of this boot that were stamped before."""
        while not self._clock.synced():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(CLOCK_LOOK_S)
        now = ClockMap(self._clock.boottime_ns(), self._clock.wall_ns(), ClockState.SYNCED)
        while True:
            try:
                await self._store.note_clock(self._clock.boot_id(), now)
            except OutboxError:
                await asyncio.sleep(OUTBOX_RETRY_S)
            else:
                self._journal.emit(ClockSynced())
                return

    def _dropped(self, seqs: Sequence[int], samples: int, reason: DropReason) -> None:
        self._journal.emit(DropDeclared(len(seqs), samples, reason.meaning))


def _first(group: BaseExceptionGroup[ConfigError]) -> ConfigError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
