"""What passes beside the batches: acknowledgements, and the hello that both sides say on every connect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wayside_shared import cbor
from wayside_shared.batch import Counters, decode_clock, decode_counters, encode_clock, encode_counters
from wayside_shared.clock import ClockMap
from wayside_shared.errors import MAX_DETAIL, RejectedError
from wayside_shared.identifiers import BOOT_ID_BYTES, EPOCH_BYTES
from wayside_shared.rejects import RejectCode

ACK_CONTENT_TYPE = "application/vnd.wayside.ack+cbor"
HELLO_CONTENT_TYPE = "application/vnd.wayside.hello+cbor"
STATE_CONTENT_TYPE = "application/vnd.wayside.state+json"
PROTOCOL = 1
MAX_ITEMS = 10_000
NONCE_BYTES = 8
MAX_LABEL = 120
DIGEST_BYTES = 4
"""Enough to tell the few batches apart that ever had one number."""
MAX_RUNS = 500
"""Ranges in a server's hello."""


@dataclass(frozen=True, slots=True)
class Reject:
    """One batch that the server refused for good."""

    seq: int
    code: RejectCode
    detail: str


@dataclass(frozen=True, slots=True)
class Ack:
    """What the server has committed of one epoch of one device.

    Args:
        epoch: the epoch it speaks of.
        upto: every number up to here is settled (stored, dropped by declaration, or refused).
        ranges: the batches that this acknowledgement confirms, as inclusive pairs of numbers, whatever `upto` says.
        rejects: those among this group's batches that were refused.
        slow_ms: how long the device should wait between batches; 0 for no wish.
        digests: the first `DIGEST_BYTES` of the SHA-256 of each confirmed batch's body, in the order of `ranges`, so
            that an acknowledgement cannot be taken for another batch that had the same number; or empty.
    """

    epoch: bytes
    upto: int
    ranges: Sequence[tuple[int, int]] = ()
    rejects: Sequence[Reject] = ()
    slow_ms: int = 0
    digests: bytes = b""

    def confirmed(self) -> Iterator[tuple[int, bytes]]:
        """Each confirmed number with the beginning of its digest, which is empty when none was sent."""
        at = 0
        for first, last in self.ranges:
            for seq in range(first, last + 1):
                yield seq, self.digests[at : at + DIGEST_BYTES]
                at += DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class DeviceHello:
    """What a device says on every connect.

    Args:
        nonce: 8 random bytes that the answer repeats, so that an old answer cannot be taken for a new one.
        epoch: its current epoch, or an older one of which it keeps batches.
        first_seq: the first number that this epoch gave out.
        acked_upto: every number up to here was acknowledged (first_seq - 1 when none).
        counters: the stream's state; None for an older epoch.
        boot_id: the boot it runs in.
        clock: its clock now.
        agent: its software and version.
    """

    nonce: bytes
    epoch: bytes
    first_seq: int
    acked_upto: int
    counters: Counters | None
    boot_id: bytes
    clock: ClockMap
    agent: str


@dataclass(frozen=True, slots=True)
class ServerHello:
    """The server's answer, read from committed state.

    Args:
        nonce: the device's.
        epoch: the epoch it speaks of.
        contiguous_upto: every number up to here is settled (first_seq - 1 when none).
        max_seq: the highest number settled (first_seq - 1 when none).
        server: its software and version.
        ranges: numbers above `contiguous_upto` that are settled too, as inclusive pairs, lowest first; at most
            `MAX_RUNS`, and what lies above the last of them is not spoken of.
    """

    nonce: bytes
    epoch: bytes
    contiguous_upto: int
    max_seq: int
    server: str
    ranges: Sequence[tuple[int, int]] = ()


def encode_ack(ack: Ack) -> bytes:
    """`ack` for the device's `ack` topic."""
    fields: dict[int, Any] = {
        0: ack.epoch,
        1: ack.upto,
        2: [list(pair) for pair in ack.ranges],
        3: [[reject.seq, reject.code.value, reject.detail] for reject in ack.rejects],
        4: ack.slow_ms,
    }
    if ack.digests:
        fields[5] = ack.digests
    return cbor.dumps(fields)


def decode_ack(data: bytes) -> Ack:
    """The acknowledgement in `data`. A reject code that this version does not know is read as MALFORMED.

    Raises:
        RejectedError: it holds none; code MALFORMED.
    """
    fields = cbor.loads_map(data)
    ranges = [_pair(item) for item in _items(fields, 2, "ranges")]
    rejects = [_reject(item) for item in _items(fields, 3, "rejects")]
    digests: bytes = cbor.field(fields, 5, bytes, "digests") if 5 in fields else b""
    count = sum(last - first + 1 for first, last in ranges)
    if count > MAX_ITEMS or (digests and len(digests) != DIGEST_BYTES * count):
        raise RejectedError(RejectCode.MALFORMED, f"{count} numbers with {len(digests)} bytes of digests")
    return Ack(
        epoch=cbor.octets(fields, 0, EPOCH_BYTES, "epoch"),
        upto=cbor.uint(fields, 1, "upto"),
        ranges=ranges,
        rejects=rejects,
        slow_ms=cbor.uint(fields, 4, "slow_ms"),
        digests=digests,
    )


