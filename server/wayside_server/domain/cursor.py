"""Opaque places in a listing: where the next page begins, bound to the question that was asked."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

_DIGEST_CHARS = 8


class CursorError(ValueError):
    """The text is no cursor of this listing."""


def encode_cursor(place: Sequence[int | str], question: str) -> str:
    """`place` as a text for a URL; `question` names the listing and its filters and is not readable from it."""
    packed = json.dumps([_digest(question), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")


def decode_cursor(text: str, question: str, *kinds: type) -> list[int | str]:
    """The place in `text`, whose parts are of `kinds`.

    Raises:
        CursorError: it was not made for `question`, whatever the text is.
    """
    place: list[int | str]
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        digest, *place = json.loads(packed)
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise CursorError(text) from error
    if digest != _digest(question) or [type(part) for part in place] != list(kinds):
        raise CursorError(text)
    if any(type(part) is int and not -(1 << 63) <= part < 1 << 63 for part in place):
        raise CursorError(text)
    return place


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode("utf-8", "backslashreplace")).hexdigest()[:_DIGEST_CHARS]
