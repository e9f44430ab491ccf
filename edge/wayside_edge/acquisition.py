"""Reads the sensors and hands batches to the outbox: one task a sensor, one thread a bus.

A chip that fails waits by itself and is started anew; the others go on. Whatever a driver has read is in exactly one
place: a batch in memory, accepted by the outbox, or counted as refused.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar, cast

from wayside_edge import registry
from wayside_edge.config import AgentSettings
from wayside_edge.errors import BusError, OutboxError, SensorError
from wayside_edge.health.events import (
    Journal,
    MemoryFull,
    OutboxAccepting,
    OutboxRefusing,
    ReadingRefused,
    SensorFailing,
    SensorRecovered,
    SensorStalled,
)
from wayside_edge.pipeline.batcher import Batcher
from wayside_edge.pipeline.schedule import Backoff, Ticks
from wayside_edge.ports import BusProvider, Clock, ClosedBatch, Driver, Outbox, Reading, Resuming, Steps
from wayside_edge.registry import SensorSettings
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState

T = TypeVar("T")

STALL_S: Final = 10.0
"""A call to a driver that takes longer is reported: an I2C adapter gives up after 1 s, and no read makes ten calls."""

MEMORY_SAMPLES: Final = 20_000
"""Samples kept in memory while the outbox takes none: 40 minutes of 8 series at 1 Hz, at most a few MB."""

CLOSE_S: Final = 2.0
"""How long a stop waits for a driver to leave its chip idle."""


@dataclass(slots=True)
class AcquisitionCounters:
    """What became of everything read. produced = accepted + refused + waiting, at any moment.

    Args:
        reads_ok: reads that gave readings, or had none to give.
        reads_failed: starts and reads that failed.
        ticks_missed: reads left out because the one before took too long or the sensor was waiting to be started.
        produced: readings that drivers gave.
        accepted: samples that the outbox has made durable.
        refused: readings that were not accepted, by reason: a reject code, `memory_full` or `stopped`.
    """

    reads_ok: int = 0
    reads_failed: int = 0
    ticks_missed: int = 0
    produced: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Sensor:
    settings: SensorSettings
    driver: Driver
    executor: ThreadPoolExecutor
    backoff: Backoff

    @property
    def interval_ns(self) -> int:
        return max(round(self.settings.interval_s * NS_PER_S), 1)


class Acquisition:
    """The sensing half of the agent.

    Args:
        settings: the agent's; its sensors are built here, and connected when `run` begins.
        buses: where drivers get their buses.
        clock: stamps readings, and goes into batches.
        outbox: takes the batches.
        journal: takes the events.
        backoff: makes the pauses after failures, one for each sensor and one for the outbox.
        recorded: says up to which time the readings of a recording were accepted (see `Resuming`).

    Raises:
        ConfigError: a sensor's settings are wrong.
    """

    def __init__(
        self,
        settings: AgentSettings,
        buses: BusProvider,
        clock: Clock,
        outbox: Outbox,
        *,
        journal: Journal | None = None,
        backoff: Callable[[], Backoff] = lambda: Backoff(random.random),
        recorded: Callable[[str], Mapping[str, int]] = lambda _: {},
    ) -> None:
        self.counters = AcquisitionCounters()
        self._clock = clock
        self._outbox = outbox
        self._journal = journal or Journal()
        self._backoff = backoff
        self._batcher = Batcher(settings.batch, clock.boot_id())
        self._closed: deque[ClosedBatch] = deque()
        self._changed = asyncio.Event()
        self._outbox_failing = False
        self._refused_before = 0
        self._progress = asyncio.Event()
        self._complained: set[tuple[str, str]] = set()
        threads: dict[str, ThreadPoolExecutor] = {}
        self._sensors = []
        for sensor in settings.sensor:
            driver = registry.build(sensor, buses)
            if isinstance(driver, Resuming):
                driver.resume_after(partial(recorded, sensor.name))
            # A name of its own for each sensor without a bus; bus names cannot hold a colon.
            key = sensor.bus or f"sensor:{sensor.name}"
            if key not in threads:
                threads[key] = ThreadPoolExecutor(1, thread_name_prefix=key)
            self._sensors.append(_Sensor(sensor, driver, threads[key], backoff()))

    @property
    def waiting(self) -> int:
        """Samples in memory, not accepted yet."""
        return self._batcher.pending + sum(batch.n for batch in self._closed)

    async def run(self) -> None:
        """Read and deliver until cancelled; then every driver is closed. What is in memory stays for `flush`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ship())
                for sensor in self._sensors:
                    tasks.create_task(self._watch(sensor))
        finally:
            await self._close()

    async def flush(self) -> None:
        """Close the open batches and offer everything in memory to the outbox once. Call it after `run` has ended."""
        self._closed.extend(self._batcher.take(self._now(), everything=True))
        while self._closed:
            try:
                await self._append(self._closed[0])
            except OutboxError as error:
                self._journal.emit(OutboxRefusing(str(error)))
                self.counters.refused["stopped"] += self.waiting
                self._closed.clear()

    async def _watch(self, sensor: _Sensor) -> None:
        """Read one sensor for ever, beginning as soon as it has started."""
        started = False
        ticks: Ticks | None = None
        while True:
            try:
                if not started:
                    await self._finish(sensor, sensor.driver.start)
                    started = True
                await self._room()
                now_ns = self._clock.boottime_ns()
                ticks = ticks or Ticks(now_ns, sensor.interval_ns)
                await self._until(ticks.take(now_ns))
                self.counters.ticks_missed += ticks.missed
                ticks.missed = 0
                stamp_ns = self._clock.boottime_ns()
                readings = await self._finish(sensor, sensor.driver.read)
            except (BusError, SensorError) as error:
                started = False
                await asyncio.sleep(self._failed(sensor, error))
            else:
                self._succeeded(sensor)
                self._add(sensor, readings, stamp_ns)

    def _failed(self, sensor: _Sensor, error: Exception) -> float:
        self.counters.reads_failed += 1
        if not sensor.backoff.failures:
            self._journal.emit(SensorFailing(sensor.settings.name, str(error)))
        return sensor.backoff.failed()

    def _succeeded(self, sensor: _Sensor) -> None:
        self.counters.reads_ok += 1
        if sensor.backoff.failures:
            self._journal.emit(SensorRecovered(sensor.settings.name, sensor.backoff.failures))
            sensor.backoff.succeeded()

    def _add(self, sensor: _Sensor, readings: Sequence[Reading], stamp_ns: int) -> None:
        self.counters.produced += len(readings)
        if self._outbox_failing and self.waiting >= MEMORY_SAMPLES:
            if self.counters.refused["memory_full"] == self._refused_before:
                self._journal.emit(MemoryFull(self.waiting))
            self.counters.refused["memory_full"] += len(readings)
            return
        due_ns = self._batcher.due_ns
        for refused in self._batcher.add(sensor.settings.name, readings, stamp_ns, sensor.interval_ns):
            self.counters.refused[refused.code.value] += 1
            if (refused.series, refused.code.value) not in self._complained:
                self._complained.add((refused.series, refused.code.value))
                self._journal.emit(ReadingRefused(refused.series, refused.code.meaning))
        if self._batcher.due_ns != due_ns:
            self._changed.set()

    async def _ship(self) -> None:
        """Close batches as they fall due and hand them to the outbox, in order, until it takes them."""
        backoff = self._backoff()
        while True:
            self._closed.extend(self._batcher.take(self._now()))
            if not self._closed:
                await self._until(self._batcher.due_ns, wake=self._changed)
                continue
            try:
                await self._append(self._closed[0])
            except OutboxError as error:
                self._refused_by_outbox(error)
                await asyncio.sleep(backoff.failed())
            else:
                backoff.succeeded()
                self._taken_by_outbox()

    def _refused_by_outbox(self, error: OutboxError) -> None:
        if not self._outbox_failing:
            self._outbox_failing = True
            self._refused_before = self.counters.refused["memory_full"]
            self._journal.emit(OutboxRefusing(str(error)))
        self._wake_waiting()

    def _taken_by_outbox(self) -> None:
        if self._outbox_failing:
            self._outbox_failing = False
            self._journal.emit(OutboxAccepting(self.counters.refused["memory_full"] - self._refused_before))
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _room(self) -> None:
        """Wait while an outbox that works is behind: a fast recording is held up, where a live reading would be lost
        to an outbox that fails."""
        while self.waiting >= MEMORY_SAMPLES and not self._outbox_failing:
            await self._progress.wait()

    async def _append(self, batch: ClosedBatch) -> None:
        """Offer the oldest batch. Once begun this ends with it accepted or not, even when cancelled: a batch of
        unknown fate would be appended again under another number, and its samples stored twice."""
        appending = asyncio.ensure_future(self._outbox.append(batch))
        cancelled = None
        while not appending.done():
            try:
                await asyncio.wait({appending})
            except asyncio.CancelledError as error:
                cancelled = error
        if appending.exception() is None:
            self._closed.popleft()
            self.counters.accepted += batch.n
        if cancelled is not None:
            raise cancelled
        appending.result()

    def _now(self) -> ClockMap:
        boottime_ns, wall_ns = self._clock.boottime_ns(), self._clock.wall_ns()
        return ClockMap(boottime_ns, wall_ns, ClockState.SYNCED if self._clock.synced() else ClockState.UNSYNCED)

    async def _until(self, due_ns: int | None, wake: asyncio.Event | None = None) -> None:
        """Return at the boot time `due_ns` (None is never), or earlier when `wake` is set."""
        left_s = None if due_ns is None else (due_ns - self._clock.boottime_ns()) / NS_PER_S
        if wake is None:
            await asyncio.sleep(max(left_s or 0.0, 0.0))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await wake.wait()
        wake.clear()

    async def _finish(self, sensor: _Sensor, function: Callable[[], Steps[T] | T]) -> T:
        """What a driver's work gives in the end; its bus is free while the chip converts."""
        outcome = await self._call(sensor, function)
        while isinstance(outcome, Generator):
            pause_s, result = await self._call(sensor, partial(_step, outcome))
            if pause_s is None:
                return cast(T, result)
            await asyncio.sleep(pause_s)
        return outcome

    async def _call(self, sensor: _Sensor, function: Callable[[], T]) -> T:
        """Call a driver in the thread of its bus. A call that hangs is reported and waited for: it holds the bus."""
        future = asyncio.get_running_loop().run_in_executor(sensor.executor, function)
        try:
            done, _ = await asyncio.wait({future}, timeout=STALL_S)
            if not done:
                self._journal.emit(SensorStalled(sensor.settings.name, STALL_S))
                await asyncio.wait({future})
        except asyncio.CancelledError:
            future.cancel()
            raise
        return future.result()

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        closing = [loop.run_in_executor(sensor.executor, sensor.driver.close) for sensor in self._sensors]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_S)
        for sensor in self._sensors:
            sensor.executor.shutdown(wait=False, cancel_futures=True)


def _step(steps: Steps[T]) -> tuple[float | None, Any]:
    """Do the next step: the pause after it, or None and the result."""
    try:
        return next(steps), None
    except StopIteration as end:
        return None, end.value
