"""Where a demo lives: a private folder and ports that nobody else has."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from wayside_shared.errors import ConfigError

MAX_FOLDER = 64
"""PostgreSQL puts a Unix socket 37 bytes below, and the kernel takes 107 in all (unix(7))."""
ROOM_MB = 300
"""A new PostgreSQL takes 60 MB and as much again in its log; the rest is an evening's samples."""
MIB = 1 << 20


@contextmanager
def folder_of(chosen: Path | None) -> Iterator[Path]:
    """The folder of one demo, mode 0700. One of its own choice is removed afterwards, `chosen` stays.

    Raises:
        ConfigError: it cannot be made, is not empty, has too long a path or too little room.
    """
    path = _temporary() if chosen is None else _given(chosen.absolute())
    try:
        _check(path)
        yield path
    finally:
        if chosen is None:
            shutil.rmtree(path, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that were free a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _temporary() -> Path:
    parent = tempfile.gettempdir()
    # Some systems give each login a folder of its own with a name that leaves no room for a socket.
    if len(os.fsencode(parent)) + len("/wayside-12345678") > MAX_FOLDER:
        parent = "/tmp"  # noqa: S108 - mkdtemp makes a folder that is ours only
    try:
        return Path(tempfile.mkdtemp(prefix="wayside-", dir=parent))
    except OSError as error:
        raise ConfigError(f"cannot make a folder in {parent}: {error.strerror}; name one with --dir") from error


def _given(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        empty = next(path.iterdir(), None) is None
    except OSError as error:
        raise ConfigError(f"--dir {path}: {error.strerror}") from error
    if not empty:
        raise ConfigError(f"--dir {path} is not empty; name a new folder")
    path.chmod(0o700)
    return path


def _check(path: Path) -> None:
    if len(os.fsencode(path)) > MAX_FOLDER:
        raise ConfigError(f"{path} is too long a path for PostgreSQL's socket; name a shorter one with --dir")
    free_mb = shutil.disk_usage(path).free // MIB
    if free_mb < ROOM_MB:
        raise ConfigError(
            f"{path.parent} has {free_mb} MB free and the demo needs {ROOM_MB}; free some, or name another folder "
            "with --dir"
        )
