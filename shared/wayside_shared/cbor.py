"""CBOR (RFC 8949) as this contract uses it: definite lengths, few levels, no tag but the typed arrays of RFC 8746."""

import io
import struct
from collections.abc import Sequence
from typing import Any, NoReturn

import cbor2

from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode

MAX_DEPTH = 8
MAX_ITEMS = 80_000
"""Data items in one value, those inside others too. The largest batch that an agent makes has some 70,000; this many
take a server 20 ms to find out about, where two megabytes of empty arrays would take it most of a second."""

MAX_UINT = (1 << 62) - 1
"""Largest count, number or time: the sum of two still fits in a 64-bit integer of the database."""

UINT8 = 64
SINT8 = 72
SINT16_LE = 77
SINT32_LE = 78
SINT64_LE = 79
FLOAT64_LE = 86
"""Typed-array tags of RFC 8746 section 2.1."""


def _refuse(_value: Any, _immutable: bool) -> NoReturn:
    message = "a tag that this contract does not use"
    raise ValueError(message)


def _skips() -> tuple[int, ...]:
    """Bytes from the head of an item to the next head, by the head's first byte; 0 for a string of a given length."""
    skips = []
    for first in range(256):
        major, info = first >> 5, first & 31
        argument = 1 << (info - 24) if 24 <= info <= 27 else 0
        if major in (2, 3):
            skips.append(0 if argument else 1 + info * (info < 24))
        else:
            skips.append(1 + argument)
    return tuple(skips)


_SKIPS = _skips()

# What cbor2 would otherwise turn into regular expressions, MIME messages, shared references, huge integers…
_FOREIGN_TAGS = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _refuse
)


def dumps(value: object) -> bytes:
    """`value` as CBOR."""
    return cbor2.dumps(value)


def loads(data: bytes) -> Any:
    """The one value that `data` holds.

    Raises:
        RejectedError: `data` is not CBOR within this contract, or something stands behind it, code MALFORMED; or it
            holds more than `MAX_ITEMS`, code TOO_LARGE, before any of them is built.
    """
    # Each item takes a byte at the least.
    if len(data) > MAX_ITEMS:
        _check_items(data)
    try:
        decoder = cbor2.CBORDecoder(
            io.BytesIO(data), max_depth=MAX_DEPTH, allow_indefinite=False, semantic_decoders=_FOREIGN_TAGS
        )
        value = decoder.decode()
        _expect_end(decoder)
        return value
    except (cbor2.CBORError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise RejectedError(RejectCode.MALFORMED, f"not CBOR: {error}"[:200]) from error


def _check_items(data: bytes) -> None:
    """Walks from head to head, for nesting does not matter to their number (RFC 8949 section 3)."""
    at, size = 0, len(data)
    for _ in range(MAX_ITEMS):
        if at >= size:
            return
        skip = _SKIPS[data[at]]
        if skip:
            at += skip
        else:
            behind = at + 1 + (1 << ((data[at] & 31) - 24))
            at = behind + int.from_bytes(data[at + 1 : behind], "big")
    if at < size:
        raise RejectedError(RejectCode.TOO_LARGE, f"more than {MAX_ITEMS} data items")


def _expect_end(decoder: cbor2.CBORDecoder) -> None:
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return
    message = "something stands behind the value"
    raise ValueError(message)


def loads_map(data: bytes) -> dict[Any, Any]:
    """The map that `data` holds.

    Raises:
        RejectedError: it holds no map; code MALFORMED.
    """
    value = loads(data)
    if type(value) is not dict:
        raise RejectedError(RejectCode.MALFORMED, f"a map was expected, not {type(value).__name__}")
    return value


def field(fields: dict[Any, Any], key: int, kind: type, label: str) -> Any:
    """`fields[key]`, which must be exactly a `kind`.

    Raises:
        RejectedError: it is missing or of another type; code MALFORMED.
    """
    value = fields.get(key)
    if type(value) is not kind:
        raise RejectedError(RejectCode.MALFORMED, f"{label} is {type(value).__name__}, not {kind.__name__}")
    return value


def uint(fields: dict[Any, Any], key: int, label: str) -> int:
    """`fields[key]`, which must be an integer from 0 to `MAX_UINT`.

    Raises:
        RejectedError: it is not; code MALFORMED.
    """
    value = field(fields, key, int, label)
    if not is_uint(value):
        raise RejectedError(RejectCode.MALFORMED, f"{label} is outside 0 to {MAX_UINT}")
    return int(value)


def is_uint(value: object) -> bool:
    """Whether `value` is an integer (no boolean) from 0 to `MAX_UINT`."""
    return type(value) is int and 0 <= value <= MAX_UINT


def octets(fields: dict[Any, Any], key: int, size: int, label: str) -> bytes:
    """`fields[key]`, which must be `size` bytes.

    Raises:
        RejectedError: it is not; code MALFORMED.
    """
    value: bytes = field(fields, key, bytes, label)
    if len(value) != size:
        raise RejectedError(RejectCode.MALFORMED, f"{label} has {len(value)} bytes, not {size}")
    return value


def typed_array(integers: Sequence[int]) -> cbor2.CBORTag:
    """`integers`, of 64 bits and at least one, as the narrowest typed array that holds them."""
    low, high = min(integers), max(integers)
    for tag, code, bits in ((SINT8, "b", 7), (SINT16_LE, "h", 15), (SINT32_LE, "i", 31)):
        if -(1 << bits) <= low and high < 1 << bits:
            return cbor2.CBORTag(tag, struct.pack(f"<{len(integers)}{code}", *integers))
    return cbor2.CBORTag(SINT64_LE, struct.pack(f"<{len(integers)}q", *integers))
