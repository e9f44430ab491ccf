"""Decoding what devices send into columns of UTC times and values: the side of the codec that needs NumPy.

Arrays are one-dimensional; times are int64 microseconds since 1970 in UTC, as the database holds them.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import cbor2
import numpy as np
from numpy.typing import NDArray

from wayside_shared import cbor
from wayside_shared.batch import (
    MAX_DROPPED_BATCHES,
    MAX_EXACT,
    MAX_SAMPLES,
    MAX_SERIES,
    Drop,
    Kind,
    Message,
    inflate,
)
from wayside_shared.clock import NS_PER_US, ClockMap, check_range
from wayside_shared.errors import RejectedError
from wayside_shared.identifiers import EPOCH_BYTES, check_series_name
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.text import check_json_text, check_text, to_json
from wayside_shared.units import check_unit

Times: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.float64]

_DTYPES = {cbor.SINT8: "<i1", cbor.SINT16_LE: "<i2", cbor.SINT32_LE: "<i4", cbor.SINT64_LE: "<i8"}
_FAR_NS = 4e18
"""Under 2**62: sums of two such numbers still fit in an int64."""


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of one series: either numbers or JSON texts, one for each time.

    Args:
        name: the series.
        unit: its UCUM code.
        times_us: UTC microseconds, shape (n,).
        numbers: finite values, shape (n,); None for other kinds.
        texts: JSON texts (booleans, strings, documents); None for numbers.
    """

    name: str
    unit: str
    times_us: Times
    numbers: Numbers | None = None
    texts: list[str] | None = None

    def __len__(self) -> int:
        return len(self.times_us)


@dataclass(frozen=True, slots=True)
class Body:
    """What a batch holds: its samples and the drops it declares."""

    blocks: list[Block]
    drops: list[Drop]

    @property
    def samples(self) -> int:
        """How many samples there are in all."""
        return sum(len(block) for block in self.blocks)


def decode_body(message: Message) -> Body:
    """The samples and drops of `message`, in UTC.

    Raises:
        RejectedError: the body breaks the contract; nothing else, whatever the bytes.
    """
    fields = cbor.loads_map(inflate(message.body))
    t0: int = cbor.field(fields, 0, int, "t0")
    if abs(t0) > _FAR_NS:
        raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "t0 is more than a century away from the boot")
    columns: list[Any] = cbor.field(fields, 1, list, "time columns")
    series: list[Any] = cbor.field(fields, 2, list, "series")
    if len(series) > MAX_SERIES or len(columns) > len(series):
        raise RejectedError(RejectCode.MALFORMED, f"{len(series)} series with {len(columns)} time columns")
    times = [_decode_times(column, t0, message.envelope.clock) for column in columns]
    blocks = [_decode_series(item, times) for item in series]
    drops = [_decode_drop(item) for item in cbor.field(fields, 3, list, "drops")] if 3 in fields else []
    body = Body(blocks, drops)
    if body.samples != message.envelope.n:
        raise RejectedError(
            RejectCode.MALFORMED, f"{body.samples} samples where the envelope says {message.envelope.n}"
        )
    return body


def _decode_times(column: Any, t0: int, clock: ClockMap) -> Times:
    match column:
        case [int(n), int(exponent), int(first), int(step), changes] if 0 < n <= MAX_SAMPLES and exponent in (
            0,
            3,
            6,
            9,
        ):
            pass
        case _:
            raise RejectedError(RejectCode.MALFORMED, "a time column must be [n, exponent, first, step, changes]")
    unit = 10**exponent
    reach = float(abs(first)) + float(abs(step)) * n
    ticks = np.arange(n, dtype=np.int64)
    if changes is not None and n > 2:
        bends = _integers(changes, n - 2)
        reach += float(np.abs(bends.astype(np.float64)).sum()) * n
    if reach * unit > _FAR_NS:
        raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "a time column reaches further than a century")
    ticks *= step
    if changes is not None and n > 2:
        ticks[2:] += np.cumsum(np.cumsum(bends))
    start_ns = t0 + clock.offset_ns + first * unit
    ticks *= unit
    check_range(start_ns + int(ticks.min()), start_ns + int(ticks.max()))
    ticks += start_ns
    ticks //= NS_PER_US
    return ticks


