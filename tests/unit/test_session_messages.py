"""Acknowledgements and hellos that break the contract."""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest

from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode
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

COUNTERS = wire.envelope(0).counters
assert COUNTERS is not None
ACK = cbor2.loads(encode_ack(Ack(wire.EPOCH, 9, [(11, 12)], [Reject(13, RejectCode.BAD_UNIT, "unit")])))
HELLO = cbor2.loads(
    encode_device_hello(DeviceHello(b"12345678", wire.EPOCH, 1, 9, COUNTERS, wire.BOOT_ID, wire.CLOCK, "agent 1"))
)
ANSWER = cbor2.loads(encode_server_hello(ServerHello(b"12345678", wire.EPOCH, 9, 12, "server 1")))


@pytest.mark.parametrize(
    ("decode", "valid", "key", "value"),
    [
        (decode_ack, ACK, 0, b"short"),
        (decode_ack, ACK, 1, -1),
        (decode_ack, ACK, 1, True),
        (decode_ack, ACK, 1, 2**62),
        (decode_ack, ACK, 2, [[12, 11]]),
        (decode_ack, ACK, 2, [[True, True]]),
        (decode_ack, ACK, 2, [[1, 2**63]]),
        (decode_ack, ACK, 2, [[1, 1]] * 10_001),
        (decode_ack, ACK, 3, [[-1, "malformed", ""]]),
        (decode_ack, ACK, 3, [[1, "malformed"]]),
        (decode_ack, ACK, 4, None),
        (decode_device_hello, HELLO, 1, b"1234567"),
        (decode_device_hello, HELLO, 5, [1, 2, 3]),
        (decode_device_hello, HELLO, 5, [1, 2, 3, -4]),
        (decode_device_hello, HELLO, 7, [1, 2, 9, 0]),
        (decode_device_hello, HELLO, 8, "x" * 121),
        (decode_device_hello, HELLO, 8, "bell \a"),
        (decode_server_hello, ANSWER, 3, 1.0),
        (decode_server_hello, ANSWER, 5, b"server"),
    ],
)
def test_a_field_out_of_bounds(decode: Callable[[bytes], object], valid: dict[int, Any], key: int, value: Any) -> None:
    with pytest.raises(RejectedError) as caught:
        decode(cbor2.dumps({**valid, key: value}))
    assert caught.value.code == RejectCode.MALFORMED


@pytest.mark.parametrize(("decode", "valid"), [(decode_device_hello, HELLO), (decode_server_hello, ANSWER)])
def test_another_protocol(decode: Callable[[bytes], object], valid: dict[int, Any]) -> None:
    with pytest.raises(RejectedError) as caught:
        decode(cbor2.dumps({**valid, 0: 2}))
    assert caught.value.code == RejectCode.UNSUPPORTED_VERSION


def test_a_code_of_a_later_server_is_read_as_malformed() -> None:
    ack = decode_ack(cbor2.dumps({**ACK, 3: [[13, "of_tomorrow", "detail"]], 7: "of a later version"}))
    assert ack.rejects == [Reject(13, RejectCode.MALFORMED, "detail")]
