"""What a stage's process may still read: the files of its interpreter and libraries, and no other (Landlock).

Sources: linux/landlock.h; Documentation/userspace-api/landlock.rst of Linux 6.12. The three calls have these numbers on
every architecture.
"""

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import wayside_edge
import wayside_shared

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION: Final = 1
"""Flag of `CREATE_RULESET`: say which version the kernel speaks."""
PATH_BENEATH: Final = 1
PATH_RULE: Final = struct.Struct("<Qi")
"""struct landlock_path_beneath_attr, packed: what is allowed, and the descriptor of the file or folder."""

EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
"""Of a library mapped for execution the kernel asks for no more than reading."""
FILE_ACCESS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Accesses to files that are refused where no rule allows them, by the version from which on it knows them."""
NETWORK: Final = 0b11
"""Binding and connecting TCP, from version 4 on."""
SCOPES: Final = 0b11
"""Abstract sockets of others, and signals to others, from version 6 on."""

SYSTEM: Final = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/proc/self", "/proc/cpuinfo",
    "/proc/meminfo", "/sys/devices/system/cpu",
)  # fmt: skip
"""What libraries look at when they first need it."""


def readable_places() -> Sequence[Path]:
    """The interpreter, what it imports from, and `SYSTEM`. The folder of work is none of it, though Python looks for
    modules there, nor is the root of all."""
    imported = {os.path.realpath(each) for each in sys.path if each} - {os.path.realpath("."), "/"}
    packages = [str(Path(each.__file__ or "").parent) for each in (wayside_edge, wayside_shared)]
    return sorted({Path(each) for each in (*imported, *packages, sys.prefix, sys.base_prefix, *SYSTEM)} - {Path("/")})


def read_only(places: Iterable[Path]) -> str | None:
    """Let this thread, and those that it starts, open nothing but what is in `places`.

    Needs PR_SET_NO_NEW_PRIVS. Threads that run already are not held: call it before there are others.

    Returns:
        In words what could not be had; None when all could.
    """
    version = _call(CREATE_RULESET, None, 0, VERSION)
    if version < 1:
        return _why()
    access = max(mask for first, mask in FILE_ACCESS.items() if first <= version)
    attributes = struct.pack("<Q", access)
    attributes += struct.pack("<Q", NETWORK) if version >= 4 else b""
    attributes += struct.pack("<Q", SCOPES) if version >= 6 else b""
    ruleset = _call(CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return _why()
    others = sum(1 for _ in Path("/proc/self/task").iterdir()) - 1
    try:
        for place in places:
            _allow(ruleset, place)
        if _call(RESTRICT_SELF, ruleset, 0) != 0:
            return _why()
    finally:
        os.close(ruleset)
    return f"landlock: {others} threads ran already" if others else None


def _why() -> str:
    return f"landlock: {os.strerror(ctypes.get_errno())}"


def _allow(ruleset: int, place: Path) -> None:
    """Allow reading `place`; what is not there needs no rule."""
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        allowed = READ_FILE | EXECUTE | (READ_DIR if folder else 0)
        _call(ADD_RULE, ruleset, PATH_BENEATH, PATH_RULE.pack(allowed, handle), 0)
    finally:
        os.close(handle)


def _call(number: int, *arguments: bytes | int | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(libc.syscall(ctypes.c_long(number), *words))
