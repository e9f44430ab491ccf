"""Encoding of a batch's times: as changes of their steps, or as distances from an even tick where they jitter."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from wayside_shared import cbor

JITTER_LIMIT = 1 << 15
"""Distances that a 16-bit array holds; times further from any tick are no jitter, and stay far from an overflow."""
MIN_TIMES = 4
"""With fewer there is no tick to be seen."""


def encode_times(times: Sequence[int], t0: int) -> list[Any]:
    """A time column, in units of 10**exponent nanoseconds from `t0`, in the form that takes fewer bits.

    Either `[n, exponent, first, step, changes]` or `[n, exponent, first, step, null, distances]`. On a tick with
    jitter each reading's lateness stands in three differences of differences, but in one distance.

    Args:
        times: nanoseconds; at least one, not further apart than a batch may span.
        t0: nanoseconds.
    """
    offsets = [t - t0 for t in times]
    exponent = next(e for e in (9, 6, 3, 0) if e == 0 or all(o % 10**e == 0 for o in offsets))
    ticks = [o // 10**exponent for o in offsets]
    deltas = [b - a for a, b in pairwise(ticks)]
    changes = [b - a for a, b in pairwise(deltas)]
    head = [len(ticks), exponent]
    if not any(changes):
        return [*head, ticks[0], deltas[0] if deltas else 0, None]
    if len(ticks) >= MIN_TIMES:
        first, step, distances = _distances(ticks)
        if max(map(abs, distances)) < JITTER_LIMIT and _bits(distances) < _bits(changes):
            return [*head, first, step, None, cbor.typed_array(distances)]
    return [*head, ticks[0], deltas[0], cbor.typed_array(changes)]


def _distances(ticks: Sequence[int]) -> tuple[int, int, list[int]]:
    """`(first, step, distances)` so that tick i is first + step * i + distances[i], most of which are small.

    The step is the median over half the column: one late reading does not tilt it, and jitter hardly does. The
    distances are those from the median, so that one very late reading does not widen the others.
    """
    half = len(ticks) // 2
    spans = sorted(b - a for a, b in zip(ticks, ticks[half:], strict=False))
    step = round(spans[len(spans) // 2] / half)
    rests = [tick - step * i for i, tick in enumerate(ticks)]
    first = sorted(rests)[len(rests) // 2]
    return first, step, [rest - first for rest in rests]


def _bits(integers: Sequence[int]) -> int:
    """About what `integers` cost once deflated: their digits."""
    return sum(integer.bit_length() for integer in integers)
