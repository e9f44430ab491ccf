"""The course of one sensor: start, read when due, step by step, and back off when it fails."""

import copy
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from wayside_edge.acquisition.grip import Grip
from wayside_edge.acquisition.sound import checked_pause, sound
from wayside_edge.errors import BusError, SensorError
from wayside_edge.pipeline.conditioning import Conditioner
from wayside_edge.pipeline.guard import Guard
from wayside_edge.pipeline.schedule import Backoff, Lateness, Ticks
from wayside_edge.ports import Bursts, Clock, Driver, Quantity, Reading
from wayside_shared.clock import NS_PER_MS, NS_PER_S
from wayside_shared.quality import Quality

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a start or a read.

    Args:
        sensor: its name.
        stamp_ns: boot time at which it began, in nanoseconds.
        ended_ns: boot time at which it ended.
        readings: what was read; without values when there is an `error`.
        missed: reads left out since the outcome before.
        failures: how many there were in a row: up to this one when there is an `error`, else before this success.
        error: why it failed; None when it did not.
    """

    sensor: str
    stamp_ns: int
    ended_ns: int
    readings: Sequence[Reading]
    missed: int
    failures: int
    error: BusError | SensorError | None = None


_PAUSED: Final = object()

GRID_NS: Final = NS_PER_S // 4
"""Ticks begin at multiples of this, or of the interval if that is shorter: what falls due together takes one wake-up
of its thread, and on some machines a wake-up costs more than ten reads. The first read is no later for it than that."""


class Course:
    """One sensor on its lane. Not for two threads at once.

    Args:
        name: the sensor's.
        driver: reads it.
        quantities: what the driver can give.
        interval_ns: from one read to the next.
        phase: where in the grid of ticks it is read, 0 to 1: see `GRID_NS`.
        deadline_s: most that a start or a read may take from its first step to its last.
        conditioner: what becomes of its readings before they are sent.
        backoff: the pauses after failures.
        clock: this machine's.
    """

    def __init__(
        self,
        name: str,
        driver: Driver,
        quantities: Sequence[Quantity],
        *,
        interval_ns: int,
        phase: float,
        deadline_s: float,
        conditioner: Conditioner,
        backoff: Backoff,
        clock: Clock,
    ) -> None:
        self.name = name
        self.due_ns = 0
        """Boot time of the next step."""
        self.grip = Grip()
        """Held while its driver is at work; its lane has one for all its courses."""
        self.lateness = Lateness()
        self._driver = driver
        self._before: Course | None = None
        self._interval_ns = interval_ns
        self._phase = phase
        self._deadline_s = deadline_s
        self._conditioner = conditioner
        self._backoff = backoff
        self._clock = clock
        self._guard = Guard(quantities)
        self._ticks: Ticks | None = None
        self._started = False
        self._steps: Generator[float, None, Any] | None = None
        self._began_ns = 0
        self._known: dict[str, str] = {}
        # What a sensor that never worked would give, as far as that does not depend on its settings.
        self._declared = {each.name: each.unit for each in quantities if each.unit and not set(each.name) & set("*?[")}

    def advance(self) -> Outcome | None:
        """Take the step that is due; the outcome when that ended a read, or a start that failed."""
        try:
            result = self._step()
        except (BusError, SensorError) as error:
            return self._failed(error)
        except Exception as error:
            if not self._backoff.failures:
                log.exception("sensor %s: its driver has a mistake", self.name)
            return self._failed(SensorError(f"its driver has a mistake: {type(error).__name__}: {error}"))
        if result is _PAUSED:
            return None
        if not self._started:
            self._started = True
            self._schedule()
            return None
        try:
            readings = self._guard.check(sound(result))
        except SensorError as error:
            return self._failed(error)
        return self._read(readings)

    @property
    def interval_ns(self) -> int:
        """From one read to the next."""
        return self._interval_ns

    @property
    def condensed(self) -> int:
        """Readings that the configuration had left out, or gathered into others."""
        return self._conditioner.condensed

    @property
    def deadline_s(self) -> float:
        """Most that a start or a read may take."""
        return self._deadline_s

    def renewed(self, driver: Driver, conditioner: Conditioner | None = None, *, leave_idle: bool) -> "Course":
        """This course with another driver, to be started anew; this one must not advance any more.

        Args:
            driver: a new one.
            conditioner: in place of its own, which would count again what a recording gives again.
            leave_idle: whether the old driver is closed, before the new one starts: not while it hangs.
        """
        renewed = copy.copy(self)
        renewed.due_ns = 0
        renewed._driver, renewed._steps, renewed._started = driver, None, False
        renewed._before = self if leave_idle else None
        renewed._conditioner = conditioner or self._conditioner
        return renewed

    def aside(self, error: BusError | SensorError) -> Outcome:
        """What to send while nobody reads the sensor, because of `error`; counts as one failure more."""
        self._backoff.failed()
        return self._absent(error)

    def _absent(self, error: BusError | SensorError) -> Outcome:
        now_ns = self._clock.boottime_ns()
        known = self._known or self._declared
        absent = [Reading(name, None, unit, quality=error.quality) for name, unit in known.items()]
        sent = self._conditioner.apply(absent, now_ns, now_ns)
        return Outcome(self.name, now_ns, now_ns, sent, self._missed(), self._backoff.failures, error)

    def leave_idle(self) -> None:
        """End what its driver was about, and close it."""
        try:
            self._steps = None
            self._driver.close()
        except Exception:  # the others are still to be closed
            log.exception("sensor %s: its driver has a mistake", self.name)

    def close(self) -> Outcome:
        """Leave the chip idle; what open windows still held comes out.

        Raises:
            GivenUpError: it took too long, and others go on in its place.
        """
        self._driven(self.leave_idle, self._clock.boottime_ns())
        now_ns = self._clock.boottime_ns()
        return Outcome(self.name, now_ns, now_ns, self._conditioner.rest(now_ns), 0, 0)

    def _driven(self, function: Callable[[], T], now_ns: int) -> T:
        """What `function`, which runs code of a driver, gives; by then somebody may have given up waiting for it."""
        self.grip.take(self.name, self._deadline_s, now_ns)
        try:
            return function()
        finally:
            self.grip.let_go()

    def _step(self) -> Any:
        now_ns = self._clock.boottime_ns()
        if self._steps is None:
            self._begin(now_ns)
            function: Callable[[], Any] = self._driver.read if self._started else self._driver.start
            result = self._driven(function, now_ns)
            if not isinstance(result, Generator):
                return result
            self._steps = result
        if now_ns - self._began_ns > self._deadline_s * NS_PER_S:
            raise SensorError(f"it did not finish within {self._deadline_s:g} s", Quality.NOT_READY)
        try:
            pause_s = self._driven(self._steps.__next__, now_ns)
        except StopIteration as end:
            self._steps = None
            return end.value
        deadline_ns = self._began_ns + round(self._deadline_s * NS_PER_S)
        pause_ns = round(checked_pause(pause_s) * NS_PER_S)
        self.due_ns = min(self._clock.boottime_ns() + pause_ns, deadline_ns + NS_PER_MS)
        return _PAUSED

    def _begin(self, now_ns: int) -> None:
        self._began_ns = now_ns
        before, self._before = self._before, None
        if before is not None:
            self._driven(before.leave_idle, now_ns)
        if self._started:
            self.lateness.add(now_ns - self.due_ns)

    def _read(self, readings: Sequence[Reading]) -> Outcome:
        self._known.update(_units(readings))
        ended_ns = self._clock.boottime_ns()
        sent = self._conditioner.apply(readings, self._began_ns, ended_ns)
        log.debug("read %s: %d readings, %d of them sent", self.name, len(readings), len(sent))
        outcome = Outcome(self.name, self._began_ns, ended_ns, sent, self._missed(), self._backoff.failures)
        self._backoff.succeeded()
        self._schedule()
        return outcome

    def _failed(self, error: BusError | SensorError) -> Outcome:
        self._driven(self._forget_steps, self._clock.boottime_ns())
        self._started = False
        self.due_ns = self._clock.boottime_ns() + round(self._backoff.failed() * NS_PER_S)
        return self._absent(error)

    def _forget_steps(self) -> None:
        self._steps = None  # which runs what a driver does at the end of steps that are not finished

    def _schedule(self) -> None:
        now_ns = self._clock.boottime_ns()
        if self._ticks is None:
            self._ticks = Ticks(self._first_ns(now_ns), self._interval_ns)
        self.due_ns = self._ticks.take(now_ns)

    def _missed(self) -> int:
        if self._ticks is None:
            return 0
        missed, self._ticks.missed = self._ticks.missed, 0
        return missed

    def _first_ns(self, now_ns: int) -> int:
        """The first point of the grid from now on, moved by the phase, in whole milliseconds where that is possible."""
        grid_ns = min(self._interval_ns, GRID_NS)
        offset_ns = round(self._phase * grid_ns)
        if grid_ns >= 10 * NS_PER_MS:
            offset_ns = offset_ns // NS_PER_MS * NS_PER_MS
        return -((offset_ns - now_ns) // grid_ns) * grid_ns + offset_ns


def _units(readings: Sequence[Reading]) -> Iterator[tuple[str, str]]:
    """The series of `readings` with their units."""
    if isinstance(readings, Bursts):
        yield from ((burst.name, burst.unit) for burst in readings.bursts)
        readings = readings.rest
    yield from ((reading.name, reading.unit) for reading in readings)
