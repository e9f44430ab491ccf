"""The batch codec: what it costs, what it refuses, and where exactness could slip."""

import gc
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import cbor2
import pytest

from wayside_shared import cbor
from wayside_shared.batch import (
    MAX_BODY_BYTES,
    MAX_DROPPED_BATCHES,
    MAX_MESSAGE_BYTES,
    MAX_SAMPLES,
    MAX_SERIES,
    MAX_SPAN_NS,
    Column,
    Drop,
    Message,
    decode_message,
    encode_body,
    encode_message,
    inflate,
)
from wayside_shared.columns import decode_body
from wayside_shared.errors import RejectedError
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.text import MAX_JSON_VALUES, MAX_TEXTS
from wayside_shared.values import MAX_EXACT, Kind
from wayside_testkit import wire


def numbers(values: list[float]) -> list[float]:
    block = wire.round_trip([Column("s", "1", wire.times(len(values)), values)]).blocks[0]
    assert block.numbers is not None
    result: list[float] = block.numbers.tolist()
    return result


def kind_of(values: list[float]) -> Kind:
    fields = cbor2.loads(inflate(encode_body([Column("s", "1", wire.times(len(values)), values)])))
    return Kind(fields[2][0][3])


def typed(code: str, *values: float) -> cbor2.CBORTag:
    tag = {"b": cbor.SINT8, "h": cbor.SINT16_LE, "i": cbor.SINT32_LE, "q": cbor.SINT64_LE, "d": cbor.FLOAT64_LE}[code]
    return cbor2.CBORTag(tag, struct.pack(f"<{len(values)}{code}", *values))


def refusal(read: Callable[[], object]) -> RejectCode:
    with pytest.raises(RejectedError) as caught:
        read()
    return caught.value.code


# --- exactness


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([21.5, 21.25, -3.0], Kind.SCALED),
        ([1, 2, 3], Kind.SCALED),
        ([5e-05, 0.00012], Kind.SCALED),
        ([1.5e-07], Kind.SCALED),
        ([1e-10], Kind.FLOAT),
        ([0.1 + 0.2], Kind.FLOAT),
        ([float(MAX_EXACT), -float(MAX_EXACT)], Kind.SCALED),
        ([1e16], Kind.FLOAT),
        ([5e-324, 1.7976931348623157e308], Kind.FLOAT),
        ([1.7976931348623157e308, 0.5], Kind.FLOAT),
        ([9007199254740993.0, 0.1], Kind.FLOAT),
    ],
)
def test_numbers_return_as_they_are(values: list[float], kind: Kind) -> None:
    assert kind_of(values) == kind
    assert numbers(values) == values


def test_integers_beyond_2_to_53_arrive_as_the_nearest_float() -> None:
    assert numbers([MAX_EXACT + 1, -(10**300)]) == [float(MAX_EXACT + 1), -1e300]


@pytest.mark.parametrize("values", [[-0.0], [-0.0, 1.5], [-0.0, 1e300]])
def test_zero_has_no_sign(values: list[float]) -> None:
    assert struct.pack("<d", numbers(values)[0]) == bytes(8)


def test_wide_swings_do_not_overflow_their_running_sum() -> None:
    values = [float(MAX_EXACT * (-1) ** i) for i in range(1000)]
    assert kind_of(values) == Kind.SCALED
    assert numbers(values) == values


