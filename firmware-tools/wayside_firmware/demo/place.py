"""Where a demo lives: a private folder and ports that nobody else has."""

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from wayside_shared.errors import ConfigError

MAX_FOLDER = 64
"""PostgreSQL puts a Unix socket 37 bytes below, and the kernel takes 107 in all (unix(7))."""
ROOM_MB = 300
"""A new PostgreSQL takes 60 MB and as much again in its log; the rest is an evening's samples."""
MIB = 1 << 20
CLIENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST_PORT = 1024
PORTS = 12_000
"""Below those of clients: enough that two demos seldom choose the same at the same time."""


PREFIX = "wayside-"
LOCK = "demo.lock"
"""Only folders that a demo has chosen by itself have one, locked as long as any of its processes lives."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one demo.

    Args:
        path: the folder, mode 0700.
        lock: descriptors that its processes hold open while they live.
    """

    path: Path
    lock: tuple[int, ...]


@contextmanager
def place_of(chosen: Path | None) -> Iterator[Place]:
    """A folder for one demo. One of its own choice is removed afterwards, `chosen` stays.

    Raises:
        ConfigError: it cannot be made, is not empty, has too long a path or too little room.
    """
    if chosen is not None:
        path = _given(chosen.absolute())
        _check(path)
        yield Place(path, ())
        return
    path = _temporary()
    try:
        _check(path)
        lock = _locked(path)
        try:
            yield Place(path, (lock,))
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_stale() -> list[Path]:
    """Remove the folders of demos that were killed; returns them.

    A folder is one if it lies where demos put theirs, is this user's alone, and has a lock that nobody holds.
    """
    removed = []
    for path in sorted(_parent().glob(f"{PREFIX}????????")):
        with suppress(OSError):
            if not _is_ours(path, stat.S_IFDIR) or not _is_ours(path / LOCK, stat.S_IFREG):
                continue
            handle = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                removed.append(path)
            finally:
                os.close(handle)
    return removed


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that were free a moment ago, and that the kernel gives to no client in between."""
    first_of_clients = int(CLIENT_PORTS.read_text().split()[0])
    candidates = range(max(first_of_clients - PORTS, FIRST_PORT), max(first_of_clients, FIRST_PORT + PORTS))
    found: list[int] = []
    for port in SystemRandom().sample(candidates, len(candidates)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise ConfigError(f"fewer than {count} of the ports {candidates.start} to {candidates.stop - 1} are free")


def _parent() -> Path:
    parent = tempfile.gettempdir()
    # Some systems give each login a folder of its own with a name that leaves no room for a socket.
    return Path(parent if len(os.fsencode(parent)) + len(f"/{PREFIX}12345678") <= MAX_FOLDER else "/tmp")  # noqa: S108 - mkdtemp makes a folder that is ours only


def _temporary() -> Path:
    parent = _parent()
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise ConfigError(f"cannot make a folder in {parent}: {error.strerror}; name one with --dir") from error


def _locked(path: Path) -> int:
    """The lock of a new folder: it has its name only once it is held, so that nobody finds it free before."""
    unnamed = path / f"{LOCK}.new"
    handle = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    unnamed.rename(path / LOCK)
    return handle


def _is_ours(path: Path, kind: int) -> bool:
    found = path.lstat()
    private = not stat.S_IMODE(found.st_mode) & 0o077
    return stat.S_IFMT(found.st_mode) == kind and found.st_uid == os.geteuid() and private


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
