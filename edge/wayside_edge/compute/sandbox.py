"""What the process of a stage gives up before it works: memory without end, files, the network, other programs.

A second wall behind that of WebAssembly, and the only one around an interpreter of models. Linux only, without root.
"""

import ctypes
import os
import platform
import resource
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wayside_edge.compute.landlock import read_only, readable_places
from wayside_edge.compute.syscalls import ARCHITECTURES, filter_program

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_TSYNC: Final = 1
"""linux/prctl.h, linux/seccomp.h. TSYNC: the filter is to hold for the threads that run already, too."""

OPEN_FILES: Final = 32
"""Its three pipes, and what an import opens for a moment."""


class _Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def address_space_bytes() -> int:
    """What this process has mapped so far, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def confine(address_space_bytes: int, cpu_s: int | None = None, places: Sequence[Path] | None = None) -> Sequence[str]:
    """Confine this process for good, all its threads; call it when everything is loaded, and before it has threads.

    From then on it maps no more than it may, writes no file, opens none for writing and none but those of its
    interpreter, has no sockets, starts no process, signals no other, gains no right, and dies with the thread that
    started it. Computing and starting threads stay allowed. Refused calls fail with EPERM, those since Linux 5.1 with
    ENOSYS, and files elsewhere with EACCES.

    Args:
        address_space_bytes: most that it may map, what it has mapped included. Each thread that glibc gives a heap of
            its own counts 64 MiB, though it uses little of them.
        cpu_s: most processor time that it may use from its start, in seconds; None for no limit.
        places: what it may read; None for `readable_places`.

    Returns:
        What this machine could not apply, each in words.
    """
    return [
        said
        for said in (
            *_limits(address_space_bytes, cpu_s),
            _controlled("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, signal.SIGKILL),
            _controlled("PR_SET_DUMPABLE", PR_SET_DUMPABLE, 0),
            _controlled("PR_SET_NO_NEW_PRIVS", PR_SET_NO_NEW_PRIVS, 1),
            read_only(readable_places() if places is None else places),
            _filtered(),
        )
        if said is not None
    ]


def _limits(address_space_bytes: int, cpu_s: int | None) -> Iterator[str | None]:
    # RLIMIT_NPROC is left alone: it counts the threads of all processes of the user, and the filter refuses forks.
    wanted = [
        ("RLIMIT_AS", resource.RLIMIT_AS, address_space_bytes),
        ("RLIMIT_CORE", resource.RLIMIT_CORE, 0),
        ("RLIMIT_FSIZE", resource.RLIMIT_FSIZE, 0),
        ("RLIMIT_NOFILE", resource.RLIMIT_NOFILE, OPEN_FILES),
    ]
    if cpu_s is not None:
        wanted.append(("RLIMIT_CPU", resource.RLIMIT_CPU, cpu_s))
    for name, number, most in wanted:
        yield _limited(name, number, most, most)


def _limited(name: str, number: int, soft: int, hard: int) -> str | None:
    present = resource.getrlimit(number)[1]
    hard = _lower(hard, present)
    try:
        resource.setrlimit(number, (_lower(soft, hard), hard))
    except (OSError, ValueError) as error:
        return f"{name}: {error}"
    return None


def _lower(one: int, other: int) -> int:
    return min((each for each in (one, other) if each != resource.RLIM_INFINITY), default=resource.RLIM_INFINITY)


def _controlled(name: str, option: int, value: int) -> str | None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *(ctypes.c_ulong(each) for each in (value, 0, 0, 0))) != 0:
        return f"{name}: {os.strerror(ctypes.get_errno())}"
    return None


def _filtered() -> str | None:
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        return f"seccomp: no list of system calls for {platform.machine()}"
    code = filter_program(architecture, os.getpid())
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    calls = (architecture.seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC)
    # A positive result is the number of a thread that could not be brought in line.
    result = libc.syscall(*(ctypes.c_long(each) for each in calls), ctypes.byref(program))
    if result != 0:
        why = os.strerror(ctypes.get_errno()) if result < 0 else f"thread {result} has another filter"
        return f"seccomp: {why}"
    return None
