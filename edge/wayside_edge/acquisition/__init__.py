"""Reads the sensors and hands batches to the outbox: one lane a bus, with a thread of its own.

A chip that converts leaves its bus to the others, and one that fails waits by itself and is started anew. Whatever a
driver has read is in exactly one place: a batch in memory, accepted by the outbox, or counted as refused.
"""

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from wayside_edge.acquisition.computing import Computing, Swaps
from wayside_edge.acquisition.course import Outcome
from wayside_edge.acquisition.lanes import Lanes
from wayside_edge.acquisition.tally import AcquisitionCounters, Tallies
from wayside_edge.compute.settings import StageSettings
from wayside_edge.compute.state import StateStore
from wayside_edge.config import AgentSettings
from wayside_edge.errors import OutboxError
from wayside_edge.health.events import (
    Journal,
    MemoryFull,
    OutboxAccepting,
    OutboxRefusing,
    ReadingRefused,
    SensorFailing,
    SensorRecovered,
)
from wayside_edge.health.keeping import Keeper
from wayside_edge.health.supervisor import LOOK_S, Supervisor
from wayside_edge.pipeline.batcher import Batcher
from wayside_edge.pipeline.conditioning import Conditioner
from wayside_edge.pipeline.schedule import Backoff, Lateness
from wayside_edge.ports import BusProvider, Clock, ClosedBatch, IntakeState, Outbox, Reading, SensorState, StageState
from wayside_edge.registry import SensorSettings
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_shared.quality import Quality

OUTBOX_S: Final = 600.0
"""Most that one append may take: to save what is intact of a full, damaged outbox takes minutes on a slow card."""

MEMORY_SAMPLES: Final = 20_000
"""Samples kept in memory while the outbox takes none: 40 minutes of 8 series at 1 Hz, at most a few MB."""

MEMORY_COMPUTED: Final = 10_000
"""The same for what stages gave: it takes no sample's place."""

CLOSE_S: Final = 2.0
"""How long a stop waits for a driver to leave its chip idle."""

