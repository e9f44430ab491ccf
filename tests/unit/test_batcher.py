"""When batches close, how stamps are rounded, how kinds are kept apart."""

import pytest

from wayside_edge.pipeline.batcher import Batcher
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import ABSOLUTE, ClosedBatch, Reading
from wayside_shared.batch import MAX_SERIES, Envelope, Message
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import Block, decode_body
from wayside_shared.values import Scalar

BOOT = b"b" * 16
WALL_NS = 1_700_000_000 * 10**9
SECOND = 10**9


def now(boottime_ns: int) -> ClockMap:
    return ClockMap(boottime_ns, WALL_NS + boottime_ns, ClockState.UNSYNCED)


def blocks(batch: ClosedBatch) -> list[Block]:
    envelope = Envelope("board-1", b"e" * 16, 1, 1, 0, batch.n, batch.boot_id, batch.clock, None)
    return decode_body(Message(envelope, batch.body)).blocks


def reading(value: Scalar, name: str = "v", unit: str = "1", time_ns: int | None = None) -> Reading:
    return Reading(name, value, unit, time_ns=time_ns)


def test_closes_by_count() -> None:
    batcher = Batcher(BatchSettings(max_samples=3), BOOT)
    batcher.add("s", [reading(float(i)) for i in range(7)], SECOND, SECOND)
    assert batcher.due_ns == 0
    assert [batch.n for batch in batcher.take(now(SECOND))] == [3, 3]
    assert batcher.pending == 1


def test_closes_by_age_of_its_first_sample() -> None:
    batcher = Batcher(BatchSettings(max_age_s=10.0), BOOT)
    assert batcher.due_ns is None
    batcher.add("s", [reading(1.0)], 5 * SECOND, SECOND)
    batcher.add("s", [reading(2.0)], 6 * SECOND, SECOND)
    assert batcher.due_ns == 15 * SECOND
    assert batcher.take(now(15 * SECOND - 1)) == []
    (batch,) = batcher.take(now(15 * SECOND))
    assert (batch.n, batch.clock, batch.boot_id) == (2, now(15 * SECOND), BOOT)


def test_closes_by_size() -> None:
    batcher = Batcher(BatchSettings(max_bytes=1024), BOOT)
    batcher.add("s", [reading("x" * 600), reading("y" * 600), reading("z")], SECOND, SECOND)
    assert [batch.n for batch in batcher.take(now(SECOND))] == [2]


def test_recorded_times_have_a_batch_of_their_own() -> None:
    batcher = Batcher(BatchSettings(), BOOT)
    batcher.add("s", [reading(1.0), reading(2.0, time_ns=WALL_NS + 7_000)], SECOND, SECOND)
    live, recorded = batcher.take(now(SECOND), everything=True)
    assert live.clock == now(SECOND)
    assert recorded.clock == ABSOLUTE
    assert blocks(recorded)[0].times_us.tolist() == [WALL_NS // 1000 + 7]


@pytest.mark.parametrize(
    ("interval_ns", "expected_us"), [(SECOND, 1_235_000), (10_000_000, 1_235_000), (9_999_999, 1_234_568)]
)
def test_stamps_are_as_fine_as_the_interval_needs(interval_ns: int, expected_us: int) -> None:
    batcher = Batcher(BatchSettings(), BOOT)
    batcher.add("s", [reading(1.0)], 1_234_567_890, interval_ns)
    (batch,) = batcher.take(now(2 * SECOND), everything=True)
    assert blocks(batch)[0].times_us.tolist() == [WALL_NS // 1000 + expected_us]


def test_kinds_and_units_of_one_name_are_columns_of_their_own() -> None:
    batcher = Batcher(BatchSettings(), BOOT)
    refused = batcher.add("s", [reading(v) for v in (1.5, 2, True, "on")] + [reading(3.0, unit="V")], SECOND, SECOND)
    assert not refused
    (batch,) = batcher.take(now(SECOND), everything=True)
    found = [(b.name, b.unit, b.texts if b.numbers is None else b.numbers.tolist()) for b in blocks(batch)]
    assert found == [
        ("s.v", "1", [1.5, 2.0]),
        ("s.v", "1", ["true"]),
        ("s.v", "1", ['"on"']),
        ("s.v", "V", [3.0]),
    ]


def test_values_are_rounded_to_what_the_chip_resolves() -> None:
    batcher = Batcher(BatchSettings(), BOOT)
    batcher.add("s", [Reading("v", 21.123456, "Cel", decimals=2)], SECOND, SECOND)
    (batch,) = batcher.take(now(SECOND), everything=True)
    numbers = blocks(batch)[0].numbers
    assert numbers is not None
    assert numbers.tolist() == [21.12]


def test_more_series_than_a_batch_may_hold_are_two_batches() -> None:
    batcher = Batcher(BatchSettings(max_samples=30_000, max_bytes=192 * 1024), BOOT)
    batcher.add("s", [reading(1.0, name=f"n{i}") for i in range(MAX_SERIES + 1)], SECOND, SECOND)
    batches = batcher.take(now(SECOND), everything=True)
    assert [batch.n for batch in batches] == [MAX_SERIES, 1]


def test_a_recording_with_a_gap_of_years_stays_decodable() -> None:
    batcher = Batcher(BatchSettings(), BOOT)
    year_ns = 365 * 86_400 * SECOND
    times = [WALL_NS + i * SECOND + (i >= 200) * 3 * year_ns for i in range(400)]
    assert not batcher.add("s", [reading(1.0, time_ns=t) for t in times], SECOND, SECOND)
    found = [
        t for batch in batcher.take(now(SECOND), everything=True) for b in blocks(batch) for t in b.times_us.tolist()
    ]
    assert found == [t // 1000 for t in times]


def test_recordings_that_lie_a_century_apart_share_no_batch() -> None:
    batcher = Batcher(BatchSettings(), BOOT)
    early, late = 946_684_800 * SECOND, 3_376_684_800 * SECOND
    for time_ns, name in ((early, "v"), (late, "w")):
        assert not batcher.add("s", [reading(1.0, name=name, time_ns=time_ns)], SECOND, SECOND)
    assert len(batcher.take(now(SECOND), everything=True)) == 2
