"""Modules that come with Wayside: a folder each, with the source, what it gives, and the built file."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wayside_shared.errors import ConfigError

MODULES: Final[Mapping[str, str]] = {
    "energy": "energy in W.h from power in W, kept over restarts",
    "humid_air": "dew point and absolute humidity from temperature and relative humidity",
    "vibration": "RMS and peak of an accelerometer's bursts",
}
"""What each gives."""


def built(name: str) -> Path:
    """The built file of one.

    Raises:
        ConfigError: there is no such module.
    """
    if name not in MODULES:
        raise ConfigError(f"there is no module {name!r}; there are {', '.join(MODULES)}")
    return Path(__file__).parent / name / f"{name}.wasm"


def write(name: str, to: Path) -> str:
    """Copy the built file of one; its SHA-256.

    Raises:
        ConfigError: there is no such module, or the copy cannot be written.
    """
    data = built(name).read_bytes()
    try:
        to.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write {to}: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest()