FINISH_S: Final = 5.0
"""How long a stop waits for the stages to work on what the sensors gave last."""


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
        supervisor: watches what only a restart of the agent can heal.

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
        supervisor: Supervisor | None = None,
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
        self._failing: dict[str, Quality] = {}
        self._tallies = Tallies()
        self._complained: set[tuple[str, str]] = set()
        self._room = threading.Event()
        self._room.set()
        self._handed = asyncio.Event()
        self._intervals = {sensor.name: _interval_ns(sensor) for sensor in settings.sensor}
        self._recorded = recorded
        self._handed_upto: dict[str, dict[str, int]] = {}
        supervisor = supervisor or Supervisor()
        self._appending = supervisor.watch("the outbox", OUTBOX_S, critical=True)
        self._lanes = Lanes(
            *(settings, buses, clock),
            backoff=backoff,
            resume=self._resume,
            journal=self._journal,
            supervisor=supervisor,
            wake=self._wake,
            room=self._room,
            note=self._note,
        )
        states = StateStore(settings.outbox.path.parent / "stages")
        keeper = Keeper(supervisor, self._journal)
        self._computing = Computing(settings.stage, clock, self._journal, states, self._computed, backoff, keeper)

    @property
    def waiting(self) -> int:
        """Samples in memory, not accepted yet."""
        return self._batcher.pending + sum(batch.n for batch in self._closed)

    @property
    def condensed(self) -> int:
        """Readings that the configuration had left out, or gathered into others; they are not in `produced`."""
        return self._lanes.condensed

    @property
    def lateness(self) -> Mapping[str, Lateness]:
        """How late the reads of each sensor began."""
        return self._lanes.lateness

    @property
    def set_aside(self) -> Sequence[str]:
        """Sensors that are not read now because they hung or crashed."""
        return self._lanes.set_aside

    @property
    def stages(self) -> Sequence[StageState]:
        """How the stages fare."""
        return self._computing.states

    def stage_measures(self) -> Iterable[Reading]:
        """How the stages fare, as readings of the agent itself."""
        return self._computing.measures()

    async def swap_stages(self, settings: Sequence[StageSettings]) -> Swaps:
        """Go on with other settings of the same stages.

        Raises:
            ValueError: they are not the same stages in the same order.
        """
        return await self._computing.swap(settings)

    @property
    def intake(self) -> IntakeState:
        """What became of everything read."""
        counters = self.counters
        return IntakeState(counters.produced, counters.accepted, self.waiting, dict(counters.refused))

    @property
    def sensors(self) -> Sequence[SensorState]:
        """How each sensor fares."""
        return self._tallies.states(self._lanes.courses)

    def add_own(self, name: str, readings: Sequence[Reading], interval_s: float) -> None:
        """Take readings that no lane has read: the agent's own, as those of the sensor `name`, taken now.

        Args:
            name: the sensor that they belong to, which must be none of the configuration.
            readings: as a driver gives them.
            interval_s: from one call to the next, in seconds.
        """
        now_ns = self._clock.boottime_ns()
        self._intervals[name] = max(round(interval_s * NS_PER_S), 1)
        self._add(Outcome(name, now_ns, now_ns, readings, 0, 0))

    async def run(self) -> None:
        """Read and deliver until cancelled; then every driver is closed. What is in memory stays for `flush`."""
        self._loop = asyncio.get_running_loop()
        self._lanes.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ship())
                tasks.create_task(self._collect())
                tasks.create_task(self._heal())
                tasks.create_task(self._computing.run())
        finally:
            await self._close()

    async def flush(self) -> None:
        """Have the stages finish, close the open batches and offer everything in memory to the outbox once. Call it
        after `run` has ended."""
        await self._computing.finish(FINISH_S)
        self._closed.extend(self._batcher.take(self._now(), everything=True))
        while self._closed:
            try:
                await self._append(self._closed[0])
            except OutboxError as error:
                self._journal.emit(OutboxRefusing(str(error)))
                self.counters.refused["stopped"] += self.waiting
                self._closed.clear()

    def _wake(self) -> None:
        """Called from a lane: there are outcomes."""
        with suppress(RuntimeError):  # a driver that hung came back after the agent had ended
            self._loop.call_soon_threadsafe(self._handed.set)

    async def _collect(self) -> None:
        """Take from the lanes what they have read."""
        while True:
            await self._handed.wait()
            self._handed.clear()
            self._take()

    def _take(self) -> None:
        for outcome in self._lanes.take():
            self._note(outcome)
        self._govern()

    def _note(self, outcome: Outcome) -> None:
        self._tallies.note(outcome)
        self.counters.ticks_missed += outcome.missed
        if outcome.error is not None:
            self.counters.reads_failed += 1
            if self._failing.get(outcome.sensor) != outcome.error.quality:
                self._failing[outcome.sensor] = outcome.error.quality
                self._journal.emit(SensorFailing(outcome.sensor, str(outcome.error)))
        else:
            self.counters.reads_ok += 1
            if outcome.failures:
                self._failing.pop(outcome.sensor, None)
                self._journal.emit(SensorRecovered(outcome.sensor, outcome.failures))
        self._add(outcome)

    async def _heal(self) -> None:
        """Look after the lanes."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._lanes.heal()
            self._take()

    def _add(self, outcome: Outcome) -> None:
        interval_ns = self._intervals.get(outcome.sensor, NS_PER_S)
        if self._into_batch(outcome.sensor, outcome.readings, outcome.stamp_ns, interval_ns, outcome.ended_ns):
            self._computing.offer(outcome.sensor, outcome.readings, outcome.stamp_ns, interval_ns, outcome.ended_ns)

    def _computed(self, stage: str, readings: Sequence[Reading], ended_ns: int) -> None:
        self._into_batch(stage, readings, ended_ns, NS_PER_S, ended_ns, computed=True)

    def _into_batch(
        self,
        source: str,
        readings: Sequence[Reading],
        stamp_ns: int,
        interval_ns: int,
        ended_ns: int,
        *,
        computed: bool = False,
    ) -> bool:
        """Whether there was room in memory for `readings`."""
        self.counters.produced += len(readings)
        if source in self._lanes.recordings:
            self._remember(source, readings)
        if self._outbox_failing and self._full(computed):
            if self.counters.refused["memory_full"] == self._refused_before:
                self._journal.emit(MemoryFull(self.waiting))
            self.counters.refused["memory_full"] += len(readings)
            return False
        due_ns = self._batcher.due_ns
        for refused in self._batcher.add(source, readings, stamp_ns, interval_ns, ended_ns=ended_ns, computed=computed):
            self.counters.refused[refused.code.value] += 1
            if (refused.series, refused.code.value) not in self._complained:
                self._complained.add((refused.series, refused.code.value))
                self._journal.emit(ReadingRefused(refused.series, refused.code.meaning))
        if self._batcher.due_ns != due_ns:
            self._changed.set()
        return True

    def _full(self, computed: bool) -> bool:
        """Whether there is as much in memory as may be, of what stages gave or else of what sensors did."""
        by_stages = self._batcher.computed + sum(batch.computed for batch in self._closed)
        return by_stages >= MEMORY_COMPUTED if computed else self.waiting - by_stages >= MEMORY_SAMPLES

    def _remember(self, recording: str, readings: Sequence[Reading]) -> None:
        """How far a recording has come, should it have to begin anew while some of it is still in memory."""
        upto = self._handed_upto.setdefault(recording, {})
        for reading in readings:
            if reading.time_ns is not None:
                upto[reading.name] = max(reading.time_ns, upto.get(reading.name, reading.time_ns))

    def _govern(self) -> None:
        """Hold the lanes while an outbox that works is behind: a fast recording is held up, where a live reading would
        be lost to an outbox that fails. What stages give holds nobody up."""
        if self._full(computed=False) and not self._outbox_failing:
            self._room.clear()
        else:
            self._room.set()

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
        self._govern()

    def _taken_by_outbox(self) -> None:
        if self._outbox_failing:
            self._outbox_failing = False
            self._journal.emit(OutboxAccepting(self.counters.refused["memory_full"] - self._refused_before))
        self._govern()

    async def _append(self, batch: ClosedBatch) -> None:
        """Offer the oldest batch. Once begun this ends with it accepted or not, even when cancelled: a batch of
        unknown fate would be appended again under another number, and its samples stored twice."""
        self._appending.beat()
        appending = asyncio.ensure_future(self._outbox.append(batch))
        cancelled = None
        while not appending.done():
            try:
                await asyncio.wait({appending})
            except asyncio.CancelledError as error:
                cancelled = error
        self._appending.rest()
        if appending.exception() is None:
            self._closed.popleft()
            self.counters.accepted += batch.n
        if cancelled is not None:
            raise cancelled
        appending.result()

    def _resume(self, sensor: str, conditioner: Conditioner) -> Mapping[str, int]:
        """Up to which time a recording needs not be read, by the names that it has itself; called in its lane."""
        upto = dict(self._recorded(sensor))
        # What this agent has read already is in memory, if it has not been accepted or refused since.
        for name, time_ns in list(self._handed_upto.get(sensor, {}).items()):
            upto[name] = max(time_ns, upto.get(name, time_ns))
        return conditioner.accepted(upto)

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

    async def _close(self) -> None:
        """End the lanes; what they still had is taken. A driver that hangs keeps its thread, which ends with us."""
        lanes = self._lanes.stop()
        until_s = self._loop.time() + CLOSE_S
        for lane in lanes:
            await asyncio.to_thread(lane.ended, max(until_s - self._loop.time(), 0.0))
        self._take()


def _interval_ns(sensor: SensorSettings) -> int:
    return max(round(sensor.interval_s * NS_PER_S), 1)
