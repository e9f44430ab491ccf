"""What became of the reads of each sensor, for those who look at the board."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wayside_edge.acquisition.course import Course, Outcome
from wayside_edge.ports import Reading, SensorState

LATE_SHARE = 0.99


@dataclass(slots=True)
class AcquisitionCounters:
    """What became of everything read. produced = accepted + refused + waiting, at any moment.

    Args:
        reads_ok: reads that gave readings, or had none to give.
        reads_failed: starts and reads that failed.
        ticks_missed: reads left out because the one before took too long or the sensor was waiting to be started.
        produced: readings that drivers gave, as the configuration has them conditioned.
        accepted: samples that the outbox has made durable.
        refused: readings that were not accepted, by reason: a reject code, `memory_full` or `stopped`.
    """

    reads_ok: int = 0
    reads_failed: int = 0
    ticks_missed: int = 0
    produced: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Tally:
    reads: int = 0
    failed: int = 0
    missed: int = 0
    trouble: str | None = None
    last: Sequence[Reading] = ()
    last_ns: int = 0


class Tallies:
    """Counts the outcomes of all sensors."""

    def __init__(self) -> None:
        self._by_sensor: dict[str, _Tally] = {}

    def note(self, outcome: Outcome) -> None:
        """Take in what became of a start or a read."""
        tally = self._by_sensor.setdefault(outcome.sensor, _Tally())
        tally.missed += outcome.missed
        if outcome.error is None:
            tally.reads += 1
            tally.trouble = None
        else:
            tally.failed += 1
            tally.trouble = str(outcome.error)
        if outcome.readings:
            tally.last, tally.last_ns = outcome.readings, outcome.ended_ns

    def states(self, courses: Iterable[Course]) -> list[SensorState]:
        """How the sensors fare, in the order of `courses`."""
        found = []
        for course in courses:
            tally = self._by_sensor.get(course.name, _Tally())
            found.append(
                SensorState(
                    *(course.name, tally.reads, tally.failed, tally.missed, tally.trouble, tally.last, tally.last_ns),
                    late_ns=course.lateness.percentile_ns(LATE_SHARE),
                )
            )
        return found
