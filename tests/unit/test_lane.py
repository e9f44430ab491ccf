"""A lane: fairness between the sensors of a bus, and mistakes that are not hidden."""

import threading
from collections.abc import Sequence

from wayside_edge.acquisition.course import Course, Outcome
from wayside_edge.acquisition.lane import Lane
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.pipeline.conditioning import Conditioner
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.ports import Driver, Reading, Steps

CLOCK = SystemClock(ClockSettings(trust_system=True))


class Quick:
    """Reads at once, or with a pause."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s

    def start(self) -> None:
        pass

    def read(self) -> Steps[Sequence[Reading]]:
        if self._pause_s:
            yield self._pause_s
        return [Reading("v", 1.0, "1")]

    def close(self) -> None:
        pass


class Mistaken(Quick):
    def read(self) -> Steps[Sequence[Reading]]:
        raise ZeroDivisionError
        yield


def course(name: str, driver: Driver, interval_ms: int) -> Course:
    return Course(
        *(name, driver, ()),
        interval_ns=interval_ms * 1_000_000,
        phase=0.0,
        deadline_s=10.0,
        conditioner=Conditioner(()),
        backoff=Backoff(lambda: 0.0),
        clock=CLOCK,
    )


class Rig:
    def __init__(self, *courses: Course) -> None:
        self.woken = threading.Event()
        self.room = threading.Event()
        self.room.set()
        self.lane = Lane("a", courses, CLOCK, self.woken.set, self.room)

    def take(self, enough: int) -> list[Outcome]:
        taken: list[Outcome] = []
        self.lane.start()
        try:
            while len(taken) < enough:
                assert self.woken.wait(20)
                self.woken.clear()
                taken.extend(self.lane.take())
        finally:
            self.lane.stop()
            assert self.lane.ended(20)
        return [*taken, *self.lane.take()]


def test_a_slow_conversion_holds_nobody_up() -> None:
    rig = Rig(course("slow", Quick(0.3), 1000), course("quick", Quick(), 5))
    taken = rig.take(150)
    names = [outcome.sensor for outcome in taken]
    assert "slow" in names
    assert names.index("slow") > 10


def test_sensors_of_one_rate_take_turns() -> None:
    rig = Rig(*(course(f"s{i}", Quick(), 2) for i in range(8)))
    taken = rig.take(400)
    counts = [sum(outcome.sensor == f"s{i}" for outcome in taken) for i in range(8)]
    assert max(counts) - min(counts) <= 0.2 * max(counts) + 2


def test_nothing_is_read_without_room() -> None:
    rig = Rig(course("s", Quick(), 1))
    rig.room.clear()
    rig.lane.start()
    assert not rig.woken.wait(0.3)
    rig.room.set()
    assert rig.woken.wait(20)
    rig.lane.stop()
    assert rig.lane.ended(20)


def test_a_mistake_in_one_driver_stops_no_other() -> None:
    rig = Rig(course("mistaken", Mistaken(), 1), course("well", Quick(), 5))
    taken = rig.take(50)
    (error,) = {str(outcome.error) for outcome in taken if outcome.sensor == "mistaken"}
    assert error == "its driver has a mistake: ZeroDivisionError: "
    assert sum(outcome.sensor == "well" for outcome in taken) > 30


class _Broken(Course):
    def advance(self) -> Outcome | None:
        raise ZeroDivisionError


def test_a_mistake_of_our_own_ends_the_lane_and_says_where() -> None:
    made = course("s", Quick(), 1)
    made.__class__ = _Broken
    rig = Rig(made)
    rig.lane.start()
    assert rig.woken.wait(20)
    assert rig.lane.ended(20)
    assert isinstance(rig.lane.crash, ZeroDivisionError)
    assert (rig.lane.at, rig.lane.take()) == ("s", [])


def test_taking_while_the_lane_hands_over_is_no_race() -> None:
    class Resetting(Lane):
        """A lane whose readings are taken at the worst moment: between two looks at how old they are."""

        def __getattribute__(self, name: str) -> object:
            found = super().__getattribute__(name)
            if name == "_oldest_ns" and found is not None:
                super().__setattr__("_oldest_ns", None)
            return found

    rig = Rig(course("s", Quick(), 1))
    rig.lane = Resetting("a", rig.lane.courses, CLOCK, rig.woken.set, rig.room)
    rig.lane.start()
    threading.Event().wait(0.3)
    rig.lane.stop()
    assert rig.lane.ended(20)
    assert rig.lane.take()
