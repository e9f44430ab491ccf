"""What the agent measures of itself and its board: the readings of the sensor `agent`, and what Prometheus reads."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wayside_edge.errors import BusError
from wayside_edge.hal.board import Board
from wayside_edge.hal.clock import SystemClock
from wayside_edge.hal.system import System
from wayside_edge.health.events import Journal
from wayside_edge.ports import Bursts, IntakeState, LinkState, MeasureSource, OutboxAccount, Reading, SensorState
from wayside_shared.clock import NS_PER_S

COUNT = "{count}"


def _spent() -> tuple[float, float]:
    """Now, and the processor's time that this process has taken, in seconds."""
    return time.monotonic(), time.process_time()


@dataclass(slots=True)
class BoardMeasures:
    """Processor, memory, temperature, supply, disk and flash.

    Args:
        folder: a folder on the file system to watch; one that is not there yet is passed over.
        board: this board.
        system: this machine.
    """

    folder: Path
    board: Board = field(default_factory=Board)
    system: System = field(default_factory=System)
    _before: tuple[float, float] = field(default_factory=_spent)

    def __call__(self) -> Iterator[Reading]:
        """See `MeasureSource`."""
        before = self._before
        self.begin()
        yield from self._load(before)
        yield from self._rest()

    def begin(self) -> None:
        """Count the processor's time from now on."""
        self._before = _spent()

    def look(self) -> Iterator[Reading]:
        """The same readings for somebody else: the next call counts from the one before, not from this."""
        yield from self._load(self._before)
        yield from self._rest()

    def _load(self, before: tuple[float, float]) -> Iterator[Reading]:
        now = _spent()
        if now[0] > before[0]:
            yield Reading("cpu", 100.0 * (now[1] - before[1]) / (now[0] - before[0]), "%", decimals=3)

    def _rest(self) -> Iterator[Reading]:
        yield Reading("memory", self.board.resident_bytes(), "By")
        file = self.system.cpu_temperature_file()
        if file is not None:
            yield Reading("board_temperature", self.system.temperature(file), "Cel", decimals=1)
        supply = self.board.supply()
        if supply is not None:
            yield Reading("under_voltage", int(supply.under_voltage), "1")
            yield Reading("slowed", int(supply.slowed), "1")
        if self.folder.exists():
            yield Reading("disk_available", self.system.disk(self.folder).available, "By")
        for flash in self.board.flash():
            if flash.used_percent is not None:
                yield Reading(f"flash_used.{flash.name}", flash.used_percent, "%")
            if flash.pre_eol is not None:
                yield Reading(f"flash_pre_eol.{flash.name}", flash.pre_eol, "1")


def clock_readings(clock: SystemClock) -> Iterator[Reading]:
    """Whether the clock is synchronised, and how well it is kept."""
    yield Reading("clock_synced", int(clock.synced()), "1")
    kept = clock.discipline()
    if kept is not None:
        yield Reading("clock_offset", kept.offset_s, "s", decimals=6)
        yield Reading("clock_max_error", kept.max_error_s, "s", decimals=6)


def link_readings(link: LinkState) -> Iterator[Reading]:
    """Of the link to the broker; the first session is no reconnection."""
    yield Reading("link_up", int(link.connected), "1")
    yield Reading("reconnects", max(link.sessions - 1, 0), COUNT)
    yield Reading("batches_delivered", link.delivered, COUNT)
    yield Reading("batches_refused", link.refused, COUNT)
    yield Reading("rejections", link.rejections, COUNT)


def outbox_readings(account: OutboxAccount) -> Iterator[Reading]:
    """Of the outbox; without anything pending the oldest is of age 0."""
    yield Reading("pending_samples", account.pending_samples, COUNT)
    yield Reading("pending_batches", account.pending_batches, COUNT)
    yield Reading("outbox_used", account.used_bytes, "By")
    if account.oldest_ns is not None:
        yield Reading("pending_oldest", account.oldest_ns / NS_PER_S, "s", decimals=3)
    elif not account.pending_batches:
        yield Reading("pending_oldest", 0.0, "s", decimals=3)


def intake_readings(intake: IntakeState, sensors: Sequence[SensorState]) -> Iterator[Reading]:
    """What became of what was read since the start; a sensor that never failed has no counters of failures."""
    yield Reading("accepted", intake.accepted, COUNT)
    yield Reading("refused", sum(intake.refused.values()), COUNT)
    yield Reading("waiting", intake.waiting, COUNT)
    yield Reading("reads", sum(sensor.reads for sensor in sensors), COUNT)
    yield Reading("reads_failed", sum(sensor.failed for sensor in sensors), COUNT)
    yield Reading("reads_missed", sum(sensor.missed for sensor in sensors), COUNT)
    for sensor in sensors:
        if sensor.failed:
            yield Reading(f"reads_failed.{sensor.name}", sensor.failed, COUNT)
        if sensor.missed:
            yield Reading(f"reads_missed.{sensor.name}", sensor.missed, COUNT)


def event_readings(journal: Journal) -> Iterator[Reading]:
    """How often each event happened since the start, of those that did, and what was given up."""
    for name, count in sorted(journal.counts.items()):
        yield Reading(f"events.{name}", count, COUNT)
    yield Reading("dropped", sum(journal.dropped.values()), COUNT)


def newest(readings: Sequence[Reading]) -> dict[str, Reading]:
    """The last reading of each name."""
    if isinstance(readings, Bursts):
        found = {burst.name: burst.reading(len(burst.values) - 1) for burst in readings.bursts if burst.values}
        return found | {reading.name: reading for reading in readings.rest}
    return {reading.name: reading for reading in readings}


def gather(sources: Sequence[MeasureSource], failing: Callable[[BusError], None]) -> list[Reading]:
    """What all `sources` give; one that has no answer is told to `failing` and gives what it gave until then."""
    found: list[Reading] = []
    for source in sources:
        try:
            found.extend(source())
        except BusError as error:
            failing(error)
    return found
