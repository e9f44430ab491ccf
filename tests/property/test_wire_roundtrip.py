"""decode(encode(x)) == x for everything that travels."""

import json
import struct
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from wayside_shared import topics
from wayside_shared.batch import MAX_SPAN_NS, Column, Counters, Drop, decode_message, encode_message
from wayside_shared.clock import EARLIEST_NS, LATEST_NS, ClockMap, ClockState
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.session import (
    DIGEST_BYTES,
    Ack,
    DeviceHello,
    Reject,
    ServerHello,
    decode_ack,
    decode_device_hello,
    decode_server_hello,
    encode_ack,
    encode_device_hello,
    encode_server_hello,
)
from wayside_shared.values import MAX_EXACT, Scalar
from wayside_testkit import wire

UINTS = st.integers(0, (1 << 62) - 1)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,20}", fullmatch=True)
UNITS = st.sampled_from(["Cel", "%", "1", "Pa", "{count}", "[ppm]"])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.builds(lambda whole, places: whole / 10**places, st.integers(-(10**9), 10**9), st.integers(0, 12))
EXACT = st.integers(-MAX_EXACT, MAX_EXACT)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)

# Around the clock map's instant, so that UTC stays within the century that the contract allows.
EARLIEST_BOOT = EARLIEST_NS - wire.CLOCK.offset_ns
LATEST_BOOT = min(LATEST_NS - 1 - wire.CLOCK.offset_ns, EARLIEST_BOOT + MAX_SPAN_NS)
ANY_TIME = st.integers(EARLIEST_BOOT, LATEST_BOOT)
NEAR_TIME = st.integers(wire.BOOTTIME_NS, wire.BOOTTIME_NS + 3600 * wire.SECOND_NS)


def _values(kind: str) -> st.SearchStrategy[Scalar]:
    strategies: dict[str, st.SearchStrategy[Scalar]] = {
        "float": FLOATS,
        "decimal": DECIMALS,
        "integer": EXACT,
        "mixed": DECIMALS | EXACT,
        "boolean": st.booleans(),
        "text": TEXTS,
        "json": DOCUMENTS.map(lambda value: json.dumps(value, ensure_ascii=False)),
    }
    return strategies[kind]


@st.composite
def column(draw: st.DrawFn, moments: list[int]) -> Column:
    kind = draw(st.sampled_from(["float", "decimal", "integer", "mixed", "boolean", "text", "json"]))
    values = draw(st.lists(_values(kind), min_size=len(moments), max_size=len(moments)))
    return Column(draw(NAMES), draw(UNITS), moments, values, json=kind == "json")


@st.composite
def jittering(draw: st.DrawFn) -> list[int]:
    """A tick of which each reading is off by some units of up to a second."""
    unit, widest = draw(st.sampled_from([1, 10**3, 10**6, 10**9])), draw(st.sampled_from([1, 100, 40_000]))
    step = draw(st.integers(-(10**6), 10**6))
    off = draw(st.lists(st.integers(-widest, widest), min_size=1, max_size=40))
    return [wire.BOOTTIME_NS + (step * i + late) * unit for i, late in enumerate(off)]


@st.composite
def batches(draw: st.DrawFn) -> list[Column]:
    """One to four columns; some share their times."""
    clock = st.lists(ANY_TIME | NEAR_TIME, min_size=1, max_size=30) | jittering()
    clocks = draw(st.lists(clock, min_size=1, max_size=3))
    return [draw(column(draw(st.sampled_from(clocks)))) for _ in range(draw(st.integers(1, 4)))]


drops = st.builds(
    Drop,
    st.binary(min_size=16, max_size=16),
    UINTS,
    st.lists(st.integers(0, 65_536), min_size=1, max_size=20),
    st.sampled_from(DropReason),
)


def _bits(number: float) -> bytes:
    return struct.pack("<d", number + 0.0)


