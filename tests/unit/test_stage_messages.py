"""What agent and worker say to each other, and the blocks in it."""

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_shared.errors import RejectedError
from wayside_shared.stage_block import NO_VALUE, Block, BlockReading, BlockSeries, decode_block
from wayside_shared.stage_worker import (
    LENGTH,
    MAX_EVENTS,
    MAX_STATE_BYTES,
    Done,
    Failed,
    Failure,
    Limits,
    Load,
    Message,
    Process,
    decode_frame,
    encode_frame,
)

MESSAGES: list[Message] = [
    Load("/m.wasm", "0" * 64, Limits(fuel=5), ("a.t", "b.t"), {"factor": 2.5, "on": True}, b"state", "/cache"),
    Load("/m.wasm", "0" * 64),
    Process(b"\x01", "utc"),
    Done(b"x", b"s", ("it happened",), ((20, "line"),), 12, 34, 1),
    Failed(Failure.FUEL, "spent"),
]
BLOCK = Block(
    [BlockSeries("air.temperature", "Cel"), BlockSeries("über", "")],
    [BlockReading(-5, 21.5, 0), BlockReading(1 << 62, NO_VALUE, 1, 70), BlockReading(7, -0.0, 0, 1)],
)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_comes_back_as_it_was_sent(message: Message) -> None:
    frame = encode_frame(message)
    assert LENGTH.unpack(frame[:4]) == (len(frame) - 4,)
    assert decode_frame(frame[4:]) == message


@pytest.mark.parametrize("failure", Failure)
def test_every_failure_has_a_meaning(failure: Failure) -> None:
    assert failure.meaning


@given(st.binary(max_size=200), st.sampled_from(MESSAGES), st.integers(0, 400), st.integers(0, 255))
def test_no_bytes_make_a_decoder_raise_anything_else(noise: bytes, message: Message, place: int, octet: int) -> None:
    damaged = bytearray(encode_frame(message)[4:])
    damaged[place % len(damaged)] = octet
    for data in (noise, bytes(damaged)):
        try:
            decode_frame(data)
        except RejectedError:
            continue


@pytest.mark.parametrize("done", [Done(state=bytes(MAX_STATE_BYTES + 1)), Done(events=["x"] * (MAX_EVENTS + 1))])
def test_a_worker_cannot_make_the_agent_keep_too_much(done: Done) -> None:
    with pytest.raises(RejectedError):
        decode_frame(encode_frame(done)[4:])


def test_a_block_comes_back_bit_for_bit() -> None:
    again = decode_block(BLOCK.encode(), max_readings=3)
    assert again.series == BLOCK.series
    assert [(r.time_ns, r.series, r.quality) for r in again.readings] == [(-5, 0, 0), (1 << 62, 1, 70), (7, 0, 1)]
    assert isnan(again.readings[1].value)
    assert str(again.readings[2].value) == "-0.0"
    assert again.encode() == BLOCK.encode()


def test_the_layout_is_the_documented_one() -> None:
    """Byte for byte: modules in the field stay as they were compiled."""
    assert Block([BlockSeries("p", "W")], [BlockReading(1, 2.0, 0, 3)]).encode().hex() == (
        "01000000" "01000000" "01000000" "02000000"
        "00000000" "01000000" "01000000" "01000000"
        "0100000000000000" "0000000000000040" "00000000" "03000000"
        "7057"
    )  # fmt: skip


@pytest.mark.parametrize("length", range(len(BLOCK.encode())))
def test_half_a_block_is_none(length: int) -> None:
    with pytest.raises(RejectedError):
        decode_block(BLOCK.encode()[:length], max_readings=3)


@given(st.binary(max_size=120), st.integers(0, 1000), st.integers(0, 255))
def test_no_bytes_make_the_block_reader_raise_anything_else(noise: bytes, place: int, octet: int) -> None:
    damaged = bytearray(BLOCK.encode())
    damaged[place % len(damaged)] = octet
    for data in (noise, bytes(damaged)):
        try:
            decode_block(data, max_readings=10)
        except RejectedError:
            continue


def test_a_value_that_is_no_number_needs_a_quality_that_says_why() -> None:
    with pytest.raises(RejectedError):
        decode_block(Block([BlockSeries("p", "W")], [BlockReading(1, NO_VALUE, 0)]).encode(), max_readings=1)


def test_more_than_asked_for_is_refused() -> None:
    with pytest.raises(RejectedError):
        decode_block(BLOCK.encode(), max_readings=2)
