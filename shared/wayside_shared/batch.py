"""The batch: what a device makes durable, numbers and publishes. Encoding, and decoding of all but the columns.

A message is an **envelope** (identity of the batch, clock, counters) around a **body** (the samples). The body never
changes once it is in the outbox, and its SHA-256 is what tells a repeated batch from a reused sequence number; the
envelope carries what may differ from one transmission to the next. Decoding the columns takes NumPy and stands in
`wayside_shared.columns`, so that an agent need not have it.
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cbor2

from wayside_shared import cbor
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.errors import RejectedError
from wayside_shared.identifiers import BOOT_ID_BYTES, EPOCH_BYTES, check_series_name, is_device_id
from wayside_shared.quality import FIRST_ABSENT
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.text import MAX_TEXT_BYTES as MAX_TEXT_BYTES
from wayside_shared.text import check_texts
from wayside_shared.ticks import encode_times
from wayside_shared.units import check_unit
from wayside_shared.values import Kind, Scalar, encode_values

CONTENT_TYPE = "application/vnd.wayside.batch+cbor"
VERSION = 1

MAX_MESSAGE_BYTES = 256 * 1024
"""A message on the wire; the broker's packet limit stands a little above it."""
MAX_ENVELOPE_BYTES = 1024
"""What a message may hold beside its body; the agent's own envelopes take about 110 bytes."""
MAX_BODY_BYTES = 2 * 1024 * 1024
"""A body after inflation; `cbor.MAX_ITEMS` bounds what a zip bomb of this size can cost the server."""
MAX_SAMPLES = 65_536
MAX_SERIES = 2_048
MAX_DROPPED_BATCHES = 10_000
"""In all the drops of one body: each becomes a row of the server's ledger."""

MAX_SPAN_NS = 1 << 61
"""73 years between the first and the last sample of a batch: any differences of differences fit in 64 bits."""


@dataclass(frozen=True, slots=True)
class Column:
    """The samples of one series in one batch.

    Numbers arrive as the 64-bit floats they are, to the last bit, but zero has no sign. Integers beyond 2**53 arrive
    as the nearest float.

    Args:
        name: the series; see its form under identifiers.
        unit: its UCUM code.
        times_ns: boot times in nanoseconds, one a value; need not be sorted. They arrive as microseconds, cut off.
        values: all numbers, all booleans or all texts.
        json: the texts in `values` are JSON values.
    """

    name: str
    unit: str
    times_ns: Sequence[int]
    values: Sequence[Scalar]
    json: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """The samples of one series in one batch that are not simply good.

    A quality below `quality.FIRST_ABSENT` speaks of the value that a column has at the same time; one from there on is
    itself a sample, without a value.

    Args:
        name: the series.
        unit: its UCUM code.
        times_ns: boot times in nanoseconds, one a quality.
        qualities: codes of `Quality`, 1 to 255.
    """

    name: str
    unit: str
    times_ns: Sequence[int]
    qualities: Sequence[int]

    @property
    def absent(self) -> int:
        """How many samples without a value there are."""
        return sum(quality >= FIRST_ABSENT for quality in self.qualities)


@dataclass(frozen=True, slots=True)
class Drop:
    """Accepted batches that the device has given up, declared.

    Args:
        epoch: the epoch they were numbered in.
        first_seq: number of the first of them; they follow each other without a gap.
        counts: samples in each.
        reason: why.
    """

    epoch: bytes
    first_seq: int
    counts: Sequence[int]
    reason: DropReason

    @property
    def samples(self) -> int:
        """How many samples are given up in all."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Counters:
    """What the device knows of its current stream at the moment of sending.

    Args:
        next_seq: the number that the next batch will get.
        accepted: samples accepted in this epoch so far.
        pending_from: lowest sequence number not acknowledged yet (`next_seq` when none is).
        pending_before: samples accepted in this epoch before `pending_from`.
    """

    next_seq: int
    accepted: int
    pending_from: int
    pending_before: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything in a message but the samples.

    Args:
        device: the device's own name; must be that of the topic.
        epoch: 16 random bytes, made with the outbox.
        first_seq: the first number that this epoch gave out.
        seq: this batch's number, strictly increasing within the epoch.
        before: samples accepted in this epoch before this batch.
        n: samples in this batch.
        boot_id: the boot whose clock stamped them.
        clock: the map that turns its boot times into UTC.
        counters: the stream's state; absent (None) for a batch of an epoch that the device has left.
    """

    device: str
    epoch: bytes
    first_seq: int
    seq: int
    before: int
    n: int
    boot_id: bytes
    clock: ClockMap
    counters: Counters | None


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message: its envelope and its body, still deflated."""

    envelope: Envelope
    body: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body as it travelled: 32 bytes."""
        return hashlib.sha256(self.body).digest()


