"""One stage of the configuration: what waits for it, its worker, and what becomes of a worker that fails."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from wayside_edge.acquisition.allowance import Allowance
from wayside_edge.acquisition.beginning import Beginning, SupersededError
from wayside_edge.acquisition.results import absent, given, made
from wayside_edge.acquisition.trouble import NOT_BY_STATE, Trouble
from wayside_edge.compute.feed import Feed, Item, Ready
from wayside_edge.compute.serving import StageError
from wayside_edge.compute.settings import OnSwap, StageSettings
from wayside_edge.compute.state import StateStore
from wayside_edge.compute.worker import START_S, Command, Worker
from wayside_edge.health.events import Journal
from wayside_edge.health.stage_events import (
    StageBehind,
    StageHappened,
    StageStarted,
    StageStateRefused,
    StageSwapped,
    StageSwapRefused,
)
from wayside_edge.health.supervisor import Pulse
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.ports import Clock, Reading, StageState
from wayside_shared.clock import NS_PER_S
from wayside_shared.stage_worker import Done, Failure

log = logging.getLogger(__name__)

LONGEST_PAUSE_S: Final = 60.0
"""Of `Backoff`: a pause between two tries is no longer."""

TRIES: Final = 2
"""Workers that are given a block before it is given up: the first may have died of something else."""

MAX_SERIES: Final = 256
"""Series that one stage may give."""

STATE_S: Final = 60.0
"""How often a state that changed is written to the disk; flash wears."""

SHOWN: Final = 12
"""Digits of a SHA-256 in a log line: as many as people compare."""

END_S: Final = 2.0
"""How long a stop waits for a stage that is at work."""

Sink = Callable[[str, Sequence[Reading], int], None]
"""Takes what a stage gave: its name, the readings, and the boot time from which their ages count."""


@dataclass(slots=True)
class StageCounters:
    """What became of everything that a stage was to work on.

    Args:
        blocks: that it worked on.
        readings: in those.
        events: that happened in them.
        failures: workers that failed, by reason.
        used_us: time that the module or the interpreter took, in microseconds.
    """

    blocks: int = 0
    readings: int = 0
    events: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    used_us: int = 0


class Stage:
    """One stage of the configuration, with its worker and what waits for it. `run` is its task.

    Args:
        settings: its own.
        clock: this machine's.
        journal: takes the events.
        store: keeps its state over a restart of the agent.
        sink: takes what it gives.
        backoff: the pauses before it is quarantined.
        command: the program of its worker.
        stages: how many there are.
    """

    def __init__(
        self,
        settings: StageSettings,
        clock: Clock,
        journal: Journal,
        store: StateStore,
        sink: Sink,
        backoff: Callable[[], Backoff],
        command: Command,
        stages: int,
    ) -> None:
        self.settings = settings
        self.counters = StageCounters()
        self.feed = Feed(settings.inputs, settings.samples, round(settings.every_s * NS_PER_S), stages)
        self.pid: int | None = None
        """Its worker's process id while there is one."""
        self._clock = clock
        self._journal = journal
        self._store = store
        self._sink = sink
        self._beginning = Beginning(command, store)
        self._trouble = Trouble(settings.name, journal, backoff(), self.counters.failures)
        self._allowance = _allowance(settings, clock)
        self._worker: Worker | None = None
        self._state = b""
        self._saved = ("", b"")
        self._saved_ns = 0
        self._known: dict[str, str] = {}
        self._last: dict[str, Reading] = {}
        self._last_ns = 0
        self._behind = False
        self._idle_until_ns = 0
        self._loaded = False
        self._changed = asyncio.Event()
        self._busy = asyncio.Lock()

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    @property
    def quarantined(self) -> str:
        """Why it is left alone for now; empty while it is not."""
        return self._trouble.quarantined

    @property
    def state(self) -> StageState:
        """How it fares."""
        counters = self.counters
        return StageState(
            self.name,
            self.settings.kind.value,
            str(self.settings.file),
            self.settings.sha256,
            self.pid,
            counters.blocks,
            counters.failures.total(),
            self.feed.given_up,
            self.feed.waiting,
            counters.used_us / 1e6,
            bool(self.quarantined),
            self._trouble.last,
            self.feed.unfed,
            list(self._last.values()),
            self._last_ns,
        )

    def offer(self, items: Sequence[Item]) -> None:
        """Let it have those of `items` that it wants."""
        due_ns = self.feed.due_ns
        lost = self.feed.add(items, self._clock.boottime_ns())
        if lost and not self._behind:
            self._behind = True
            self._journal.emit(StageBehind(self.name))
        if self.feed.due_ns != due_ns:
            self._changed.set()

    @property
    def longest_s(self) -> float:
        """How long it may be at work on one block and show no life meanwhile."""
        return (TRIES + 1) * (START_S + 2 * self.settings.deadline_s) + LONGEST_PAUSE_S + END_S

    async def run(self, pulse: Pulse) -> None:
        """Work on what falls due, until cancelled; call `finish` then. It may be called again if it failed."""
        if not self._loaded:
            self._state = await asyncio.to_thread(self._store.load, self.settings)
            self._loaded = True
        while True:
            pulse.rest()
            await self._next_due()
            pulse.beat()
            ready = self.feed.take(self._clock.boottime_ns())
            if ready is not None:
                await self._work(ready)
            await self._save(STATE_S)

    async def finish(self) -> None:
        """Work on all that waits, give up at the first failure, and end the worker."""
        try:
            failed = bool(self.quarantined)
            while (ready := self.feed.take(self._clock.boottime_ns(), everything=True)) is not None:
                if failed:
                    self.feed.give_up(ready)
                    continue
                try:
                    await self._once(ready)
                except StageError as error:
                    self._trouble.failed(error)
                    self.feed.give_up(ready)
                    failed = True
        finally:
            await self._stop()
            await self._save(0.0)

    async def swap(self, settings: StageSettings) -> bool:
        """Go on with other settings. What waits is kept, and the worker that runs stays until the new one has its file.

        Returns:
            Whether it did: where the new file is refused, all stays as it was.
        """
        self._beginning.supersede()
        async with self._busy:
            state = self._state if settings.on_swap is OnSwap.KEEP else b""
            try:
                worker, done = await self._beginning.start(settings, state)
            except StageError as error:
                self._journal.emit(StageSwapRefused(self.name, str(settings.file), str(error)))
                return False
            await self._stop()
            self._worker, self.pid = worker, worker.pid
            became = _became(self._state, state, done)
            self._state = done.state or b""
            if settings.sha256 != self.settings.sha256:
                self._known, self._last = {}, {}
            self.feed = self.feed.moved(settings.inputs, settings.samples, settings.every_s)
            self.settings, self._allowance = settings, _allowance(settings, self._clock)
        self._trouble.recovered()
        self._idle_until_ns = 0
        self._changed.set()
        self._journal.emit(StageSwapped(self.name, str(settings.file), settings.sha256[:SHOWN], became))
        return True

    async def _next_due(self) -> None:
        while True:
            due_ns = self.feed.due_ns
            now_ns = self._clock.boottime_ns()
            if due_ns is not None:
                due_ns = max(due_ns, self._idle_until_ns)
            if due_ns is not None and due_ns <= now_ns:
                return
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due_ns is None else (due_ns - now_ns) / NS_PER_S):
                    await self._changed.wait()

    async def _work(self, ready: Ready) -> None:
        """Have `ready` worked on, also when cancelled meanwhile, as long as that takes no longer than a moment."""
        working = asyncio.ensure_future(self._try(ready))
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await asyncio.wait({working})
            if not working.done():
                working.cancel()
                self.feed.put_back(ready)
            raise

    async def _try(self, ready: Ready) -> None:
        """Have `ready` worked on by this worker or another, or give it up and say so."""
        retrying = bool(self.quarantined)
        for attempt in range(1, TRIES + 1):
            try:
                await self._once(ready)
            except SupersededError:
                self.feed.put_back(ready)
                return
            except StageError as error:
                await self._drop_worker()
                if retrying and await self._worked_anew(ready, error):
                    return
                pause_s = self._trouble.failed(error)
                self._idle_until_ns = self._clock.boottime_ns() + round(pause_s * NS_PER_S)
                if attempt == TRIES or self.quarantined:
                    self.feed.give_up(ready)
                    self._tell_absence(ready)
                    return
                await asyncio.sleep(pause_s)
            else:
                self._trouble.recovered()
                return

    async def _worked_anew(self, ready: Ready, error: StageError) -> bool:
        """Whether a stage that failed with `error` on the first block after a quarantine works without its state, which
        is given up only then, or will be tried with other settings."""
        state = self._state
        if not state or error.failure in NOT_BY_STATE:
            return False
        self._state = b""
        try:
            await self._once(ready)
        except SupersededError:
            self._state = state
            self.feed.put_back(ready)
            return True
        except StageError:
            await self._drop_worker()
            self._state = state
            return False
        self._journal.emit(StageStateRefused(self.name, str(error)))
        self._trouble.recovered()
        return True

    async def _once(self, ready: Ready) -> None:
        async with self._busy:
            if self._worker is None:
                self._worker = await self._begin()
                self.pid = self._worker.pid
            done = await self._worker.process(ready.block, ready.clock)
            block = given(done, ready, self.settings.outputs)
            known = self._known | {series.name: series.unit for series in block.series}
            if len(known) > MAX_SERIES:
                raise StageError(Failure.OUTPUT, f"it gives more than {MAX_SERIES} series")
            self._allowance.spend(len(block.readings), done.events, ready.n, self._clock.boottime_ns())
            self._known, self._state = known, done.state or b""
        self._note(done, ready)
        self._give(*made(block, done.events, ready, self._clock.boottime_ns()))

    async def _begin(self) -> Worker:
        """A worker that goes on from the state that was kept; without it, where the module refuses that."""
        try:
            worker, done = await self._beginning.start(self.settings, self._state)
        except StageError as error:
            if error.failure is not Failure.REFUSED or not self._state:
                raise
            self._journal.emit(StageStateRefused(self.name, error.detail))
            worker, done = await self._beginning.start(self.settings, b"")
        self._state = done.state or b""
        self._log(done)
        return worker

    def _note(self, done: Done, ready: Ready) -> None:
        if not self.counters.blocks:
            self._journal.emit(StageStarted(self.name, str(self.settings.file), self.settings.sha256[:12]))
        self.counters.blocks += 1
        self.counters.readings += ready.n
        self.counters.events += len(done.events)
        log.debug("stage %s worked on %d readings in %d µs", self.name, ready.n, done.used_us)
        if not self.feed.waiting:
            self._behind = False
        self.counters.used_us += done.used_us
        for event in done.events:
            self._journal.emit(StageHappened(self.name, event))
        self._log(done)

    def _log(self, done: Done) -> None:
        for level, line in done.log:
            log.log(level, "stage %s says: %s", self.name, line)
        if done.left_out:
            log.warning("stage %s said %s lines and events more, which were left out", self.name, done.left_out)

    def _tell_absence(self, ready: Ready) -> None:
        """For the series that it gave before: there is none, and why."""
        self._give(*absent(list(self._known.items()), ready, self._clock.boottime_ns()))

    def _give(self, readings: Sequence[Reading], ended_ns: int) -> None:
        self._last |= {reading.name: reading for reading in readings}
        self._last_ns = ended_ns
        self._sink(self.name, readings, ended_ns)

    async def _save(self, every_s: float) -> None:
        """Write the state down if it changed, at most every `every_s` seconds."""
        now_ns = self._clock.boottime_ns()
        what = (self.settings.sha256, self._state)
        if what == self._saved or now_ns - self._saved_ns < every_s * NS_PER_S:
            return
        # To its end also when cancelled meanwhile: whoever saves next must not meet it at the same file.
        saving = asyncio.ensure_future(asyncio.to_thread(self._store.save, self.settings, self._state))
        try:
            await asyncio.shield(saving)
        finally:
            await asyncio.wait({saving})
            self._saved, self._saved_ns = what, now_ns

    async def _drop_worker(self) -> None:
        """It failed, or what it gave is wrong: nothing is waited for."""
        worker, self._worker, self.pid = self._worker, None, None
        if worker is not None:
            await worker.kill()

    async def _stop(self) -> None:
        worker, self._worker, self.pid = self._worker, None, None
        if worker is not None:
            await worker.close()


def _became(before: bytes, given_on: bytes, done: Done) -> str:
    """What became of the state `before`, of which `given_on` was given to the worker that answered `done`."""
    if given_on:
        return "its state is kept" if done.state else "it keeps no state, and what was kept before is gone"
    if before or done.state:
        return "its state begins anew"
    return "it had and has no state"


def _allowance(settings: StageSettings, clock: Clock) -> Allowance:
    return Allowance(settings.outputs_per_s, settings.outputs, clock.boottime_ns())
