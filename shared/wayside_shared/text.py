"""Texts and JSON from devices that we did not write: what can be stored, and nothing else."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode

MAX_TEXT_BYTES = 16 * 1024
MAX_JSON_DEPTH = 32
MAX_TEXTS = 40_000
"""Texts and JSON values in a batch, each an object of its own to a server: 45 ms. Agents close batches sooner."""
MAX_JSON_VALUES = 5_000
MAX_JSON_CHARACTERS = 256 * 1024
"""Of the texts those that are JSON, and their length together: each is parsed, 40 ms in all."""


def check_text(text: object) -> str:
    """`text` itself, when PostgreSQL can hold it.

    Raises:
        RejectedError: it is no text, too long, or holds a NUL or a lone surrogate; code BAD_TEXT.
    """
    if type(text) is not str:
        raise RejectedError(RejectCode.BAD_TEXT, f"a text was expected, not {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise RejectedError(RejectCode.BAD_TEXT, "a text holds a lone surrogate") from error
    if size > MAX_TEXT_BYTES or "\0" in text:
        raise RejectedError(RejectCode.BAD_TEXT, f"a text holds a NUL or is over {MAX_TEXT_BYTES} bytes")
    return text


def check_texts(columns: Iterable[tuple[bool, Sequence[Any]]]) -> None:
    """Refuses more texts than a batch may hold.

    Args:
        columns: of each column of texts whether they are JSON, and what it holds.

    Raises:
        RejectedError: code TOO_LARGE.
    """
    texts = values = characters = 0
    for is_json, column in columns:
        texts += len(column)
        if is_json:
            values += len(column)
            characters += sum(len(text) for text in column if type(text) is str)
    if texts > MAX_TEXTS or values > MAX_JSON_VALUES or characters > MAX_JSON_CHARACTERS:
        raise RejectedError(
            RejectCode.TOO_LARGE,
            f"more than {MAX_TEXTS} texts, {MAX_JSON_VALUES} JSON values or {MAX_JSON_CHARACTERS} characters of JSON",
        )


def printable(text: str) -> str:
    """`text` with what moves a terminal's cursor, changes colours or turns the direction written out, as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def to_json(value: object) -> str:
    """`value` as compact JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def parse_json(data: bytes | str) -> Any:
    """The value in `data`: strict RFC 8259, no NaN, no number beyond 64 bits, bounded depth, storable texts.

    Raises:
        RejectedError: it is not such JSON; nothing else, whatever the bytes.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_bounded_int, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:
        raise RejectedError(RejectCode.MALFORMED, f"not JSON: {error}"[:200]) from error
    _check_depth(value, MAX_JSON_DEPTH)
    return value


def check_json_text(text: object) -> str:
    """The JSON in `text`, in canonical compact form.

    Raises:
        RejectedError: it is not JSON that can be stored.
    """
    return to_json(parse_json(check_text(text)))


def _refuse_constant(name: str) -> NoReturn:
    raise RejectedError(RejectCode.NON_FINITE, f"{name} is no JSON number")


def _bounded_int(digits: str) -> int:
    if len(digits) > 20 or not -(1 << 63) <= int(digits) < 1 << 63:
        raise RejectedError(RejectCode.OUT_OF_RANGE, "an integer is beyond 64 bits")
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise RejectedError(RejectCode.OUT_OF_RANGE, "a number is beyond a 64-bit float")
    return value


def _check_depth(value: object, left: int) -> None:
    if left == 0:
        raise RejectedError(RejectCode.MALFORMED, f"JSON nested deeper than {MAX_JSON_DEPTH}")
    match value:
        case dict():
            for key, item in value.items():
                check_text(key)
                _check_depth(item, left - 1)
        case list():
            for item in value:
                _check_depth(item, left - 1)
        case str():
            check_text(value)
        case _:
            pass