def encode_body(columns: Sequence[Column], drops: Sequence[Drop] = (), marks: Sequence[Marks] = ()) -> bytes:
    """The deflated body for `columns`, `drops` and `marks`.

    Raises:
        ValueError: a server would refuse it: a column is empty, ragged or of mixed kinds, a number is not finite, a
            name, unit or text breaks its rules, or a limit is passed. What was measured must be checked before.
    """
    times: dict[tuple[int, ...], int] = {}
    encoded: list[list[Any]] = []
    _check_body(columns, drops, marks)
    parts: list[Column | Marks] = [*columns, *marks]
    t0 = min((min(part.times_ns) for part in parts), default=0)
    for column in columns:
        index = times.setdefault(tuple(column.times_ns), len(times))
        encoded.append([column.name, column.unit, index, *encode_values(column.name, column.values, json=column.json)])
    for mark in marks:
        index = times.setdefault(tuple(mark.times_ns), len(times))
        codes = cbor2.CBORTag(cbor.UINT8, bytes(mark.qualities))
        encoded.append([mark.name, mark.unit, index, int(Kind.QUALITY), codes])
    fields: dict[int, Any] = {0: t0, 1: [encode_times(key, t0) for key in times], 2: encoded}
    if drops:
        fields[3] = [[drop.epoch, drop.first_seq, list(drop.counts), drop.reason.value] for drop in drops]
    data = cbor.dumps(fields)
    body = zlib.compress(data, 6)
    if len(data) > MAX_BODY_BYTES or len(body) > MAX_MESSAGE_BYTES - MAX_ENVELOPE_BYTES:
        raise ValueError(f"a body of {len(data)} bytes, {len(body)} deflated, is over the limits; close batches sooner")
    return body


def encode_message(envelope: Envelope, body: bytes) -> bytes:
    """The bytes to publish on the device's `up` topic with `CONTENT_TYPE`."""
    fields: dict[int, Any] = {
        0: VERSION,
        1: envelope.device,
        2: envelope.epoch,
        3: envelope.first_seq,
        4: envelope.seq,
        5: envelope.before,
        6: envelope.n,
        7: envelope.boot_id,
        8: encode_clock(envelope.clock),
    }
    if envelope.counters is not None:
        fields[9] = encode_counters(envelope.counters)
    fields[10] = body
    return cbor.dumps(fields)


