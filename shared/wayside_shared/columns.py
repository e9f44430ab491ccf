"""Decoding what devices send into columns of UTC times and values: the side of the codec that needs NumPy.

Arrays are one-dimensional; times are int64 microseconds since 1970 in UTC, as the database holds them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import cbor2
import numpy as np
from numpy.typing import NDArray

from wayside_shared import cbor
from wayside_shared.batch import MAX_DROPPED_BATCHES, MAX_SAMPLES, MAX_SERIES, Drop, Message, inflate
from wayside_shared.clock import LATEST_NS, NS_PER_US, ClockMap, check_range
from wayside_shared.errors import RejectedError
from wayside_shared.identifiers import EPOCH_BYTES, check_series_name
from wayside_shared.quality import FIRST_ABSENT
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.text import check_json_text, check_text, check_texts, to_json
from wayside_shared.units import check_unit
from wayside_shared.values import MAX_EXACT, Kind

Times: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.float64]

_DTYPES: dict[int, np.dtype[np.signedinteger[Any]]] = {
    cbor.SINT8: np.dtype("<i1"),
    cbor.SINT16_LE: np.dtype("<i2"),
    cbor.SINT32_LE: np.dtype("<i4"),
    cbor.SINT64_LE: np.dtype("<i8"),
}
_FAR_NS = 4_000_000_000_000_000_000
"""Under 2**62: sums of two such numbers still fit in an int64."""


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of one series: numbers, JSON texts or qualities, one for each time.

    Args:
        name: the series.
        unit: its UCUM code.
        times_us: UTC microseconds, shape (n,).
        numbers: finite values, shape (n,); None for other kinds.
        texts: JSON texts (booleans, strings, documents); None for other kinds.
        qualities: codes of `Quality`, shape (n,); those below `FIRST_ABSENT` speak of samples in other blocks, the
            others are samples without a value; None for other kinds.
    """

    name: str
    unit: str
    times_us: Times
    numbers: Numbers | None = None
    texts: list[str] | None = None
    qualities: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.times_us)

    @property
    def samples(self) -> int:
        """How many samples it adds."""
        return len(self) if self.qualities is None else int(np.count_nonzero(self.qualities >= FIRST_ABSENT))


@dataclass(frozen=True, slots=True)
class Body:
    """What a batch holds: its samples and the drops it declares."""

    blocks: list[Block]
    drops: list[Drop]

    @property
    def samples(self) -> int:
        """How many samples there are in all."""
        return sum(block.samples for block in self.blocks)


_Part = TypeVar("_Part", Times, Block)


def decode_body(message: Message) -> Body:
    """The samples and drops of `message`, in UTC.

    Raises:
        RejectedError: the body breaks the contract; nothing else, whatever the bytes.
    """
    fields = cbor.loads_map(inflate(message.body))
    t0: int = cbor.field(fields, 0, int, "t0")
    if abs(t0) > LATEST_NS:
        raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "t0 is more than a century away from the boot")
    columns: list[Any] = cbor.field(fields, 1, list, "time columns")
    series: list[Any] = cbor.field(fields, 2, list, "series")
    if len(series) > MAX_SERIES or len(columns) > len(series):
        raise RejectedError(RejectCode.MALFORMED, f"{len(series)} series with {len(columns)} time columns")
    check_texts((item[3] == Kind.JSON, item[4]) for item in series if type(item) is list and _has_texts(item))
    # Each time column is used, and each sample is marked once at most, so neither they nor the series hold more than
    # 2 n: no few bytes can ask for a gigabyte.
    most = 2 * message.envelope.n
    times = _within(most, (_decode_times(item, t0, message.envelope.clock) for item in columns))
    blocks = _within(most, (_decode_series(item, times) for item in series))
    drops = [_decode_drop(item) for item in cbor.field(fields, 3, list, "drops")] if 3 in fields else []
    if sum(len(drop.counts) for drop in drops) > MAX_DROPPED_BATCHES:
        raise RejectedError(RejectCode.TOO_LARGE, f"drops of more than {MAX_DROPPED_BATCHES} batches in one message")
    body = Body(blocks, drops)
    if body.samples != message.envelope.n:
        raise _wrong_count(message.envelope.n)
    return body