def test_a_recording_with_gaps_of_months_keeps_its_times() -> None:
    rng = Random(7)
    day_ns = 86_400 * wire.SECOND_NS
    moments = sorted(wire.BOOTTIME_NS + rng.randrange(2_000 * day_ns) for _ in range(5_000))
    block = wire.round_trip([Column("s", "1", moments, [1] * len(moments))]).blocks[0]
    assert block.times_us.tolist() == [(m + wire.CLOCK.offset_ns) // 1000 for m in moments]


def test_columns_with_the_same_times_share_them() -> None:
    moments = wire.times(60, wire.SECOND_NS + 7)
    fields = cbor2.loads(inflate(encode_body([Column(f"s{i}", "1", list(moments), [1] * 60) for i in range(8)])))
    assert len(fields[1]) == 1


def late(count: int, most: int) -> list[int]:
    """One time a second, each late by 0 to `most` milliseconds."""
    rng = Random(3)
    return [t + rng.randint(0, most) * 1_000_000 for t in wire.times(count)]


@pytest.mark.parametrize(
    ("moments", "places"),
    [
        (late(60, 3), 6),
        (late(10, 3), 6),
        ([t + 700_000_000 * (i == 59) for i, t in enumerate(late(60, 3))], 6),
        (wire.times(60), 5),
        ([t + 30_000_000 * (i > 20) for i, t in enumerate(wire.times(60))], 5),
        ([t + i * i * 1_000_000 for i, t in enumerate(wire.times(60))], 5),
        ([wire.BOOTTIME_NS + (i * 7919) % 60 * 10**12 for i in range(60)], 5),
    ],
    ids=["jitter", "short", "one very late", "even", "a gap", "slowing down", "scattered"],
)
def test_only_a_jittering_tick_is_written_as_distances(moments: list[int], places: int) -> None:
    column = Column("s", "1", moments, [1] * len(moments))
    assert len(cbor2.loads(inflate(encode_body([column])))[1][0]) == places
    block = wire.round_trip([column]).blocks[0]
    assert block.times_us.tolist() == [(m + wire.CLOCK.offset_ns) // 1000 for m in moments]


def test_distances_may_be_wider_than_our_encoder_makes_them() -> None:
    message = wire.raw(
        {
            0: wire.BOOTTIME_NS,
            1: [[3, 0, 5, -1000, None, typed("q", 0, -(10**15), 10**15)]],
            2: [["s", "1", 0, 0, 0, 0, None]],
        },
        3,
    )
    start_us = wire.NOW_NS // 1000
    assert decode_body(message).blocks[0].times_us.tolist() == [start_us, start_us - 10**12 - 1, start_us + 10**12 - 2]


def test_the_digest_stays_when_the_envelope_changes() -> None:
    body = encode_body([Column("s", "1", wire.times(3), [1, 2, 3])])
    first = decode_message(encode_message(wire.envelope(3), body))
    again = decode_message(encode_message(wire.envelope(3, counters=None), body))
    assert first.digest == again.digest


# --- cost


@pytest.mark.parametrize("jitter_ms", [0, 4])
def test_a_minute_of_eight_sensors_takes_at_most_two_bytes_a_sample(jitter_ms: int) -> None:
    """The whole MQTT payload; JSON takes 41 (edge measurements, 480 samples a batch)."""
    rng = Random(1)
    sensors = [(21.5, 2, 0.02), (48.2, 2, 0.1), (1013.2, 1, 0.03), (420.0, 0, 2.0)]
    sensors += [(0.123, 3, 0.004), (5.5, 1, 0.1), (230.1, 2, 0.3), (900.0, 0, 3.0)]
    columns = []
    for number, (level, decimals, spread) in enumerate(sensors):
        value, values = level, []
        for _ in range(60):
            value += rng.gauss(0, spread)
            values.append(round(value, decimals))
        moments = [t + rng.randrange(jitter_ms) * 1_000_000 if jitter_ms else t for t in wire.times(60)]
        columns.append(Column(f"sensor{number}.value", "Cel", moments, values))
    assert len(wire.encode(columns)) / 480 <= 2.0


# --- what a device is told before it accepts what no server takes


@pytest.mark.parametrize(
    "column",
    [
        Column("s", "1", [], []),
        Column("s", "1", [1, 2], [1.0]),
        Column("s", "1", [1, 2], [1.0, True]),
        Column("s", "1", [1, 2], ["a", 1]),
        Column("s", "1", [1], [float("nan")]),
        Column("s", "1", [1], [float("-inf")]),
        Column("s", "1", [1], [10**400]),
        Column("", "1", [1], [1.0]),
        Column("white space", "1", [1], [1.0]),
        Column("s", "", [1], [1.0]),
        Column("s", "°C", [1], [1.0]),
        Column("s", "1", [1], ["nul \0"]),
        Column("s", "1", [1], ["lone \ud800"]),
        Column("s", "1", [1], ["x" * 20_000]),
        Column("s", "1", [1], ["{not json"], json=True),
        Column("s", "1", [1], ['"\\ud800"'], json=True),
        Column("s", "1", [0, MAX_SPAN_NS + 1], [1, 2]),
        Column("s", "1", [1 << 63], [1]),
        Column("s", "1", list(range(MAX_SAMPLES + 1)), [1] * (MAX_SAMPLES + 1)),
    ],
)
def test_encoding_refuses_what_a_server_would(column: Column) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_body([column])


def test_encoding_refuses_too_many_columns_and_too_long_drops() -> None:
    with pytest.raises(ValueError, match="2048 columns"):
        encode_body([Column(f"s{i}", "1", [1], [1]) for i in range(MAX_SERIES + 1)])
    with pytest.raises(ValueError, match="10000 batches"):
        encode_body([], [Drop(wire.EPOCH, 1, [1] * (MAX_DROPPED_BATCHES + 1), DropReason.QUOTA)])


def test_encoding_refuses_a_body_that_no_message_holds() -> None:
    rng = Random(3)
    values: list[float] = [rng.random() for _ in range(MAX_SAMPLES)]
    with pytest.raises(ValueError, match="close batches sooner"):
        encode_body([Column("s", "1", wire.times(MAX_SAMPLES), values)])
    with pytest.raises(ValueError, match="close batches sooner"):
        encode_body([Column("s", "1", wire.times(2_000), ["x" * 2_000] * 2_000)])


def test_what_encoding_takes_fits_a_message() -> None:
    rng = Random(3)
    values: list[float] = [rng.random() for _ in range(29_000)]
    assert len(wire.encode([Column("s", "1", wire.times(29_000), values)])) <= MAX_MESSAGE_BYTES


# --- hostile messages


def scaled(*payload: object, times: object = None, n: int = 3) -> Message:
    return wire.raw({0: wire.BOOTTIME_NS, 1: [times or [n, 9, 0, 1, None]], 2: [["s", "1", 0, 0, *payload]]}, n)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (scaled(0, 0, typed("q", 2**62, 2**62)), RejectCode.OUT_OF_RANGE),
        (scaled(0, 2**53, typed("b", 1, -1)), RejectCode.OUT_OF_RANGE),
        (scaled(0, 2**64 - 1, None), RejectCode.OUT_OF_RANGE),
        (scaled(0, 0, typed("b", 1)), RejectCode.MALFORMED),
        (scaled(0, 0, typed("b", 1, 2, 3)), RejectCode.MALFORMED),
        (scaled(0, 0, cbor2.CBORTag(77, b"\0\0\0")), RejectCode.MALFORMED),
        (scaled(0, 0, cbor2.CBORTag(82, bytes(16))), RejectCode.MALFORMED),
        (scaled(0, 0, [1, 2]), RejectCode.MALFORMED),
        (scaled(19, 1, None), RejectCode.MALFORMED),
        (scaled(0, True, None), RejectCode.MALFORMED),
        (scaled(0, 0, None, times=[3, 9, 0, 1, typed("q", 2**63 - 1)]), RejectCode.OUT_OF_RANGE),
        (scaled(0, 0, None, times=[3, 9, 0, 2**63, None]), RejectCode.TIME_OUT_OF_RANGE),
        (scaled(0, 0, None, times=[3, 0, 2**64 - 1, 1, None]), RejectCode.TIME_OUT_OF_RANGE),
        (scaled(0, 0, None, times=[3, 0, -(2**62), 1, None]), RejectCode.TIME_OUT_OF_RANGE),
        (scaled(0, 0, None, times=[3, 9, -900_000_000, 1, None]), RejectCode.TIME_OUT_OF_RANGE),
        (scaled(0, 0, None, times=[3, 9, 4_000_000_000, 1, None]), RejectCode.TIME_OUT_OF_RANGE),
        (scaled(0, 0, None, times=[3, 1, 0, 1, None]), RejectCode.MALFORMED),
        (scaled(0, 0, None, times=[True, 9, 0, 1, None]), RejectCode.MALFORMED),
        (scaled(0, 0, None, times=[3, 9, 0, 1, typed("b", 1, 1)]), RejectCode.MALFORMED),
        (scaled(0, 0, None, n=1, times=[1, 9, 0, 1]), RejectCode.MALFORMED),
        (scaled(0, 0, None, n=1, times=[1, 9, 0, 1, None, None]), RejectCode.MALFORMED),
        (scaled(0, 0, None, n=1, times=[1, 9, 0, 1, typed("b", 0), typed("b", 0)]), RejectCode.MALFORMED),
        (scaled(0, 0, None, n=1, times=[1, 9, 0, 1, None, typed("b", 0), None]), RejectCode.MALFORMED),
        (scaled(0, 0, None, n=1, times=[1, 9, 0, 1, None, typed("b", 0, 0)]), RejectCode.MALFORMED),
        (scaled(0, 0, None, n=1, times=[1, 9, 0, 1, None, typed("d", 0)]), RejectCode.MALFORMED),
        (scaled(0, 0, None, n=1, times=[1, 9, 0, 1, None, typed("i", -(2**31))]), RejectCode.TIME_OUT_OF_RANGE),
        (scaled(0, 0, None, n=1, times=[1, 0, 2**62, 1, None, typed("q", 2**63 - 1)]), RejectCode.TIME_OUT_OF_RANGE),
        (scaled(0, 0, None, n=2, times=[2, 0, 0, 1, None, typed("q", 0, 2**63 - 1)]), RejectCode.TIME_OUT_OF_RANGE),
        (scaled(0, 0, None, n=2, times=[2, 0, 0, 1, None, typed("q", -(2**63), 0)]), RejectCode.TIME_OUT_OF_RANGE),
    ],
)
def test_hostile_columns(message: Message, code: RejectCode) -> None:
    assert refusal(lambda: decode_body(message)) == code


