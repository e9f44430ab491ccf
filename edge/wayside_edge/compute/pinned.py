"""The file of a stage: read once, and only what its hash names."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from wayside_edge.compute.serving import StageError
from wayside_shared.stage_worker import Failure

WASM_BEGINS: Final = b"\0asm"
TFLITE_AT: Final = slice(4, 8)
TFLITE_SAYS: Final = b"TFL3"
"""How files of both kinds are told: the magic number of WebAssembly, and the identifier of a FlatBuffer."""


def read_pinned(path: Path, sha256: str, most_bytes: int) -> bytes:
    """The bytes of the file, which are those that `sha256` names.

    Raises:
        StageError: they are not, or the file cannot be read; FILE.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe in its place must not hold it up
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise StageError(Failure.FILE, f"{path} is no file")
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise StageError(Failure.FILE, f"{path}: {error.strerror}") from error
    if len(data) > most_bytes:
        raise StageError(Failure.FILE, f"{path} is larger than {most_bytes} bytes")
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise StageError(Failure.FILE, f"{path} has the SHA-256 {found}, not {sha256}")
    return data


def kind_of(data: bytes) -> str | None:
    """The `kind` of the configuration that a file with this beginning is for; None when it is for none."""
    if data.startswith(WASM_BEGINS):
        return "wasm"
    return "tflite" if data[TFLITE_AT] == TFLITE_SAYS else None
