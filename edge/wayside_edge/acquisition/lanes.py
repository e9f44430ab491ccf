"""All lanes of the agent: begun, looked after, and begun anew without the sensor that holds them up.

A call to a driver that never returns cannot be ended from outside. Its thread is given up with everything that it
holds, the other sensors of its bus get a new thread, a new handle of the bus and new drivers, and the sensor is tried
again later. What had been read by then is taken exactly once; what the driver may still give belongs to nobody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event as Flag
from typing import Final

from wayside_edge import registry
from wayside_edge.acquisition.course import Course, Outcome
from wayside_edge.acquisition.grip import Held
from wayside_edge.acquisition.lane import Lane
from wayside_edge.config import AgentSettings
from wayside_edge.errors import BusError, SensorError
from wayside_edge.health.events import Journal, LaneCrashed, SensorQuarantined, SensorRetried, SensorStalled
from wayside_edge.health.recovery import LONGEST_S, Again, Recovery
from wayside_edge.health.supervisor import Supervisor
from wayside_edge.pipeline.conditioning import Conditioner
from wayside_edge.pipeline.schedule import Backoff, Lateness
from wayside_edge.ports import BusProvider, Clock, Driver, Resuming
from wayside_edge.registry import SensorSettings
from wayside_shared.clock import NS_PER_S
from wayside_shared.quality import Quality

STALL_S: Final = 8.0
"""A call to a driver that takes longer is given up, with a look every 2 s within 10 s: an I2C adapter gives up after
1 s, and no step makes eight calls. A sensor with a longer deadline of its own has that."""

TOGETHER: Final = 16
"""Sensors of one bus that are read one right after the other; the next so many have a time of their own."""

HANGING_OF_A_BUS: Final = 2
"""Sensors of one bus that hang at a time from which on all of it is set aside: it is the bus that hangs, and each
sensor more that is tried costs a thread."""

STUCK: Final = 6
"""Threads that hang, of all buses; with one more the agent is ended and begins without them: each holds its stack, its
bus and what its driver holds, and so many will not come back."""

MARK_S: Final = 60.0
"""How often the series of a quarantined sensor say that there is nothing: as often as those of one that fails."""


@dataclass(eq=False, slots=True)
class _Seat:
    """A sensor and what becomes of it.

    Args:
        sensor: its settings.
        lane: the name of its lane.
        course: the present one.
        recovery: how often it hung or crashed.
        error: why it is not read now, or None.
        until_ns: boot time at which it is tried again.
        mark_ns: boot time at which its series say again that there is nothing.
        stuck: the lane whose thread hangs, for which it is set aside.
        condensed: readings that courses before this one condensed.
    """

    sensor: SensorSettings
    lane: str
    course: Course
    recovery: Recovery
    error: SensorError | BusError | None = None
    until_ns: int = 0
    mark_ns: int = 0
    stuck: Lane | None = None
    condensed: int = 0


@dataclass(eq=False, slots=True)
class _Group:
    """The sensors of one lane."""

    seats: list[_Seat]
    lane: Lane | None = None
    stuck: dict[Lane, str] = field(default_factory=dict)
    """Lanes that were given up and whose threads have not come back, and the sensors at which they hang."""


class Lanes:
    """A lane for each bus, and one for each sensor that is on none. Building it connects nothing.

    Args:
        settings: the agent's.
        buses: where drivers get their buses.
        clock: this machine's.
        backoff: makes the pauses after failed reads, one for each sensor.
        resume: says up to which time the readings of a recording are not to be read again.
        journal: takes the events.
        supervisor: is told when too much hangs.
        wake: called from the lanes when there are outcomes.
        room: reads go on while it is set.
        note: takes what a lane that is given up had read, and what there is to say of a sensor that is not read.

    Raises:
        ConfigError: a sensor's settings are wrong.
    """

    def __init__(
        self,
        settings: AgentSettings,
        buses: BusProvider,
        clock: Clock,
        *,
        backoff: Callable[[], Backoff],
        resume: Callable[[str, Conditioner], Mapping[str, int]],
        journal: Journal,
        supervisor: Supervisor,
        wake: Callable[[], None],
        room: Flag,
        note: Callable[[Outcome], None],
    ) -> None:
        self._buses = buses
        self._clock = clock
        self._resume = resume
        self._journal = journal
        self._supervisor = supervisor
        self._wake = wake
        self._room = room
        self._note = note
        self.recordings: set[str] = set()
        """Sensors whose readings are numbered by times of their own."""
        self._groups: dict[str, _Group] = {}
        for name, seats in self._seated(settings.sensor, backoff):
            self._groups[name] = _Group(list(seats))

    @property
    def condensed(self) -> int:
        """Readings that the configuration had left out, or gathered into others."""
        return sum(seat.condensed + seat.course.condensed for seat in self._seats())

    @property
    def lateness(self) -> Mapping[str, Lateness]:
        """How late the reads of each sensor began."""
        return {seat.sensor.name: seat.course.lateness for seat in self._seats()}

    @property
    def courses(self) -> Sequence[Course]:
        """The present course of each sensor."""
        return [seat.course for seat in self._seats()]

    @property
    def set_aside(self) -> Sequence[str]:
        """Sensors that are not read now."""
        return [seat.sensor.name for seat in self._seats() if seat.error is not None]

    def start(self) -> None:
        """Begin to read."""
        for name, group in self._groups.items():
            self._begin(name, group, lambda: None)

    def take(self) -> Sequence[Outcome]:
        """What there is since the last call, of each sensor in order."""
        lanes = [group.lane for group in self._groups.values() if group.lane is not None]
        return [outcome for lane in lanes for outcome in lane.take()]

    def heal(self) -> None:
        """Look for lanes that hang or have crashed and begin them anew, and for sensors whose time has come."""
        now_ns = self._clock.boottime_ns()
        for name, group in self._groups.items():
            if group.lane is not None and group.lane.crash is not None:
                self._crashed(name, group, group.lane, now_ns)
            elif group.lane is not None:
                self._look(name, group, group.lane, now_ns)
            group.stuck = {lane: sensor for lane, sensor in group.stuck.items() if not lane.ended(0.0)}
            for seat in group.seats:
                if seat.error is not None:
                    self._wait(name, group, seat, now_ns)

    def stop(self) -> Sequence[Lane]:
        """Ask every lane to end; those that there are. One that hangs keeps its thread, which ends with the process."""
        lanes = [group.lane for group in self._groups.values() if group.lane is not None]
        for lane in lanes:
            lane.stop()
        return lanes

    def _look(self, name: str, group: _Group, lane: Lane, now_ns: int) -> None:
        held = lane.grip.held
        if held is None or now_ns - held.since_ns < max(STALL_S, held.deadline_s) * NS_PER_S:
            return
        if lane.grip.give_up(held):
            self._hung(name, group, lane, held, now_ns)

    def _hung(self, name: str, group: _Group, lane: Lane, held: Held, now_ns: int) -> None:
        """The thread of `lane` is given up; the rest of its bus goes on in another."""
        passed_s = (now_ns - held.since_ns) / NS_PER_S
        self._journal.emit(SensorStalled(held.sensor, round(passed_s, 1)))
        before = set(group.stuck.values())
        group.stuck[lane] = held.sensor
        culprit = next(seat for seat in group.seats if seat.sensor.name == held.sensor)
        again = culprit.recovery.hung(now_ns / NS_PER_S)
        whole = len({*before, held.sensor}) >= HANGING_OF_A_BUS
        if before:
            # What it held the last time it still holds, and so on: each try costs a thread.
            again = Again(LONGEST_S, quarantined=True)
        what = f"its driver does not come back, for {passed_s:.0f} s now"
        self._renew(name, group, lane, culprit)
        self._set_aside(culprit, SensorError(what, Quality.NOT_READY), again, now_ns, lane)
        for seat in group.seats if whole else ():
            if seat.error is None:
                self._set_aside(seat, BusError(f"its bus hangs at sensor {held.sensor}"), again, now_ns, lane)
        self._restart(name, group)
        stuck = sum(len(each.stuck) for each in self._groups.values())
        if stuck > STUCK:
            self._supervisor.give_up(f"{stuck} drivers do not come back, the last is that of sensor {held.sensor}")

    def _crashed(self, name: str, group: _Group, lane: Lane, now_ns: int) -> None:
        cause = f"{type(lane.crash).__name__}: {lane.crash}"
        culprit = next(seat for seat in group.seats if seat.sensor.name == lane.at)
        again = culprit.recovery.failed(now_ns / NS_PER_S)
        self._journal.emit(LaneCrashed(name, lane.at, cause, again.pause_s))
        self._renew(name, group, lane, None)
        error = SensorError(f"its lane crashed: {cause}")
        self._set_aside(culprit, error, again, now_ns)
        self._restart(name, group)

    def _renew(self, name: str, group: _Group, lane: Lane, hanging: _Seat | None) -> None:
        """New drivers for all whose lane has gone; what it had read by then is kept."""
        # Before anything begins anew: a recording asks then what is not to be read again.
        for outcome in lane.take():
            self._note(outcome)
        group.lane = None
        for seat in group.seats:
            if seat.error is None:
                self._renew_course(seat, leave_idle=seat is not hanging)

    def _renew_course(self, seat: _Seat, *, leave_idle: bool) -> None:
        driver, _ = registry.build(seat.sensor, self._buses)
        conditioner = None
        if isinstance(driver, Resuming):
            seat.condensed += seat.course.condensed
            conditioner = Conditioner(seat.sensor.reading)
            self._resuming(driver, seat.sensor, conditioner)
        seat.course = seat.course.renewed(driver, conditioner, leave_idle=leave_idle)

    def _set_aside(
        self, seat: _Seat, error: SensorError | BusError, again: Again, now_ns: int, stuck: Lane | None = None
    ) -> None:
        seat.error = error
        seat.stuck = stuck
        seat.until_ns = now_ns + round(again.pause_s * NS_PER_S)
        seat.mark_ns = now_ns
        if again.quarantined:
            self._journal.emit(SensorQuarantined(seat.sensor.name, str(error), again.pause_s))

    def _wait(self, name: str, group: _Group, seat: _Seat, now_ns: int) -> None:
        """A sensor that is set aside: say so in its series, and try it again when its time has come."""
        assert seat.error is not None
        freed = seat.stuck is not None and seat.stuck not in group.stuck
        if now_ns < seat.until_ns and not freed:
            if now_ns >= seat.mark_ns:
                seat.mark_ns = now_ns + round(MARK_S * NS_PER_S)
                self._note(seat.course.aside(seat.error))
            return
        if freed:
            # Its driver has come back, and what it held is free again.
            seat.stuck = None
            seat.recovery.retried(now_ns / NS_PER_S)
        seat.error = None
        self._journal.emit(SensorRetried(seat.sensor.name))
        if group.lane is None:
            self._restart(name, group)
        else:
            group.lane.join(seat.course)

    def _restart(self, name: str, group: _Group) -> None:
        if any(seat.error is None for seat in group.seats):
            bus = group.seats[0].sensor.bus
            self._begin(name, group, self._buses.renew(bus) if bus is not None else lambda: None)

    def _begin(self, name: str, group: _Group, prepare: Callable[[], None]) -> None:
        courses = [seat.course for seat in group.seats if seat.error is None]
        group.lane = Lane(name, courses, self._clock, self._wake, self._room, prepare)
        group.lane.start()

    def _seats(self) -> Iterable[_Seat]:
        return (seat for group in self._groups.values() for seat in group.seats)

    def _seated(
        self, sensors: Sequence[SensorSettings], backoff: Callable[[], Backoff]
    ) -> Iterable[tuple[str, Iterable[_Seat]]]:
        grouped: dict[str, list[SensorSettings]] = {}
        for sensor in sensors:
            # Bus names cannot hold a colon.
            grouped.setdefault(sensor.bus or f"sensor:{sensor.name}", []).append(sensor)
        parts = sum(-(-len(group) // TOGETHER) for group in grouped.values())
        taken = 0
        for name, group in grouped.items():
            phases = [(taken + position // TOGETHER) / parts for position in range(len(group))]
            taken += -(-len(group) // TOGETHER)
            yield (
                name,
                [self._seat(name, sensor, phase, backoff()) for sensor, phase in zip(group, phases, strict=True)],
            )

    def _seat(self, lane: str, sensor: SensorSettings, phase: float, backoff: Backoff) -> _Seat:
        driver, kind = registry.build(sensor, self._buses)
        conditioner = Conditioner(sensor.reading)
        self._resuming(driver, sensor, conditioner)
        course = Course(
            *(sensor.name, driver, kind.quantities),
            interval_ns=max(round(sensor.interval_s * NS_PER_S), 1),
            phase=phase,
            deadline_s=sensor.deadline_s,
            conditioner=conditioner,
            backoff=backoff,
            clock=self._clock,
        )
        return _Seat(sensor, lane, course, Recovery(self._clock.boottime_ns() / NS_PER_S))

    def _resuming(self, driver: Driver, sensor: SensorSettings, conditioner: Conditioner) -> None:
        if isinstance(driver, Resuming):
            self.recordings.add(sensor.name)
            driver.resume_after(partial(self._resume, sensor.name, conditioner))
