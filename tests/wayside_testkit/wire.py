"""Messages of the wire contract for tests: valid ones from columns, broken ones from raw fields."""

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any

import cbor2

from wayside_shared.batch import (
    Column,
    Counters,
    Drop,
    Envelope,
    Message,
    decode_message,
    encode_body,
    encode_message,
)
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import Body, decode_body

DEVICE = "boiler-7"
EPOCH = bytes(range(16))
BOOT_ID = bytes(range(16, 32))
NOW_NS = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z."""
BOOTTIME_NS = 5_000_000_000_000
CLOCK = ClockMap(BOOTTIME_NS, NOW_NS, ClockState.SYNCED, 3)
SECOND_NS = 1_000_000_000


def envelope(n: int, **changes: Any) -> Envelope:
    """The envelope of a batch of `n` samples, number 17 of its epoch."""
    counters = Counters(next_seq=18, accepted=4_000 + n, pending_from=17, pending_before=4_000)
    valid = Envelope(DEVICE, EPOCH, 1, 17, 4_000, n, BOOT_ID, CLOCK, counters)
    return dataclasses.replace(valid, **changes)


def encode(columns: Sequence[Column], drops: Sequence[Drop] = (), **changes: Any) -> bytes:
    """A whole message of `columns` and `drops`."""
    n = sum(len(column.values) for column in columns)
    return encode_message(envelope(n, **changes), encode_body(columns, drops))


def round_trip(columns: Sequence[Column], drops: Sequence[Drop] = ()) -> Body:
    """What the server reads when a device sends `columns` and `drops`."""
    return decode_body(decode_message(encode(columns, drops)))


def raw(fields: object, n: int) -> Message:
    """A message whose body holds `fields`, whatever they are."""
    return Message(envelope(n), zlib.compress(cbor2.dumps(fields)))


def times(count: int, step_ns: int = SECOND_NS) -> list[int]:
    """`count` boot times, `step_ns` apart."""
    return [BOOTTIME_NS + i * step_ns for i in range(count)]