@pytest.mark.parametrize(
    ("series", "code"),
    [
        (["s", "1", 0, 1, typed("d", float("nan"))], RejectCode.NON_FINITE),
        (["s", "1", 0, 1, typed("d", float("inf"))], RejectCode.NON_FINITE),
        (["s", "1", 0, 1, cbor2.CBORTag(86, b"1234567")], RejectCode.MALFORMED),
        (["s", "1", 0, 2, cbor2.CBORTag(64, b"\x02")], RejectCode.MALFORMED),
        (["s", "1", 0, 3, ["a\0"]], RejectCode.BAD_TEXT),
        (["s", "1", 0, 3, [b"a"]], RejectCode.BAD_TEXT),
        (["s", "1", 0, 3, ["x" * 20_000]], RejectCode.BAD_TEXT),
        (["s", "1", 0, 4, ["NaN"]], RejectCode.NON_FINITE),
        (["s", "1", 0, 4, ["9" * 5_000]], RejectCode.OUT_OF_RANGE),
        (["s", "1", 0, 4, ["1e999"]], RejectCode.OUT_OF_RANGE),
        (["s", "1", 0, 4, ['"\\u0000"']], RejectCode.BAD_TEXT),
        (["s", "1", 0, 4, ['{"\\ud800":1}']], RejectCode.BAD_TEXT),
        (["s", "1", 0, 4, ["[" * 8_000 + "]" * 8_000]], RejectCode.MALFORMED),
        (["s", "1", 0, 4, ["[" * 40 + "]" * 40]], RejectCode.MALFORMED),
        (["s", "1", 0, 9, None], RejectCode.MALFORMED),
        (["s", "1", 1, 0, 0, 0, None], RejectCode.MALFORMED),
        (["s", "1", -1, 0, 0, 0, None], RejectCode.MALFORMED),
        (["s\n", "1", 0, 0, 0, 0, None], RejectCode.BAD_NAME),
        (["s", "1\n", 0, 0, 0, 0, None], RejectCode.BAD_UNIT),
    ],
)
def test_hostile_series(series: list[Any], code: RejectCode) -> None:
    message = wire.raw({0: wire.BOOTTIME_NS, 1: [[1, 9, 0, 0, None]], 2: [series]}, 1)
    assert refusal(lambda: decode_body(message)) == code


