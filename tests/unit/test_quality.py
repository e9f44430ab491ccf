"""Qualities: held to what the chip can measure, and carried through a batch to the server's side."""

import math

import pytest

from wayside_edge.pipeline.batcher import Batcher
from wayside_edge.pipeline.guard import Guard
from wayside_edge.pipeline.schedule import Lateness
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import ClosedBatch, Quantity, Reading
from wayside_shared.batch import Column, Envelope, Marks, Message, encode_body
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import Body, decode_body
from wayside_shared.errors import RejectedError
from wayside_shared.quality import Quality
from wayside_testkit import wire

SECOND = 10**9


def body(data: bytes, n: int) -> Body:
    envelope = Envelope("d-1", b"e" * 16, 1, 1, 0, n, bytes(16), wire.CLOCK, None)
    return decode_body(Message(envelope, data))


def test_a_value_beyond_the_chip_is_taken_away() -> None:
    guard = Guard([Quantity("temperature", "Cel", -40.0, 85.0), Quantity("voltage_*", "V", 0.0, 3.3)])
    given = [
        Reading("temperature", 85.01, "Cel"),
        Reading("temperature", 85.0, "Cel"),
        Reading("voltage_7", -0.1, "V"),
        Reading("voltage_7", math.nan, "V"),
        Reading("other", 1e9, "1"),
        Reading("on", value=True, unit="1"),
    ]
    found = guard.check(given)
    assert [reading.value for reading in found] == [None, 85.0, None, None, 1e9, True]
    assert [reading.quality for reading in found if reading.value is None] == [Quality.OUT_OF_RANGE] * 3
    assert guard.check(given[1:2]) is not found
    assert guard.check(given[1:2]) == given[1:2]


def closed(*readings: Reading) -> ClosedBatch:
    batcher = Batcher(BatchSettings(), bytes(16))
    assert batcher.add("s", readings, 5 * SECOND, SECOND) == []
    (batch,) = batcher.take(ClockMap(5 * SECOND, 5 * SECOND, ClockState.SYNCED), everything=True)
    return batch


def test_qualities_travel_with_the_sample_or_its_absence() -> None:
    batch = closed(
        Reading("good", 1.5, "V"),
        Reading("clipped", 3.3, "V", quality=Quality.CLIPPED),
        Reading("gone", None, "V", quality=Quality.ABSENT),
        Reading("gone", 7.0, "V", quality=Quality.CHECKSUM),
    )
    assert batch.n == 4
    found = body(batch.body, 4)
    assert {block.name for block in found.blocks if block.numbers is not None} == {"s.good", "s.clipped"}
    marks = {block.name: block.qualities.tolist() for block in found.blocks if block.qualities is not None}
    assert marks == {"s.clipped": [Quality.CLIPPED], "s.gone": [Quality.ABSENT, Quality.CHECKSUM]}
    assert found.samples == 4


def test_a_reading_without_value_and_without_reason_is_refused() -> None:
    batcher = Batcher(BatchSettings(), bytes(16))
    (refused,) = batcher.add("s", [Reading("v", None, "V")], SECOND, SECOND)
    assert refused.code.value == "non_finite"


@pytest.mark.parametrize("quality", [0, 256, -1])
def test_what_is_no_mark_is_not_encoded(quality: int) -> None:
    with pytest.raises(ValueError, match="no quality"):
        encode_body([], (), [Marks("s", "1", [SECOND], [quality])])


def test_a_good_mark_and_a_wrong_count_are_rejected() -> None:
    data = encode_body([Column("s", "1", [SECOND], [1.0])], (), [Marks("s", "1", [SECOND], [Quality.ABSENT])])
    assert body(data, 2).samples == 2
    for n in (1, 3):
        with pytest.raises(RejectedError):
            body(data, n)


def test_lateness_is_known_to_an_eighth() -> None:
    lateness = Lateness()
    assert lateness.percentile_ns(0.99) == 0
    for late_us in range(1, 1001):
        lateness.add(late_us * 1000)
    assert (lateness.reads, lateness.worst_ns) == (1000, 1_000_000)
    for share in (0.1, 0.5, 0.99, 1.0):
        assert share * 1e6 <= lateness.percentile_ns(share) <= share * 1.125e6