@given(batches(), st.lists(drops, max_size=2))
@settings(max_examples=400)
def test_a_batch_returns_to_the_last_bit(columns: list[Column], declared: list[Drop]) -> None:
    body = wire.round_trip(columns, declared)
    assert body.drops == declared
    assert len(body.blocks) == len(columns)
    for sent, block in zip(columns, body.blocks, strict=True):
        assert (block.name, block.unit) == (sent.name, sent.unit)
        assert block.times_us.tolist() == [(t + wire.CLOCK.offset_ns) // 1000 for t in sent.times_ns]
        if block.numbers is not None:
            assert [_bits(x) for x in block.numbers.tolist()] == [_bits(float(x)) for x in sent.values]
        else:
            assert block.texts is not None
            expected = [json.loads(str(x)) for x in sent.values] if sent.json else list(sent.values)
            assert [json.loads(text) for text in block.texts] == expected


@given(st.integers(-MAX_EXACT, MAX_EXACT), st.integers(0, 9))
@example(MAX_EXACT, 9)
@example(-MAX_EXACT, 0)
def test_scaled_division_means_the_same_in_numpy_as_in_python(integer: int, places: int) -> None:
    value = integer / 10**places
    block = wire.round_trip([Column("s", "1", wire.times(2), [value, value])]).blocks[0]
    assert block.numbers is not None
    assert block.numbers.tolist() == [value, value]


@given(st.lists(st.sampled_from([EARLIEST_BOOT, LATEST_BOOT]) | ANY_TIME, min_size=1, max_size=300))
def test_times_may_jump_over_the_whole_span(moments: list[int]) -> None:
    block = wire.round_trip([Column("s", "1", moments, [1.5] * len(moments))]).blocks[0]
    assert block.times_us.tolist() == [(t + wire.CLOCK.offset_ns) // 1000 for t in moments]


clocks = st.builds(ClockMap, UINTS, UINTS, st.sampled_from(ClockState), UINTS)
counters = st.builds(Counters, UINTS, UINTS, UINTS, UINTS)
octets16 = st.binary(min_size=16, max_size=16)
devices = st.from_regex(r"[a-z0-9][a-z0-9-]{2,62}", fullmatch=True)


@given(devices, octets16, UINTS, UINTS, UINTS, st.integers(0, 65_536), octets16, clocks, st.none() | counters)
def test_an_envelope_returns(
    device: str,
    epoch: bytes,
    first: int,
    later: int,
    before: int,
    n: int,
    boot: bytes,
    clock: ClockMap,
    state: Counters | None,
) -> None:
    sent = wire.envelope(
        n,
        device=device,
        epoch=epoch,
        first_seq=min(first, later),
        seq=max(first, later),
        before=before,
        boot_id=boot,
        clock=clock,
        counters=state,
    )
    message = decode_message(encode_message(sent, b"body"))
    assert message.envelope == sent
    assert message.body == b"body"


ranges = st.tuples(UINTS, UINTS).map(lambda pair: (min(pair), max(pair)))
rejects = st.builds(Reject, UINTS, st.sampled_from(RejectCode), TEXTS)


confirmed = st.tuples(UINTS, st.integers(0, 100)).map(lambda pair: (max(pair[0] - pair[1], 0), pair[0]))


@given(st.builds(Ack, octets16, UINTS, st.lists(confirmed, max_size=9), st.lists(rejects, max_size=5), UINTS))
def test_an_acknowledgement_returns(ack: Ack) -> None:
    assert decode_ack(encode_ack(ack)) == ack
    count = sum(last - first + 1 for first, last in ack.ranges)
    dated = replace(ack, digests=bytes(i % 251 for i in range(DIGEST_BYTES * count)))
    assert decode_ack(encode_ack(dated)) == dated
    pairs = list(dated.confirmed())
    assert b"".join(digest for _, digest in pairs) == dated.digests
    assert [seq for seq, _ in pairs] == [seq for first, last in ack.ranges for seq in range(first, last + 1)]


LABELS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@given(
    st.builds(
        DeviceHello,
        st.binary(min_size=8, max_size=8),
        octets16,
        UINTS,
        UINTS,
        st.none() | counters,
        octets16,
        clocks,
        LABELS,
    )
)
def test_a_device_hello_returns(hello: DeviceHello) -> None:
    assert decode_device_hello(encode_device_hello(hello)) == hello


@given(
    st.builds(
        ServerHello, st.binary(min_size=8, max_size=8), octets16, UINTS, UINTS, LABELS, st.lists(ranges).filter(bool)
    )
)
def test_a_server_hello_returns(hello: ServerHello) -> None:
    assert decode_server_hello(encode_server_hello(hello)) == hello


@given(devices, st.sampled_from(topics.Channel))
def test_a_topic_returns(device: str, channel: topics.Channel) -> None:
    assert topics.parse(topics.topic(device, channel)) == topics.Address(device, channel)


@given(st.text())
def test_any_text_is_a_topic_of_ours_or_none(text: str) -> None:
    address = topics.parse(text)
    assert address is None or topics.topic(address.device, address.channel) == text