@pytest.mark.parametrize(
    "drop",
    [
        [wire.EPOCH, 2**63, [1], "quota"],
        [wire.EPOCH, True, [1], "quota"],
        [wire.EPOCH, -1, [1], "quota"],
        [wire.EPOCH, 1, [], "quota"],
        [wire.EPOCH, 1, [MAX_SAMPLES + 1], "quota"],
        [wire.EPOCH, 1, [True], "quota"],
        [wire.EPOCH, 1, [1] * (MAX_DROPPED_BATCHES + 1), "quota"],
        [wire.EPOCH, 1, [1], "boredom"],
        [wire.EPOCH[:5], 1, [1], "quota"],
        [],
    ],
)
def test_hostile_drops(drop: list[Any]) -> None:
    message = wire.raw({0: 0, 1: [], 2: [], 3: [drop]}, 0)
    assert refusal(lambda: decode_body(message)) == RejectCode.MALFORMED


def test_the_envelope_must_count_right() -> None:
    body = encode_body([Column("s", "1", wire.times(3), [1, 2, 3])])
    for n in (0, 2, 4, MAX_SAMPLES):
        assert refusal(lambda n=n: decode_body(Message(wire.envelope(n), body))) == RejectCode.MALFORMED  # type: ignore[misc]


def test_numbers_of_an_envelope_leave_room_for_their_sum() -> None:
    fields = cbor2.loads(wire.encode([Column("s", "1", wire.times(1), [1])]))
    for key in (3, 4, 5):
        broken = cbor2.dumps({**fields, 4: 2**62, key: 2**62})
        assert refusal(lambda broken=broken: decode_message(broken)) == RejectCode.MALFORMED  # type: ignore[misc]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", RejectCode.MALFORMED),
        (b"{}", RejectCode.MALFORMED),
        (cbor2.dumps({0: 2}), RejectCode.UNSUPPORTED_VERSION),
        (bytes(MAX_MESSAGE_BYTES + 1), RejectCode.TOO_LARGE),
        (wire.encode([Column("s", "1", [1], [1])]) + b"\0", RejectCode.MALFORMED),
        (wire.encode([Column("s", "1", [1], [1])], device="Boiler 7"), RejectCode.MALFORMED),
        (wire.encode([Column("s", "1", [1], [1])], seq=0), RejectCode.MALFORMED),
    ],
)
def test_hostile_envelopes(data: bytes, code: RejectCode) -> None:
    assert refusal(lambda: decode_message(data)) == code


