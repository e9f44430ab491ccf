"""Whatever drivers read is in a batch or refused, and comes out of the codec as it went in."""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from wayside_edge.pipeline.batcher import Batcher
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import ABSOLUTE, ClosedBatch, Reading
from wayside_shared.batch import MAX_BODY_BYTES, Envelope, Message, inflate
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import Body, decode_body
from wayside_shared.rejects import RejectCode

BOOT = b"b" * 16
WALL_NS = 1_700_000_000 * 10**9


def now(boottime_ns: int) -> ClockMap:
    return ClockMap(boottime_ns, WALL_NS + boottime_ns, ClockState.SYNCED)


def decoded(batch: ClosedBatch) -> Body:
    envelope = Envelope("board-1", b"e" * 16, 1, 1, 0, batch.n, batch.boot_id, batch.clock, None)
    return decode_body(Message(envelope, batch.body))


values = st.one_of(
    st.floats(),
    st.floats(-1e6, 1e6).map(lambda x: round(x, 2)),
    st.integers(-(2**65), 2**65),
    st.booleans(),
    st.text(max_size=40),
)
times = st.one_of(st.none(), st.integers(0, 5_000_000_000 * 10**9))
readings = st.builds(
    Reading,
    name=st.sampled_from(["temperature", "state", "a b", "x/y", "\ud800"]),
    value=values,
    unit=st.sampled_from(["Cel", "%", "", "no unit"]),
    time_ns=times,
    decimals=st.one_of(st.none(), st.integers(0, 6)),
)
rounds = st.lists(st.tuples(st.lists(readings, max_size=30), st.integers(0, 40 * 86_400 * 10**9)), max_size=12)


@example([([Reading("temperature", 0.0, "Cel", 4_000_000_000_000_000_001, None)], 0)], 1)
@given(rounds, st.integers(1, 40))
def test_accepted_and_refused_are_all_there_was(reads: list[tuple[list[Reading], int]], max_samples: int) -> None:
    batcher = Batcher(BatchSettings(max_samples=max_samples, max_age_s=3600.0), BOOT)
    boottime_ns, produced, refused = 10**9, 0, 0
    batches: list[ClosedBatch] = []
    for given_readings, pause_ns in reads:
        boottime_ns += pause_ns
        produced += len(given_readings)
        refused += len(batcher.add("s", given_readings, boottime_ns, 10**9))
        batches += batcher.take(now(boottime_ns))
    batches += batcher.take(now(boottime_ns), everything=True)
    assert batcher.pending == 0
    assert sum(batch.n for batch in batches) + refused == produced
    for batch in batches:
        assert 0 < batch.n <= max_samples
        assert decoded(batch).samples == batch.n
        assert len(inflate(batch.body)) < MAX_BODY_BYTES


@given(st.lists(st.tuples(st.floats(-1e300, 1e300), st.integers(0, 10**15)), min_size=1, max_size=60))
def test_values_and_times_come_out_as_they_went_in(samples: list[tuple[float, int]]) -> None:
    batcher = Batcher(BatchSettings(), BOOT)
    expected = Counter()
    for value, time_ns in samples:
        time_us = (WALL_NS + time_ns) // 1000
        assert not batcher.add("s", [Reading("v", value, "1", time_ns=time_us * 1000)], 10**9, 10**9)
        expected[(time_us, value)] += 1
    found: Counter[tuple[int, float]] = Counter()
    for batch in batcher.take(now(10**9), everything=True):
        assert batch.clock == ABSOLUTE
        for block in decoded(batch).blocks:
            assert block.numbers is not None
            found.update(zip(block.times_us.tolist(), block.numbers.tolist(), strict=True))
    assert found == expected


@given(st.sampled_from([float("nan"), float("inf"), float("-inf")]))
def test_what_is_not_finite_is_refused_by_name(value: float) -> None:
    batcher = Batcher(BatchSettings(), BOOT)
    (refused,) = batcher.add("s", [Reading("v", value, "1")], 10**9, 10**9)
    assert (refused.series, refused.code) == ("s.v", RejectCode.NON_FINITE)
    assert batcher.pending == 0
