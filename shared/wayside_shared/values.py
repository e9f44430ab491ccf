"""Encoding of a series' values: the kinds, and the decimal scaling that makes numbers small."""

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import pairwise
from math import isfinite
from typing import Any, TypeAlias

import cbor2

from wayside_shared import cbor
from wayside_shared.errors import RejectedError
from wayside_shared.text import check_json_text, check_text

MAX_EXACT = 1 << 53
"""Integers up to here are exact as 64-bit floats, so scaled values return exactly."""
MAX_DECIMALS = 9

Scalar: TypeAlias = float | int | bool | str


class Kind(IntEnum):
    """How a column's values are encoded; the number travels."""

    SCALED = 0
    """Numbers as deltas of integers, times a power of ten."""
    FLOAT = 1
    """Numbers as 64-bit floats: the escape for what does not scale."""
    BOOLEAN = 2
    TEXT = 3
    JSON = 4
    """Any JSON value, each as its text."""
    QUALITY = 5
    """No values, but the qualities of samples: of those that have a value in another column, and of absent ones."""


def encode_values(name: str, values: Sequence[Scalar], *, json: bool) -> list[Any]:
    """The kind of `values`, and what follows it in a series.

    Args:
        name: the series, for messages.
        values: all numbers, all booleans or all texts.
        json: the texts are JSON values.

    Raises:
        ValueError: they are mixed, or one cannot travel.
    """
    kinds = {type(value) for value in values}
    if kinds <= {int, float}:
        if not _are_finite(values):  # type: ignore[arg-type]
            raise ValueError(f"column {name!r} holds a number that is no finite 64-bit float")
        return _encode_numbers(values)  # type: ignore[arg-type]
    if kinds == {bool}:
        return [int(Kind.BOOLEAN), cbor2.CBORTag(cbor.UINT8, bytes(values))]  # type: ignore[arg-type]
    if kinds == {str}:
        try:
            texts = [check_json_text(value) if json else check_text(value) for value in values]
        except RejectedError as error:
            raise ValueError(f"column {name!r}: {error.detail}") from error
        return [int(Kind.JSON if json else Kind.TEXT), texts]
    raise ValueError(f"column {name!r} mixes {sorted(kind.__name__ for kind in kinds)}")


def _are_finite(values: Iterable[float]) -> bool:
    try:
        return all(map(isfinite, values))
    except OverflowError:
        return False


def _encode_numbers(values: Sequence[float]) -> list[Any]:
    scaled = _scale(values)
    if scaled is None:
        return [int(Kind.FLOAT), cbor2.CBORTag(cbor.FLOAT64_LE, struct.pack(f"<{len(values)}d", *values))]
    exponent, integers = scaled
    deltas = [b - a for a, b in pairwise(integers)]
    return [int(Kind.SCALED), exponent, integers[0], cbor.typed_array(deltas) if any(deltas) else None]


def _scale(values: Sequence[float]) -> tuple[int, list[int]] | None:
    """`(exponent, integers)` so that integer * 10**exponent is each value exactly; None when there is none.

    The first value's decimals mostly do for all, and to try them takes a fifth of looking at each value's own.
    """
    if max(map(abs, values)) > MAX_EXACT:
        return None
    decimals = max(_decimals(values[0]), 0)
    while decimals <= MAX_DECIMALS:
        power = 10**decimals
        integers = [round(value * power) for value in values]
        wrong = next((v for integer, v in zip(integers, values, strict=True) if integer / power != v), None)
        if wrong is None:
            return None if max(map(abs, integers)) > MAX_EXACT else (-decimals, integers)
        more = _decimals(wrong)
        if more <= decimals:
            return None
        decimals = more
    return None


def _decimals(value: float) -> int:
    """Digits behind the point in the shortest decimal form of `value`; none or fewer when it ends before the point."""
    if type(value) is int:
        return 0
    mantissa, _, power = repr(value).partition("e")
    fraction = mantissa.partition(".")[2]
    return (0 if fraction == "0" else len(fraction)) - int(power or 0)
