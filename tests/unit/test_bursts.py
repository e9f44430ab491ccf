"""Bursts: readings to whoever takes readings, and whole to the guard and the batcher."""

from dataclasses import replace
from math import nan

import pytest

from wayside_edge.pipeline.batcher import MAX_BURST, Batcher
from wayside_edge.pipeline.guard import Guard
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import Burst, Bursts, Quantity, Reading
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.quality import Quality
from wayside_shared.rejects import RejectCode

MS = 1_000_000
X = Burst("x", (1.0, 2.0, 3.0), "m/s2", 10 * MS, 5 * MS, 3, {0: Quality.OVERRUN})
Y = Burst("y", (-1.0, -2.0, -3.0), "m/s2", 10 * MS, 5 * MS, 3)
REST = Reading("temperature", 25.0, "Cel")
NOW = ClockMap(10**12, 17 * 10**17, ClockState.SYNCED)


def test_are_readings_oldest_first_and_then_the_rest() -> None:
    bursts = Bursts([X, Y], [REST])
    assert len(bursts) == 7
    assert [(r.name, r.value, r.age_ns // MS) for r in bursts] == [
        *[("x", 1.0, 25), ("y", -1.0, 25), ("x", 2.0, 15), ("y", -2.0, 15), ("x", 3.0, 5), ("y", -3.0, 5)],
        ("temperature", 25.0, 0),
    ]
    assert [r.quality for r in bursts if r.name == "x"] == [Quality.OVERRUN, Quality.GOOD, Quality.GOOD]
    assert bursts[0] == Reading("x", 1.0, "m/s2", decimals=3, age_ns=25 * MS, quality=Quality.OVERRUN)
    assert bursts[-1] is REST
    assert bursts[1:3] == [bursts[1], bursts[2]]
    with pytest.raises(IndexError):
        bursts[7]


def test_none_at_all_is_only_the_rest() -> None:
    assert list(Bursts([], [REST])) == [REST]
    assert list(Bursts([replace(X, values=())], [REST])) == [REST]
    batcher = Batcher(BatchSettings(), bytes(16))
    batcher.add("s", Bursts([replace(X, values=(), marks={})], [REST]), 10**9, 10**9)
    assert batcher.pending == 1


def test_the_guard_lets_good_ones_stay_whole() -> None:
    bursts = Bursts([X, Y], [REST])
    guard = Guard([Quantity("?", "m/s2", -5.0, 5.0), Quantity("temperature", "Cel", -40.0, 85.0)])
    assert guard.check(bursts) is bursts
    assert Guard([]).check(bursts) is bursts


@pytest.mark.parametrize("value", [5.1, -5.1, nan])
def test_the_guard_takes_only_the_wrong_sample_from_a_burst(value: float) -> None:
    guard = Guard([Quantity("?", "m/s2", -5.0, 5.0)])
    found = guard.check(Bursts([replace(X, values=(1.0, value, 3.0)), Y], [REST]))
    assert [reading.value for reading in found if reading.name == "x"] == [1.0, None, 3.0]
    assert [reading.quality for reading in found if reading.name == "x"][1] is Quality.OUT_OF_RANGE
    assert [reading.value for reading in found if reading.name == "y"] == [-1.0, -2.0, -3.0]


def test_the_guard_sees_the_rest() -> None:
    guard = Guard([Quantity("temperature", "Cel", -40.0, 20.0)])
    assert guard.check(Bursts([X], [REST]))[-1].quality is Quality.OUT_OF_RANGE


def test_a_burst_is_not_parted_by_the_end_of_a_batch() -> None:
    batcher = Batcher(BatchSettings(max_samples=4), bytes(16))
    batcher.add("s", Bursts([X, Y], [REST]), 10**9, 10**9)
    assert [batch.n for batch in batcher.take(NOW, everything=True)] == [6, 1]


def test_one_that_is_too_long_is() -> None:
    long = replace(X, values=(1.0,) * (MAX_BURST + 1))
    batcher = Batcher(BatchSettings(max_samples=500), bytes(16))
    batcher.add("s", Bursts([long]), 10**12, 10**9)
    assert {batch.n for batch in batcher.take(NOW)} == {500}


def test_each_sample_of_a_refused_series_is_counted() -> None:
    batcher = Batcher(BatchSettings(), bytes(16))
    refused = batcher.add("s", Bursts([replace(X, name="a b"), replace(Y, unit="no unit")], [REST]), 10**9, 10**9)
    assert [(each.series, each.code) for each in refused] == [
        *[("s.a b", RejectCode.BAD_NAME)] * 3,
        *[("s.y", RejectCode.BAD_UNIT)] * 3,
    ]
    assert batcher.pending == 1


def test_only_the_number_that_is_none_is_refused() -> None:
    batcher = Batcher(BatchSettings(), bytes(16))
    refused = batcher.add("s", Bursts([replace(X, values=(1.0, nan, 3.0)), Y], [REST]), 10**9, 10**9)
    assert [(each.series, each.code) for each in refused] == [("s.x", RejectCode.NON_FINITE)]
    assert batcher.pending == 6