def encode_device_hello(hello: DeviceHello) -> bytes:
    """`hello` for the device's `hello/device` topic."""
    fields: dict[int, Any] = {
        0: PROTOCOL,
        1: hello.nonce,
        2: hello.epoch,
        3: hello.first_seq,
        4: hello.acked_upto,
        6: hello.boot_id,
        7: encode_clock(hello.clock),
        8: hello.agent,
    }
    if hello.counters is not None:
        fields[5] = encode_counters(hello.counters)
    return cbor.dumps(dict(sorted(fields.items())))


def decode_device_hello(data: bytes) -> DeviceHello:
    """The hello in `data`.

    Raises:
        RejectedError: it holds none, or speaks another protocol version.
    """
    fields = _protocol(data)
    return DeviceHello(
        nonce=cbor.octets(fields, 1, NONCE_BYTES, "nonce"),
        epoch=cbor.octets(fields, 2, EPOCH_BYTES, "epoch"),
        first_seq=cbor.uint(fields, 3, "first_seq"),
        acked_upto=cbor.uint(fields, 4, "acked_upto"),
        counters=decode_counters(cbor.field(fields, 5, list, "counters")) if 5 in fields else None,
        boot_id=cbor.octets(fields, 6, BOOT_ID_BYTES, "boot_id"),
        clock=decode_clock(cbor.field(fields, 7, list, "clock")),
        agent=_label(fields, 8, "agent"),
    )


def encode_server_hello(hello: ServerHello) -> bytes:
    """`hello` for the device's `hello/server` topic."""
    fields: dict[int, Any] = {
        0: PROTOCOL,
        1: hello.nonce,
        2: hello.epoch,
        3: hello.contiguous_upto,
        4: hello.max_seq,
        5: hello.server,
    }
    if hello.ranges:
        fields[6] = [list(pair) for pair in hello.ranges]
    return cbor.dumps(fields)


def decode_server_hello(data: bytes) -> ServerHello:
    """The answer in `data`.

    Raises:
        RejectedError: it holds none, or speaks another protocol version.
    """
    fields = _protocol(data)
    return ServerHello(
        nonce=cbor.octets(fields, 1, NONCE_BYTES, "nonce"),
        epoch=cbor.octets(fields, 2, EPOCH_BYTES, "epoch"),
        contiguous_upto=cbor.uint(fields, 3, "contiguous_upto"),
        max_seq=cbor.uint(fields, 4, "max_seq"),
        server=_label(fields, 5, "server"),
        ranges=[_pair(item) for item in _items(fields, 6, "ranges")] if 6 in fields else (),
    )


def _protocol(data: bytes) -> dict[Any, Any]:
    fields = cbor.loads_map(data)
    version = cbor.uint(fields, 0, "protocol")
    if version != PROTOCOL:
        raise RejectedError(RejectCode.UNSUPPORTED_VERSION, f"protocol {version}; this side speaks {PROTOCOL}")
    return fields


def _label(fields: dict[Any, Any], key: int, label: str) -> str:
    text: str = cbor.field(fields, key, str, label)
    if len(text) > MAX_LABEL or not text.isprintable():
        raise RejectedError(RejectCode.MALFORMED, f"{label} is too long or not printable")
    return text


def _items(fields: dict[Any, Any], key: int, label: str) -> list[Any]:
    items: list[Any] = cbor.field(fields, key, list, label)
    if len(items) > MAX_ITEMS:
        raise RejectedError(RejectCode.MALFORMED, f"{label} has more than {MAX_ITEMS} items")
    return items


def _pair(item: Any) -> tuple[int, int]:
    match item:
        case [first, last] if cbor.is_uint(first) and cbor.is_uint(last) and first <= last:
            return first, last
        case _:
            raise RejectedError(RejectCode.MALFORMED, "a range must be two rising integers")


def _reject(item: Any) -> Reject:
    match item:
        case [seq, str(code), str(detail)] if cbor.is_uint(seq):
            known = code in RejectCode._value2member_map_
            return Reject(seq, RejectCode(code) if known else RejectCode.MALFORMED, detail[:MAX_DETAIL])
        case _:
            raise RejectedError(RejectCode.MALFORMED, "a reject must be a number, a code and a detail")
