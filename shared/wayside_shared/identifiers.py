"""Names that travel: device ids, series names, epochs."""

import re

from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode

DEVICE_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{2,62}$"
DEVICE_ID_RULE = "a name has 3 to 63 of a-z, 0-9 and -, and begins with a letter or digit"
"""`DEVICE_ID_PATTERN` for people."""
SERIES_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"
EPOCH_BYTES = 16
BOOT_ID_BYTES = 16

_DEVICE_ID = re.compile(DEVICE_ID_PATTERN.removesuffix("$") + r"\Z")
_SERIES_NAME = re.compile(SERIES_NAME_PATTERN.removesuffix("$") + r"\Z")


def is_device_id(text: str) -> bool:
    """Whether `text` may name a device: it is its certificate's CN, MQTT username and client id at once."""
    return _DEVICE_ID.match(text) is not None


def is_series_name(text: str) -> bool:
    """Whether `text` may name a series of a device (a SenML name, RFC 8428 section 4.5.1, of at most 128)."""
    return _SERIES_NAME.match(text) is not None


def check_series_name(text: str) -> str:
    """`text` itself.

    Raises:
        RejectedError: it breaks the rules for series names; code BAD_NAME.
    """
    if not is_series_name(text):
        raise RejectedError(RejectCode.BAD_NAME, f"series name {text[:40]!r} does not match {SERIES_NAME_PATTERN}")
    return text