def _decode_series(item: Any, times: list[Times]) -> Block:
    match item:
        case [str(name), str(unit), int(index), int(kind), *payload] if 0 <= index < len(times):
            pass
        case _:
            raise RejectedError(RejectCode.MALFORMED, "a series must be [name, unit, time column, kind, …]")
    check_series_name(name)
    check_unit(unit)
    moments = times[index]
    n = len(moments)
    match kind, payload:
        case Kind.SCALED, [int(exponent), int(first), deltas] if -18 <= exponent <= 18:
            return Block(name, unit, moments, numbers=_scaled(exponent, first, deltas, n))
        case Kind.FLOAT, [cbor2.CBORTag(tag=cbor.FLOAT64_LE, value=bytes(raw))] if len(raw) == 8 * n:
            return Block(name, unit, moments, numbers=_finite(np.frombuffer(raw, "<f8")))
        case Kind.BOOLEAN, [cbor2.CBORTag(tag=cbor.UINT8, value=bytes(raw))] if len(raw) == n and set(raw) <= {0, 1}:
            return Block(name, unit, moments, texts=["true" if flag else "false" for flag in raw])
        case Kind.TEXT, [list(texts)] if len(texts) == n:
            return Block(name, unit, moments, texts=[to_json(check_text(text)) for text in texts])
        case Kind.JSON, [list(texts)] if len(texts) == n:
            return Block(name, unit, moments, texts=[check_json_text(text) for text in texts])
        case _:
            raise RejectedError(
                RejectCode.MALFORMED, f"series {name!r}: values of kind {kind} are not {n} of that kind"
            )


def _scaled(exponent: int, first: int, deltas: Any, n: int) -> Numbers:
    values = np.empty(n, dtype=np.float64)
    if abs(first) > MAX_EXACT:
        raise RejectedError(RejectCode.OUT_OF_RANGE, "a scaled value is over 2**53")
    if deltas is None or n == 1:
        values[:] = first
    else:
        steps = _integers(deltas, n - 1)
        if float(np.abs(steps.astype(np.float64)).sum()) > _FAR_NS:
            raise RejectedError(RejectCode.OUT_OF_RANGE, "a scaled value is over 2**53")
        values[0] = first
        values[1:] = np.cumsum(steps) + first
        if float(np.abs(values).max()) > MAX_EXACT:
            raise RejectedError(RejectCode.OUT_OF_RANGE, "a scaled value is over 2**53")
    if exponent < 0:
        values /= float(10**-exponent)
    elif exponent > 0:
        values *= float(10**exponent)
    return values


def _finite(values: Numbers) -> Numbers:
    if not bool(np.isfinite(values).all()):
        raise RejectedError(RejectCode.NON_FINITE, "a value is NaN or infinite")
    return values


def _integers(tagged: Any, n: int) -> NDArray[np.int64]:
    """The `n` integers of a typed array, as int64."""
    if isinstance(tagged, cbor2.CBORTag) and type(tagged.value) is bytes and tagged.tag in _DTYPES:
        dtype = np.dtype(_DTYPES[tagged.tag])
        if len(tagged.value) == n * dtype.itemsize:
            return np.frombuffer(tagged.value, dtype).astype(np.int64)
    raise RejectedError(RejectCode.MALFORMED, f"a typed array of {n} integers was expected")


def _decode_drop(item: Any) -> Drop:
    match item:
        case [bytes(epoch), int(first_seq), list(counts), str(reason)] if len(epoch) == EPOCH_BYTES and first_seq >= 0:
            pass
        case _:
            raise RejectedError(RejectCode.MALFORMED, "a drop must be [epoch, first_seq, counts, reason]")
    if not 0 < len(counts) <= MAX_DROPPED_BATCHES or reason not in DropReason._value2member_map_:
        raise RejectedError(RejectCode.MALFORMED, "a drop's counts or reason are out of bounds")
    if any(type(count) is not int or not 0 <= count <= MAX_SAMPLES for count in counts):
        raise RejectedError(RejectCode.MALFORMED, "a drop's counts are out of bounds")
    return Drop(epoch, first_seq, counts, DropReason(reason))
