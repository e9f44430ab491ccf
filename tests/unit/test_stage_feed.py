"""What waits for a stage, and readings on their way in and out."""

import tracemalloc
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside_edge.acquisition import results
from wayside_edge.compute.feed import BOOT, MAX_WAITING, UTC, WAITING_BYTES, Feed, Item, Ready
from wayside_edge.compute.serving import StageError
from wayside_edge.ports import Burst, Bursts, Reading
from wayside_shared.clock import NS_PER_S
from wayside_shared.quality import Quality
from wayside_shared.stage_block import Block, BlockReading, BlockSeries, decode_block
from wayside_shared.stage_worker import Done, Failure

NOW_NS = 100 * NS_PER_S


def item(value: float, series: str = "air.temperature", clock: str = BOOT, time_ns: int = NOW_NS) -> Item:
    return clock, series, "Cel", time_ns, value, 0


def values(ready: Ready | None) -> list[float]:
    assert ready is not None
    return [reading.value for reading in decode_block(ready.block, max_readings=MAX_WAITING).readings]


def test_a_block_is_ready_by_count_or_by_age() -> None:
    feed = Feed(["air.*"], 2, NS_PER_S)
    feed.add([item(1.0), item(2.0), item(3.0), item(9.0, "water.level")], NOW_NS)
    assert feed.due_ns == 0
    assert values(feed.take(NOW_NS)) == [1.0, 2.0]
    assert feed.due_ns == NOW_NS + NS_PER_S
    assert feed.take(NOW_NS + NS_PER_S - 1) is None
    assert values(feed.take(NOW_NS + NS_PER_S)) == [3.0]
    assert feed.due_ns is None
    assert feed.waiting == 0


def test_clocks_are_kept_apart() -> None:
    feed = Feed(["*"], 10, NS_PER_S)
    feed.add([item(1.0), item(2.0, clock=UTC, time_ns=17 * 10**17)], NOW_NS)
    blocks = [feed.take(NOW_NS, everything=True), feed.take(NOW_NS, everything=True)]
    assert {block.clock for block in blocks if block is not None} == {BOOT, UTC}


def test_a_block_that_was_not_done_with_comes_first_again() -> None:
    feed = Feed(["*"], 1, NS_PER_S)
    feed.add([item(1.0), item(2.0)], NOW_NS)
    first = feed.take(NOW_NS)
    assert first is not None
    feed.put_back(first)
    assert values(feed.take(NOW_NS)) == [1.0]
    assert values(feed.take(NOW_NS)) == [2.0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 7000), max_size=20), st.integers(1, 5000))
def test_every_reading_is_waiting_taken_or_counted_as_given_up(sizes: list[int], samples: int) -> None:
    feed = Feed(["*"], samples, NS_PER_S)
    given_up = sum([feed.add([item(1.0)] * size, NOW_NS) for size in sizes])
    assert given_up == feed.given_up
    assert feed.waiting <= MAX_WAITING + samples
    taken = 0
    while (ready := feed.take(NOW_NS, everything=True)) is not None:
        taken += ready.n
    assert taken + given_up == sum(sizes)


@pytest.mark.parametrize("samples", [1, 7, 1000])
def test_what_waits_for_all_stages_together_is_bounded_in_bytes(samples: int) -> None:
    feed = Feed(["*"], samples, NS_PER_S, 10)
    tracemalloc.start()
    try:
        for place in range(600):
            feed.add([item(float(place), f"air.v{series}", time_ns=NOW_NS + place) for series in range(80)], NOW_NS)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.1 * WAITING_BYTES / 10
    assert feed.waiting + feed.given_up == 600 * 80
    assert feed.waiting > 2500


def test_other_settings_keep_what_waits() -> None:
    feed = Feed(["air.*"], 1, NS_PER_S)
    feed.add([item(1.0)], NOW_NS)
    moved = feed.moved(["water.*"], 5, 2.0)
    assert moved.waiting == 1
    assert not moved.wants("air.temperature")


def test_readings_go_in_as_they_are_stored() -> None:
    readings = [
        Reading("a", 1.23456, "V", decimals=2),
        Reading("b", True, "1", age_ns=5_000_700),
        Reading("c", "text", "1"),
        Reading("d", None, "Cel", quality=Quality.CHECKSUM),
        Reading("e", nan, "V"),
        Reading("f", inf, "V"),
        Reading("g", 7, "1", time_ns=17 * 10**17),
        Reading("h", 7, "1", time_ns=1 << 64),
    ]
    assert list(results.items("x", readings, NOW_NS, NOW_NS + 10**6)) == [
        (BOOT, "x.a", "V", NOW_NS, 1.23, 0),
        (BOOT, "x.b", "1", NOW_NS - 4_001_000, 1.0, 0),
        (BOOT, "x.d", "Cel", NOW_NS, None, int(Quality.CHECKSUM)),
        (UTC, "x.g", "1", 17 * 10**17, 7.0, 0),
    ]


def test_bursts_go_in_sample_by_sample() -> None:
    bursts = Bursts([Burst("acceleration_x", [1.0, 2.0, 3.0], "m/s2", 1_000_000, 500_000, 3)])
    times = [each[3] for each in results.items("m", bursts, NOW_NS, NOW_NS)]
    assert times == [NOW_NS - 2_500_000, NOW_NS - 1_500_000, NOW_NS - 500_000]


def ready(clock: str = BOOT, time_ns: int = NOW_NS) -> Ready:
    block = Block([BlockSeries("a.b", "1")], [BlockReading(time_ns, 1.0, 0)])
    return Ready(clock, block.encode(), 1, time_ns, time_ns)


@pytest.mark.parametrize("now_ns", [NOW_NS - 5, NOW_NS, NOW_NS + 10**9])
def test_what_comes_out_has_its_time(now_ns: int) -> None:
    block = Block([BlockSeries("y", "1")], [BlockReading(NOW_NS, 2.0, 0), BlockReading(NOW_NS - 7, 3.0, 0, 70)])
    readings, ended_ns = results.made(block, ["it began"], ready(), now_ns)
    assert [ended_ns - reading.age_ns for reading in readings] == [NOW_NS, NOW_NS - 7, NOW_NS]
    assert [reading.value for reading in readings] == [2.0, None, "it began"]
    assert all(reading.age_ns > 0 for reading in readings)
    recorded, _ = results.made(block, [], ready(UTC), now_ns)
    assert [reading.time_ns for reading in recorded] == [NOW_NS, NOW_NS - 7]


@pytest.mark.parametrize(
    "reading",
    [BlockReading(NOW_NS + results.REACH_NS + 1, 1.0, 0), BlockReading(-(1 << 60), 1.0, 0), BlockReading(1, 1.0, 0, 9)],
)
def test_what_cannot_be_is_refused(reading: BlockReading) -> None:
    done = Done(Block([BlockSeries("y", "1")], [reading]).encode())
    with pytest.raises(StageError) as caught:
        results.given(done, ready(), 10)
    assert caught.value.failure is Failure.OUTPUT


def test_nothing_is_an_answer_too() -> None:
    assert results.given(Done(), ready(), 10).readings == ()