def _has_texts(item: list[Any]) -> bool:
    return len(item) > 4 and type(item[4]) is list


def _within(most: int, parts: Iterable[_Part]) -> list[_Part]:
    """`parts` as a list, built one by one until they hold more than `most` entries, which is refused."""
    kept: list[_Part] = []
    left = most
    for part in parts:
        left -= len(part)
        if left < 0:
            raise _wrong_count(most // 2)
        kept.append(part)
    return kept


def _wrong_count(n: int) -> RejectedError:
    return RejectedError(RejectCode.MALFORMED, f"the columns do not hold the {n} samples of the envelope")


def _decode_times(column: Any, t0: int, clock: ClockMap) -> Times:
    match column:
        case [n, exponent, first, step, *rest] if _are_int(n, exponent, first, step):
            pass
        case _:
            raise _not_times()
    if not 0 < n <= MAX_SAMPLES or exponent not in (0, 3, 6, 9):
        raise RejectedError(RejectCode.MALFORMED, f"a time column of {n} samples, in units of 10**{exponent} ns")
    far = _FAR_NS // 10**exponent
    match rest:
        case [None]:
            ticks = _even(n, first, step, far)
        case [None, distances]:
            ticks = _even(n, first, step, far)
            ticks += _near(distances, n, far)
        case [changes]:
            bends, peak = _integers(changes, n - 2)
            steps = _running(step, bends, peak, far)
            ticks = _running(first, steps, abs(step) + peak * n, far)
        case _:
            raise _not_times()
    ticks *= 10**exponent
    start_ns = t0 + clock.offset_ns
    check_range(start_ns + int(ticks.min()), start_ns + int(ticks.max()))
    ticks += start_ns
    ticks //= NS_PER_US
    return ticks


def _not_times() -> RejectedError:
    return RejectedError(
        RejectCode.MALFORMED, "a time column must be [n, exponent, first, step, changes] or [… null, distances]"
    )


def _even(n: int, first: int, step: int, far: int) -> Times:
    """`n` times `step` apart; refuses those beyond ±`far`."""
    if max(abs(first), abs(first + step * (n - 1))) > far or abs(step) > far:
        raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "a time column reaches further than a century")
    ticks = np.arange(n, dtype=np.int64)
    ticks *= step
    ticks += first
    return ticks


def _near(tagged: Any, n: int, far: int) -> NDArray[np.int64]:
    """Distances of `n` times from their tick; refuses those beyond ±`far`, twice which fits in an int64."""
    distances, peak = _integers(tagged, n)
    if peak > far and not -far <= int(distances.min()) <= int(distances.max()) <= far:
        raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "a time lies further than a century from its tick")
    return distances


def _running(first: int, steps: NDArray[np.int64], peak: int, limit: int) -> NDArray[np.int64]:
    """`first` and its running sums with `steps`, none beyond ±`peak`; refuses sums over `limit` (under 2**62)."""
    if abs(first) <= limit:
        terms = np.empty(len(steps) + 1, np.int64)
        terms[0] = first
        terms[1:] = steps
        # Narrow steps cannot reach the limit. For wide ones floats, which never wrap around, find an overflow first.
        narrow = abs(first) + peak * len(steps) <= limit
        if narrow or float(np.abs(np.cumsum(terms, dtype=np.float64)).max()) <= limit:
            np.cumsum(terms, out=terms)
            return terms
    raise RejectedError(RejectCode.OUT_OF_RANGE, "a running sum leaves the range of times or values")


