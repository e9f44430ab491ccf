"""A socket in a folder of this machine, however long the folder's name is (unix(7) has room for 107 bytes)."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

MODE: Final = 0o660
"""For the agent's user and its group, like the outbox's own neighbours."""


def listen(path: Path, backlog: int) -> socket.socket:
    """A socket that listens at `path`; one that a dead process has left is replaced.

    Raises:
        OSError: the folder does not take it, something else is at `path`, or a living process has it (EADDRINUSE).
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _within(path) as short:
            with suppress(FileNotFoundError):
                if stat.S_ISSOCK(path.lstat().st_mode) and not _answers(short):
                    path.unlink(missing_ok=True)
            link.bind(short)
            path.chmod(MODE)  # nobody can connect before this: it does not listen yet
        link.listen(backlog)
        link.setblocking(False)
    except BaseException:
        link.close()
        raise
    return link


def connect(path: Path, timeout_s: float) -> socket.socket:
    """A connection to whoever listens at `path`.

    Raises:
        OSError: nobody does, or not for this user.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(timeout_s)
        with _within(path) as short:
            link.connect(short)
    except BaseException:
        link.close()
        raise
    return link


def _answers(short: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(1.0)
        try:
            link.connect(short)
        except ConnectionRefusedError:
            return False
        return True


@contextmanager
def _within(path: Path) -> Iterator[str]:
    """A short name for `path`, through its folder as /proc shows it."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
