"""The course of one sensor, step by step, on a clock that the test owns."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from wayside_edge.acquisition.course import Course, Outcome
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.pipeline.conditioning import Conditioner
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.ports import Burst, Bursts, Quantity, Reading, Steps
from wayside_shared.quality import Quality
from wayside_testkit.sensing import ManualClock

MS = 1_000_000


class Slow:
    """A driver whose chip takes 20 ms to start and 100 ms to convert."""

    def __init__(self) -> None:
        self.fault: BusError | SensorError | None = None
        self.said: list[str] = []
        self.value = 1.0
        self.result: Sequence[Reading] | None = None

    def start(self) -> Steps[None]:
        self.said.append("start")
        yield 0.02
        self._check()

    def read(self) -> Steps[Sequence[Reading]]:
        self.said.append("read")
        yield 0.1
        self._check()
        return self.result or [Reading("v", self.value, "V")]

    def close(self) -> None:
        self.said.append("close")

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


class Rig:
    def __init__(self, interval_ms: int = 1000, deadline_s: float = 10.0, phase: float = 0.0) -> None:
        self.clock = ManualClock()
        self.driver = Slow()
        self.course = Course(
            *("s", self.driver, [Quantity("v", "V", 0.0, 5.0)]),
            interval_ns=interval_ms * MS,
            phase=phase,
            deadline_s=deadline_s,
            conditioner=Conditioner(()),
            backoff=Backoff(lambda: 0.0),
            clock=self.clock,
        )

    def next(self) -> Outcome:
        """Go from due time to due time until something comes out."""
        while True:
            self.clock.now_ns = max(self.clock.now_ns, self.course.due_ns)
            outcome = self.course.advance()
            if outcome is not None:
                return outcome


def test_the_bus_is_free_while_the_chip_converts() -> None:
    rig = Rig()
    begin_ns = rig.clock.now_ns
    assert rig.course.advance() is None
    assert rig.course.due_ns == begin_ns + 20 * MS
    outcome = rig.next()
    assert outcome.stamp_ns == begin_ns + 250 * MS
    assert outcome.ended_ns == outcome.stamp_ns + 100 * MS
    assert [reading.value for reading in outcome.readings] == [1.0]


@pytest.mark.parametrize(("interval_ms", "grid_ms"), [(100, 100), (1000, 250), (60_000, 250)])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.99])
def test_sensors_of_one_phase_are_due_together(interval_ms: int, grid_ms: int, phase: float) -> None:
    first, second = Rig(interval_ms, phase=phase), Rig(interval_ms, phase=phase)
    second.clock.now_ns += 7 * MS
    stamps = [rig.next().stamp_ns for rig in (first, second)]
    assert stamps[0] == stamps[1]
    assert stamps[0] % (grid_ms * MS) == int(phase * grid_ms) * MS
    assert stamps[0] - 5_020 * MS <= grid_ms * MS


def test_ticks_do_not_drift_and_missed_ones_are_counted() -> None:
    rig = Rig(interval_ms=250)
    stamps = [rig.next().stamp_ns for _ in range(4)]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 250 * MS, 500 * MS, 750 * MS]
    rig.clock.now_ns += 900 * MS
    late, after = rig.next(), rig.next()
    assert rig.course.lateness.worst_ns == late.stamp_ns - stamps[0] - 1000 * MS == 750 * MS
    assert (late.missed, after.missed, after.stamp_ns - stamps[0]) == (0, 3, 2000 * MS)


@pytest.mark.parametrize(
    ("fault", "quality"),
    [
        (BusError("bus"), Quality.BUS_FAULT),
        (DeviceAbsentError("gone"), Quality.ABSENT),
        (SensorError("crc", Quality.CHECKSUM), Quality.CHECKSUM),
        (SensorError("odd"), Quality.INVALID),
    ],
)
def test_what_a_failure_takes_away_is_marked(fault: BusError | SensorError, quality: Quality) -> None:
    rig = Rig()
    rig.next()
    rig.driver.fault = fault
    first, second = rig.next(), rig.next()
    assert (first.error, first.failures, second.failures) == (fault, 1, 2)
    assert [(r.name, r.value, r.unit, r.quality) for r in first.readings] == [("v", None, "V", quality)]
    assert rig.driver.said[-1] == "start"
    rig.driver.fault = None
    back = rig.next()
    assert (back.failures, back.error) == (2, None)


def test_a_failing_sensor_is_left_alone_for_longer_and_longer() -> None:
    rig = Rig()
    rig.driver.fault = BusError("bus")
    pauses = []
    for _ in range(8):
        rig.next()
        pauses.append((rig.course.due_ns - rig.clock.now_ns) // MS)
    assert pauses == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]


def test_a_read_that_takes_too_long_has_failed() -> None:
    rig = Rig(deadline_s=0.05)
    outcome = rig.next()
    assert outcome.error is not None
    assert outcome.error.quality is Quality.NOT_READY
    assert "did not finish within 0.05 s" in str(outcome.error)


def test_a_value_out_of_range_is_no_value() -> None:
    rig = Rig()
    rig.driver.value = 5.01
    (reading,) = rig.next().readings
    assert (reading.value, reading.quality) == (None, Quality.OUT_OF_RANGE)


def test_closing_ends_a_read_in_the_middle() -> None:
    rig = Rig()
    rig.course.advance()
    rig.course.close()
    assert rig.driver.said == ["start", "close"]


def test_series_of_bursts_are_absent_when_a_read_fails() -> None:
    rig = Rig()
    x = Burst("x", (1.0, 2.0), "m/s2", MS, MS // 2, 3)
    rig.driver.result = Bursts([x], [Reading("v", 1.0, "V")])
    assert len(rig.next().readings) == 3
    rig.driver.fault = SensorError("it fell off", Quality.POWER_LOST)
    found = {(reading.name, reading.unit, reading.value, reading.quality) for reading in rig.next().readings}
    assert found == {("x", "m/s2", None, Quality.POWER_LOST), ("v", "V", None, Quality.POWER_LOST)}


@pytest.mark.parametrize(
    "result",
    [None, 5, "text", [1.0], [Reading("v", object(), "V")], [Reading("v", Decimal("1.5"), "V")]],  # type: ignore[arg-type, list-item]
)
def test_what_is_no_reading_is_a_failure_of_that_sensor(result: Any) -> None:
    rig = Rig()
    rig.driver.read = lambda: result  # type: ignore[method-assign]
    outcome = rig.next()
    assert outcome.error is not None
    assert "its driver has a mistake" in str(outcome.error)


@pytest.mark.parametrize("pause_s", [math.nan, math.inf, -1.0, None, "1", True])
def test_what_is_no_pause_is_a_failure_of_that_sensor(pause_s: Any) -> None:
    rig = Rig()

    def read() -> Steps[Sequence[Reading]]:
        yield pause_s
        return []

    rig.driver.read = read  # type: ignore[method-assign]
    outcome = rig.next()
    assert outcome.error is not None
    assert "no pause" in str(outcome.error)


def test_a_pause_ends_at_the_deadline() -> None:
    rig = Rig(deadline_s=0.5)

    def read() -> Steps[Sequence[Reading]]:
        yield 3600.0
        return []

    rig.driver.read = read  # type: ignore[method-assign]
    outcome = rig.next()
    assert outcome.error is not None
    assert outcome.error.quality is Quality.NOT_READY
    assert outcome.ended_ns < 6_000 * MS


def test_numbers_of_other_types_become_plain_ones() -> None:
    rig = Rig()
    rig.driver.read = lambda: [Reading("v", np.float64(1.5), "V"), Reading("n", 1 << 70, "1")]  # type: ignore[method-assign]
    readings = rig.next().readings
    assert [(type(r.value), r.value, r.quality) for r in readings] == [
        (float, 1.5, Quality.GOOD),
        (type(None), None, Quality.OUT_OF_RANGE),
    ]


def test_a_sensor_that_never_worked_leaves_marks_all_the_same() -> None:
    rig = Rig()
    rig.driver.fault = DeviceAbsentError("gone")
    assert [(r.name, r.value, r.quality) for r in rig.next().readings] == [("v", None, Quality.ABSENT)]