def test_unknown_keys_are_passed_over() -> None:
    fields = cbor2.loads(wire.encode([Column("s", "1", wire.times(1), [1])]))
    assert decode_message(cbor2.dumps({**fields, 99: "of a later version"})).envelope == wire.envelope(1)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (zlib.compress(bytes(200 * 1024 * 1024)), RejectCode.TOO_LARGE),
        (zlib.compress(bytes(MAX_BODY_BYTES + 1)), RejectCode.TOO_LARGE),
        (zlib.compress(b"12345")[:-1], RejectCode.MALFORMED),
        (zlib.compress(b"12345") + b"x", RejectCode.MALFORMED),
        (b"", RejectCode.MALFORMED),
    ],
)
def test_inflation_is_bounded(body: bytes, code: RejectCode) -> None:
    tracemalloc.start()
    try:
        assert refusal(lambda: inflate(body)) == code
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_BODY_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "fields",
    [
        {
            0: wire.BOOTTIME_NS,
            1: [[MAX_SAMPLES, 0, 0, 1, None]] * MAX_SERIES,
            2: [["s", "1", 0, 0, 0, 0, None]] * MAX_SERIES,
        },
        {0: wire.BOOTTIME_NS, 1: [[MAX_SAMPLES, 0, 0, 1, None]], 2: [["s", "1", 0, 0, 0, 0, None]] * MAX_SERIES},
    ],
)
def test_a_few_bytes_cannot_ask_for_a_gigabyte(fields: object) -> None:
    message = wire.raw(fields, MAX_SAMPLES)
    assert len(message.body) < 20_000
    tracemalloc.start()
    try:
        assert refusal(lambda: decode_body(message)) == RejectCode.MALFORMED
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("item", [b"\x80", b"\xa0", b"\x00", b"\x61a", b"\x78\x01a", b"\x40"])
def test_a_bomb_of_tiny_items_is_refused_before_they_are_built(item: bytes) -> None:
    """What it costs is the walk over the heads: no item of it is ever an object."""
    count = (MAX_BODY_BYTES - 100) // len(item)
    bomb = b"\xa3\x00\x00\x01\x9a" + count.to_bytes(4, "big") + item * count + b"\x02\x80"
    message = Message(wire.envelope(1), zlib.compress(bomb))
    assert len(message.body) < 6_000, "small on the wire"
    gc.collect()
    before = len(gc.get_objects())
    tracemalloc.start()
    try:
        assert refusal(lambda: decode_body(message)) == RejectCode.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 2.2 * MAX_BODY_BYTES, "the inflated bytes, and nothing made of them"
    finally:
        tracemalloc.stop()
    assert len(gc.get_objects()) < before + 1_000


