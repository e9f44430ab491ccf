"""Feeds the stages and brings back what they compute.

A stage can only add: what the sensors gave has gone into a batch before a stage sees it. One that fails loses, at the
worst, what it would have computed, and says so; it is started anew after a pause, which grows, and the others go on.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from wayside_edge.acquisition.results import items
from wayside_edge.acquisition.stage import Sink, Stage
from wayside_edge.compute.feed import Item
from wayside_edge.compute.settings import StageSettings
from wayside_edge.compute.state import StateStore
from wayside_edge.compute.worker import Command, command_of
from wayside_edge.health.events import Journal
from wayside_edge.health.keeping import Keeper
from wayside_edge.health.stage_events import StageUnfed
from wayside_edge.pipeline.batcher import stamp
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.ports import Clock, Reading, StageState

UNFED_S: Final = 120.0
"""By then all but the slowest sensors have been read, and most stages have given something."""


@dataclass(frozen=True, slots=True)
class Swaps:
    """What became of new settings.

    Args:
        changed: stages that go on with theirs.
        refused: names of those that cannot, and stay as they were.
    """

    changed: int
    refused: Sequence[str]


class Computing:
    """All stages. A stage sees what the sensors gave, and what the stages before it did.

    Args:
        settings: of the stages, in their order.
        clock: this machine's.
        journal: takes the events.
        store: keeps their states.
        sink: takes what they give.
        backoff: makes the pauses after failures.
        keeper: keeps their tasks going.
        command: the programs of their workers.
    """

    def __init__(
        self,
        settings: Sequence[StageSettings],
        clock: Clock,
        journal: Journal,
        store: StateStore,
        sink: Sink,
        backoff: Callable[[], Backoff],
        keeper: Keeper,
        command: Command = command_of,
    ) -> None:
        self._sink = sink
        self._journal = journal
        self._keeper = keeper
        rest = (clock, journal, store, self._given, backoff, command, len(settings))
        self.stages = [Stage(each, *rest) for each in settings]

    def offer(self, sensor: str, readings: Sequence[Reading], stamp_ns: int, interval_ns: int, ended_ns: int) -> None:
        """Show the stages what a sensor gave. Call it after the readings have gone into a batch."""
        if self.stages:
            self._show(list(items(sensor, readings, stamp(stamp_ns, interval_ns), ended_ns)), self.stages)

    @property
    def states(self) -> Sequence[StageState]:
        """How the stages fare."""
        return [stage.state for stage in self.stages]

    def measures(self) -> Iterator[Reading]:
        """How the stages fare, since the agent began: time that they took, and what became of what they were given."""
        for stage in self.stages:
            counters, name = stage.counters, stage.name
            yield Reading(f"stage_time.{name}", counters.used_us / 1e6, "s", decimals=6)
            yield Reading(f"stage_blocks.{name}", counters.blocks, "{count}")
            yield Reading(f"stage_failures.{name}", counters.failures.total(), "{count}")
            yield Reading(f"stage_given_up.{name}", stage.feed.given_up, "{count}")
            yield Reading(f"stage_waiting.{name}", stage.feed.waiting, "{count}")

    async def run(self) -> None:
        """Keep all stages at work until cancelled; one that fails by a mistake of ours is begun anew alone."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_unfed())
            for stage in self.stages:
                tasks.create_task(self._keeper.keep(f"stage {stage.name}", stage.run, stage.longest_s))

    async def _tell_unfed(self) -> None:
        await asyncio.sleep(UNFED_S)
        for stage in self.stages:
            if stage.feed.unfed:
                self._journal.emit(StageUnfed(stage.name, ", ".join(stage.feed.unfed)))

    async def finish(self, timeout_s: float) -> None:
        """Have the stages work on what waits for them, in their order, for up to `timeout_s` seconds together."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for stage in self.stages:
                    await stage.finish()

    async def swap(self, settings: Sequence[StageSettings]) -> Swaps:
        """Go on with other settings of the same stages.

        Raises:
            ValueError: they are not the same stages in the same order.
        """
        if [each.name for each in settings] != [stage.name for stage in self.stages]:
            message = "stages were added, removed or moved, which takes a restart of the agent"
            raise ValueError(message)
        changed = [(stage, new) for stage, new in zip(self.stages, settings, strict=True) if stage.settings != new]
        taken = [(stage.name, await stage.swap(new)) for stage, new in changed]
        return Swaps(sum(took for _, took in taken), [name for name, took in taken if not took])

    def _given(self, name: str, readings: Sequence[Reading], ended_ns: int) -> None:
        self._sink(name, readings, ended_ns)
        place = next(place for place, stage in enumerate(self.stages) if stage.name == name)
        self._show(list(items(name, readings, ended_ns, ended_ns)), self.stages[place + 1 :])

    def _show(self, shown: Sequence[Item], stages: Sequence[Stage]) -> None:
        for stage in stages:
            stage.offer(shown)