def decode_message(data: bytes) -> Message:
    """The envelope and the still deflated body in `data`. Unknown keys are passed over.

    Raises:
        RejectedError: `data` is no such message; nothing else, whatever the bytes.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise RejectedError(RejectCode.TOO_LARGE, f"message of {len(data)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    fields = cbor.loads_map(data)
    version = cbor.uint(fields, 0, "version")
    if version != VERSION:
        raise RejectedError(RejectCode.UNSUPPORTED_VERSION, f"batch version {version}; this server reads {VERSION}")
    device: str = cbor.field(fields, 1, str, "device")
    if not is_device_id(device):
        raise RejectedError(RejectCode.MALFORMED, "device is no device id")
    envelope = Envelope(
        device=device,
        epoch=cbor.octets(fields, 2, EPOCH_BYTES, "epoch"),
        first_seq=cbor.uint(fields, 3, "first_seq"),
        seq=cbor.uint(fields, 4, "seq"),
        before=cbor.uint(fields, 5, "before"),
        n=cbor.uint(fields, 6, "n"),
        boot_id=cbor.octets(fields, 7, BOOT_ID_BYTES, "boot_id"),
        clock=decode_clock(cbor.field(fields, 8, list, "clock")),
        counters=None if 9 not in fields else decode_counters(cbor.field(fields, 9, list, "counters")),
    )
    if envelope.seq < envelope.first_seq or envelope.n > MAX_SAMPLES:
        raise RejectedError(RejectCode.MALFORMED, "seq lies before first_seq, or n is over the limit")
    return Message(envelope, cbor.field(fields, 10, bytes, "body"))


def inflate(body: bytes) -> bytes:
    """The CBOR inside a deflated body, never more than `MAX_BODY_BYTES` of it.

    Raises:
        RejectedError: it is not a whole deflate stream, or inflates to more.
    """
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body, MAX_BODY_BYTES)
    except zlib.error as error:
        raise RejectedError(RejectCode.MALFORMED, f"body: {error}") from error
    if inflater.unconsumed_tail:
        raise RejectedError(RejectCode.TOO_LARGE, f"body inflates to more than {MAX_BODY_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise RejectedError(RejectCode.MALFORMED, "body is cut short or has something behind it")
    return data


def encode_clock(clock: ClockMap) -> list[int]:
    """`clock` as it travels."""
    return [clock.boottime_ns, clock.wall_ns, int(clock.state), clock.err_ms]


def decode_clock(parts: list[Any]) -> ClockMap:
    """The clock map in `parts`.

    Raises:
        RejectedError: it is none; code MALFORMED.
    """
    boottime_ns, wall_ns, state, err_ms = _integers(parts, 4, "clock")
    try:
        return ClockMap(boottime_ns, wall_ns, ClockState(state), err_ms)
    except ValueError as error:
        raise RejectedError(RejectCode.MALFORMED, f"clock state {state}") from error


def encode_counters(counters: Counters) -> list[int]:
    """`counters` as they travel."""
    return [counters.next_seq, counters.accepted, counters.pending_from, counters.pending_before]


def decode_counters(parts: list[Any]) -> Counters:
    """The counters in `parts`.

    Raises:
        RejectedError: they are none; code MALFORMED.
    """
    return Counters(*_integers(parts, 4, "counters"))


def _integers(parts: list[Any], size: int, label: str) -> list[int]:
    if len(parts) != size or not all(map(cbor.is_uint, parts)):
        raise RejectedError(RejectCode.MALFORMED, f"{label} must be {size} integers from 0 to {cbor.MAX_UINT}")
    return parts


def _check_head(name: str, unit: str, times_ns: Sequence[int], held: Sequence[object]) -> None:
    if not held or len(times_ns) != len(held):
        raise ValueError(f"column {name!r} is empty or ragged")
    try:
        check_series_name(name)
        check_unit(unit)
    except RejectedError as error:
        raise ValueError(error.detail) from error


def _check_body(columns: Sequence[Column], drops: Sequence[Drop], marks: Sequence[Marks]) -> None:
    parts: list[Column | Marks] = [*columns, *marks]
    samples = sum(len(column.values) for column in columns) + sum(mark.absent for mark in marks)
    if len(parts) > MAX_SERIES or samples > MAX_SAMPLES:
        raise ValueError(f"a batch holds at most {MAX_SAMPLES} samples in {MAX_SERIES} columns")
    for column in columns:
        _check_head(column.name, column.unit, column.times_ns, column.values)
    for mark in marks:
        _check_head(mark.name, mark.unit, mark.times_ns, mark.qualities)
    try:
        check_texts((column.json, column.values) for column in columns if type(column.values[0]) is str)
    except RejectedError as error:
        raise ValueError(error.detail) from error
    if any(not 0 < quality < 256 for mark in marks for quality in mark.qualities):
        raise ValueError("a mark is no quality, or that of a good sample")
    ends = [end for part in parts for end in (min(part.times_ns), max(part.times_ns))]
    if parts and not (max(ends) - min(ends) <= MAX_SPAN_NS and max(map(abs, ends)) <= cbor.MAX_UINT):
        raise ValueError("the times lie more than 73 years apart, or beyond 2**62 nanoseconds")
    if sum(len(drop.counts) for drop in drops) > MAX_DROPPED_BATCHES:
        raise ValueError(f"drops of more than {MAX_DROPPED_BATCHES} batches in one body")
    for drop in drops:
        if not drop.counts:
            raise ValueError("a drop names no batch")
