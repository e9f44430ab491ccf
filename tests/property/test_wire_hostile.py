"""Whatever arrives, a decoder returns or raises RejectedError; nothing else, and within bounds."""

import contextlib
import json
import zlib
from collections.abc import Callable
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside_shared import cbor
from wayside_shared.batch import Column, Drop, Message, decode_message, inflate
from wayside_shared.clock import EARLIEST_NS, LATEST_NS
from wayside_shared.columns import Block, decode_body
from wayside_shared.errors import MAX_DETAIL, RejectedError
from wayside_shared.identifiers import is_series_name
from wayside_shared.plain import SENML_CBOR_TYPE, SENML_JSON_TYPE, read_json, read_senml, to_blocks
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.session import (
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
from wayside_testkit import wire

LATE = [t + late * 10**6 for t, late in zip(wire.times(8), (0, 3, 1, 2, 0, 3, 2, 0), strict=True)]
SCATTERED = [wire.BOOTTIME_NS + late * 10**6 for late in (0, 1, 700_000, 3, 40_000)]
VALID_BODY: dict[int, Any] = cbor2.loads(
    inflate(
        decode_message(
            wire.encode(
                [
                    Column("t", "Cel", wire.times(5), [21.5, 21.6, 21.4, 21.5, 22.0]),
                    Column("f", "1", SCATTERED, [1e-30, 1e30, 0.0, 1.0, 2.0]),
                    Column("b", "1", wire.times(5), [True, False, True, True, False]),
                    Column("s", "1", wire.times(2), ["on", "off"]),
                    Column("j", "1", wire.times(2), ['{"a":[1,2.5,null]}', '"x"'], json=True),
                    Column("late", "1", LATE, [0] * 8),
                ],
                [Drop(wire.EPOCH, 3, [480, 480], DropReason.QUOTA)],
            )
        ).body
    )
)
assert [len(times) for times in VALID_BODY[1]] == [5, 5, 5, 6]
VALID_SAMPLES = 27
COUNTERS = wire.envelope(0).counters
assert COUNTERS is not None
VALID_ACK = encode_ack(Ack(wire.EPOCH, 9, [(11, 12), (14, 14)], [Reject(13, RejectCode.BAD_UNIT, "unit")], 50))
VALID_HELLO = encode_device_hello(DeviceHello(b"12345678", wire.EPOCH, 1, 9, COUNTERS, wire.BOOT_ID, wire.CLOCK, "a"))
VALID_ANSWER = encode_server_hello(ServerHello(b"12345678", wire.EPOCH, 9, 12, "server"))
VALID_MESSAGE = wire.encode([Column("t", "Cel", wire.times(5), [21.5, 21.6, 21.4, 21.5, 22.0])])

HUGE = [0, 1, -1, 2**31, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), -(2**64)]
WEIRD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(HUGE),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["\0", "a\0b", "urn:dev:", "1970-01-01", "x" * 200]),
    st.binary(max_size=20),
    st.just([]),
    st.just({}),
    st.builds(
        cbor2.CBORTag,
        st.sampled_from([0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 64, 72, 76, 77, 78, 79, 82, 85, 86, 258, 55799]),
        st.binary(max_size=40) | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=3),
    ),
    st.builds(cbor2.CBORTag, st.sampled_from([72, 77, 78, 79, 86]), st.binary(max_size=64)),
)