def _decode_series(item: Any, times: list[Times]) -> Block:
    match item:
        case [str(name), str(unit), index, kind, *payload] if _are_int(index, kind) and 0 <= index < len(times):
            pass
        case _:
            raise RejectedError(RejectCode.MALFORMED, "a series must be [name, unit, time column, kind, …]")
    check_series_name(name)
    check_unit(unit)
    moments = times[index]
    n = len(moments)
    match kind, payload:
        case Kind.SCALED, [exponent, first, deltas] if _are_int(exponent, first) and -18 <= exponent <= 18:
            return Block(name, unit, moments, numbers=_scaled(exponent, first, deltas, n))
        case Kind.FLOAT, [cbor2.CBORTag(tag=cbor.FLOAT64_LE, value=bytes(raw))] if len(raw) == 8 * n:
            return Block(name, unit, moments, numbers=_finite(np.frombuffer(raw, "<f8")))
        case Kind.BOOLEAN, [cbor2.CBORTag(tag=cbor.UINT8, value=bytes(raw))] if len(raw) == n and set(raw) <= {0, 1}:
            return Block(name, unit, moments, texts=["true" if flag else "false" for flag in raw])
        case Kind.QUALITY, [cbor2.CBORTag(tag=cbor.UINT8, value=bytes(raw))] if len(raw) == n and 0 not in raw:
            return Block(name, unit, moments, qualities=np.frombuffer(raw, np.uint8))
        case Kind.TEXT, [list(texts)] if len(texts) == n:
            return Block(name, unit, moments, texts=[to_json(check_text(text)) for text in texts])
        case Kind.JSON, [list(texts)] if len(texts) == n:
            return Block(name, unit, moments, texts=[check_json_text(text) for text in texts])
        case _:
            raise RejectedError(
                RejectCode.MALFORMED, f"series {name!r}: values of kind {kind} are not {n} of that kind"
            )


def _scaled(exponent: int, first: int, deltas: Any, n: int) -> Numbers:
    steps, peak = (np.zeros(n - 1, np.int64), 0) if deltas is None else _integers(deltas, n - 1)
    integers = _running(first, steps, peak, _FAR_NS)
    if abs(first) + peak * n > MAX_EXACT and int(np.abs(integers).max()) > MAX_EXACT:
        raise RejectedError(RejectCode.OUT_OF_RANGE, "a scaled value is over 2**53")
    values = integers.astype(np.float64)
    # One division (or multiplication) of two exact floats is rounded once: the very float that was measured.
    if exponent < 0:
        values /= float(10**-exponent)
    elif exponent > 0:
        values *= float(10**exponent)
    return values


def _finite(values: Numbers) -> Numbers:
    if not bool(np.isfinite(values).all()):
        raise RejectedError(RejectCode.NON_FINITE, "a value is NaN or infinite")
    return values + 0.0  # takes the sign from zero, which scaled columns cannot carry


def _are_int(*values: object) -> bool:
    for value in values:  # noqa: SIM110 - runs for every column, where a generator costs three times as much
        if type(value) is not int:
            return False
    return True


def _integers(tagged: Any, n: int) -> tuple[NDArray[np.int64], int]:
    """The `n` integers of a typed array, and the largest magnitude that its type can hold."""
    if isinstance(tagged, cbor2.CBORTag) and type(tagged.value) is bytes and tagged.tag in _DTYPES:
        dtype = _DTYPES[tagged.tag]
        if len(tagged.value) == n * dtype.itemsize:
            return np.frombuffer(tagged.value, dtype).astype(np.int64), 1 << (8 * dtype.itemsize - 1)
    raise RejectedError(RejectCode.MALFORMED, f"a typed array of {n} integers was expected")


def _decode_drop(item: Any) -> Drop:
    match item:
        case [bytes(epoch), first_seq, list(counts), str(reason)] if len(epoch) == EPOCH_BYTES:
            pass
        case _:
            raise RejectedError(RejectCode.MALFORMED, "a drop must be [epoch, first_seq, counts, reason]")
    if not 0 < len(counts) <= MAX_DROPPED_BATCHES or reason not in DropReason._value2member_map_:
        raise RejectedError(RejectCode.MALFORMED, "a drop's counts or reason are out of bounds")
    if not cbor.is_uint(first_seq) or any(not cbor.is_uint(count) or count > MAX_SAMPLES for count in counts):
        raise RejectedError(RejectCode.MALFORMED, "a drop's counts are out of bounds")
    return Drop(epoch, first_seq, counts, DropReason(reason))