def test_the_walk_over_the_heads_counts_what_there_is() -> None:
    """At the bound a value is read, one item over it is not: heads of every width, strings, and what they hold."""
    filling = [{1: [0, -1, 23, 24, 255, 256, 65536, 1 << 32, 1.5]}, "a" * 23, "a" * 24, "a" * 300, b"a" * 70_000, None]
    items = 1 + 2 + 10 + 5
    rest = cbor.MAX_ITEMS - items
    assert cbor.loads(cbor2.dumps([*filling, *[0] * (rest - 1)]))[-1] == 0
    assert refusal(lambda: cbor.loads(cbor2.dumps([*filling, *[0] * (rest + 1)]))) == RejectCode.TOO_LARGE


def test_more_texts_than_a_server_reads_at_once_are_refused_on_both_sides() -> None:
    texts = Column("s", "1", wire.times(MAX_TEXTS + 1), ["a"] * (MAX_TEXTS + 1))
    documents = Column("s", "1", wire.times(MAX_JSON_VALUES + 1), ["1"] * (MAX_JSON_VALUES + 1), json=True)
    long = Column("s", "1", wire.times(5), ["[" + "1," * 30_000 + "1]"] * 5, json=True)
    for bad in (texts, documents, long):
        with pytest.raises(ValueError, match="more than"):
            encode_body([bad])
        n = len(bad.values)
        kind = Kind.JSON if bad.json else Kind.TEXT
        fields = {0: wire.BOOTTIME_NS, 1: [[n, 0, 0, 1, None]], 2: [["s", "1", 0, int(kind), list(bad.values)]]}
        message = wire.raw(fields, n)
        assert refusal(lambda message=message: decode_body(message)) == RejectCode.TOO_LARGE  # type: ignore[misc]


def test_deep_nesting_is_refused() -> None:
    body = zlib.compress(b"\x81" * 50_000 + b"\0")
    assert refusal(lambda: decode_body(Message(wire.envelope(1), body))) == RejectCode.MALFORMED