@st.composite
def spliced(draw: st.DrawFn, whole: Any) -> Any:
    """`whole` with one node, at any depth, replaced, removed or doubled."""
    if isinstance(whole, dict) and whole and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(whole, key=str)))
        changed = dict(whole)
        if draw(st.integers(0, 7)) == 0:
            del changed[key]
        else:
            changed[key] = draw(spliced(whole[key]))
        return changed
    if isinstance(whole, list) and whole and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(whole) - 1))
        middle = draw(st.sampled_from(["change", "change", "change", "remove", "double"]))
        if middle == "change":
            return [*whole[:place], draw(spliced(whole[place])), *whole[place + 1 :]]
        return [*whole[:place], *whole[place : place + 1] * (2 if middle == "double" else 0), *whole[place + 1 :]]
    return draw(WEIRD)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with bits flipped, cut, or with bytes put in."""
    broken = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        if not broken:
            break
        place = draw(st.integers(0, len(broken) - 1))
        match draw(st.sampled_from(["flip", "flip", "cut", "insert"])):
            case "flip":
                broken[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del broken[place:]
            case _:
                broken[place:place] = draw(st.binary(min_size=1, max_size=4))
    return bytes(broken)


def read_up(data: bytes) -> list[Block]:
    return decode_body(decode_message(data)).blocks


def read_body(data: bytes, n: int = VALID_SAMPLES) -> list[Block]:
    return decode_body(Message(wire.envelope(n), zlib.compress(data))).blocks


def read_plain(data: bytes) -> list[Block]:
    return to_blocks(read_json(data, wire.DEVICE, wire.NOW_NS))


def read_senml_json(data: bytes) -> list[Block]:
    return to_blocks(read_senml(data, SENML_JSON_TYPE, wire.DEVICE, wire.NOW_NS))


def read_senml_cbor(data: bytes) -> list[Block]:
    return to_blocks(read_senml(data, SENML_CBOR_TYPE, wire.DEVICE, wire.NOW_NS))


def assert_storable(blocks: list[Block]) -> None:
    """What got through must be what the database takes: names, times, finite numbers, valid JSON texts."""
    for block in blocks:
        assert is_series_name(block.name)
        assert block.unit.isascii()
        assert int(block.times_us.min()) >= EARLIEST_NS // 1000
        assert int(block.times_us.max()) < LATEST_NS // 1000
        if block.numbers is not None:
            assert len(block.numbers) == len(block)
            assert all(abs(x) <= 1.8e308 for x in block.numbers.tolist())
        else:
            assert block.texts is not None
            assert len(block.texts) == len(block)
            for text in block.texts:
                json.loads(text)
                assert "\\u0000" not in text
                text.encode()


def survives(read: Callable[[bytes], list[Block]], data: bytes) -> None:
    refusal = None
    try:
        assert_storable(read(data))
    except RejectedError as error:
        refusal = error
    if refusal is not None:
        # Dead letters keep the detail: it must be short, and storable itself.
        assert len(refusal.detail) <= MAX_DETAIL
        assert "\0" not in refusal.detail
        refusal.detail.encode()


READERS = st.sampled_from([read_up, read_body, read_plain, read_senml_json, read_senml_cbor])
SESSION = st.sampled_from([decode_ack, decode_device_hello, decode_server_hello])


@given(READERS, st.binary(max_size=200))
@settings(max_examples=1000)
def test_arbitrary_bytes(read: Callable[[bytes], list[Block]], data: bytes) -> None:
    survives(read, data)


@given(damaged(VALID_MESSAGE))
def test_damaged_messages(data: bytes) -> None:
    survives(read_up, data)


@given(damaged(cbor2.dumps(VALID_BODY)))
@settings(max_examples=600)
def test_damaged_bodies(data: bytes) -> None:
    survives(read_body, data)


@given(spliced(VALID_BODY), st.sampled_from([0, 1, 9, 14, VALID_SAMPLES, 65_536]))
@settings(max_examples=1500)
def test_spliced_bodies(fields: Any, n: int) -> None:
    survives(lambda data: read_body(data, n), cbor2.dumps(fields))


@given(spliced(cbor2.loads(VALID_MESSAGE)))
@settings(max_examples=500)
def test_spliced_envelopes(fields: Any) -> None:
    survives(read_up, cbor2.dumps(fields))


@given(SESSION, st.binary(max_size=100) | st.sampled_from([VALID_ACK, VALID_HELLO, VALID_ANSWER]).flatmap(damaged))
@settings(max_examples=500)
def test_damaged_acknowledgements_and_hellos(decode: Callable[[bytes], object], data: bytes) -> None:
    _session_survives(decode, data)


@given(
    SESSION,
    st.sampled_from([VALID_ACK, VALID_HELLO, VALID_ANSWER]).flatmap(lambda data: spliced(cbor2.loads(data))),
)
@settings(max_examples=500)
def test_spliced_acknowledgements_and_hellos(decode: Callable[[bytes], object], fields: Any) -> None:
    _session_survives(decode, cbor2.dumps(fields))


def _session_survives(decode: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(RejectedError):
        decode(data)


JSON_WEIRD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [*HUGE, 10**4000, -(10**400), 1e305, -1e308, 1e308, 5e-324, 1e15, -62135596800000, 253402300800000]
    ),
    st.floats(),
    st.text(st.characters(), max_size=6),
    st.sampled_from(
        ["\0", "\ud800", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30", "x" * 20_000]
    ),
    st.just([]),
    st.just({}),
    st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=1), max_leaves=40),
)
PLAIN = {
    "device": wire.DEVICE,
    "ts": 1_790_000_000_000,
    "units": {"t": "Cel"},
    "values": {"t": 1.5, "on": True, "d": {"a": 1}},
}
SENML = [
    {"bn": "boiler-7/", "bt": 1_790_000_000.5, "bu": "V", "bv": 1.5, "bs": 2, "bver": 10, "n": "u", "v": 1},
    {"n": "s", "s": 4.5, "t": 1, "u": "%RH", "ut": 60},
    {"n": "x", "vs": "text"},
    {"n": "y", "vb": True},
    {"n": "z", "vd": "aGk"},
]
LABELS = {
    "bver": -1,
    "bn": -2,
    "bt": -3,
    "bu": -4,
    "bv": -5,
    "bs": -6,
    "n": 0,
    "u": 1,
    "v": 2,
    "vs": 3,
    "vb": 4,
    "s": 5,
}
LABELS |= {"t": 6, "ut": 7, "vd": 8}


@st.composite
def spliced_json(draw: st.DrawFn, whole: Any) -> bytes:
    text = json.dumps(draw(_spliced_json(whole)))
    return text.encode()


@st.composite
def _spliced_json(draw: st.DrawFn, whole: Any) -> Any:
    if isinstance(whole, dict) and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(whole)))
        return {**whole, key: draw(_spliced_json(whole[key]))}
    if isinstance(whole, list) and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(whole) - 1))
        return [*whole[:place], draw(_spliced_json(whole[place])), *whole[place + 1 :]]
    return draw(JSON_WEIRD)


@given(spliced_json(PLAIN) | spliced_json([PLAIN, PLAIN]) | damaged(json.dumps(PLAIN).encode()))
@settings(max_examples=800)
def test_broken_json(data: bytes) -> None:
    survives(read_plain, data)


@given(spliced_json(SENML) | damaged(json.dumps(SENML).encode()))
@settings(max_examples=800)
def test_broken_senml_json(data: bytes) -> None:
    survives(read_senml_json, data)


@given(st.data())
@settings(max_examples=800)
def test_broken_senml_cbor(data: st.DataObject) -> None:
    pack = [{LABELS[key]: value for key, value in record.items()} for record in SENML]
    raw = data.draw(spliced(pack).map(cbor2.dumps) | damaged(cbor2.dumps(pack)))
    survives(read_senml_cbor, raw)


@given(st.binary(max_size=64))
def test_cbor_of_anything_is_plain_data(data: bytes) -> None:
    try:
        value = cbor.loads(data)
    except RejectedError:
        return
    plain = (int, float, str, bytes, bool, list, dict, tuple, cbor2.CBORTag, cbor2.CBORSimpleValue, type(None))
    assert isinstance(value, (*plain, type(cbor2.undefined)))
