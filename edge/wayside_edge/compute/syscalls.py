"""The system calls that a stage's process may make, as a filter program of the kernel (seccomp, classic BPF).

A list of what is allowed: what is not on it, and what kernels have yet to get, is refused. Sources: asm/unistd_64.h
(x86-64), asm-generic/unistd.h (AArch64); linux/seccomp.h, linux/bpf_common.h, linux/audit.h, asm-generic/fcntl.h.
"""

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

INSTRUCTION: Final = struct.Struct("<HBBI")
"""struct sock_filter: code, jump if true, jump if false, operand."""

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
"""Places in struct seccomp_data, in bytes. Of an argument its lower half is looked at: the kernel takes an int of all
that conditions speak of, or ignores the upper half."""
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000
REFUSED: Final = ERROR | errno.EPERM
ABSENT: Final = ERROR | errno.ENOSYS
X32_BIT: Final = 0x40000000
"""Numbers from here on are calls of the x32 interface, another way to all of them."""
NEWER: Final = 424
"""Calls since Linux 5.1, with the same number everywhere. Libraries fall back to older ones where they are absent, but
not where they are refused; glibc falls back from clone3, whose flags a filter cannot see, to clone."""

WRITING: Final = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND: the same on both architectures."""
CLONE_THREAD: Final = 0x00010000
FCNTL: Final = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC. With F_SETOWN a file could signal another process."""
IOCTL: Final = (0x5401, 0x5451, 0x802C542A)
"""TCGETS, FIOCLEX and TCGETS2: Python asks each file that it opens whether it is a terminal."""
PRCTL: Final = (15, 16, 0x53564D41)
"""PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: names of threads and of memory."""
ARCH_PRCTL: Final = (0x1021, 0x1022, 0x1023)
"""ARCH_GET_XCOMP_SUPP, ARCH_GET_XCOMP_PERM, ARCH_REQ_XCOMP_PERM: the matrix unit of the processor."""

X86_64: Final[Mapping[str, int]] = {
    "read": 0, "write": 1, "futex": 202, "clock_gettime": 228, "close": 3, "fstat": 5, "stat": 4, "lstat": 6,
    "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19, "writev": 20, "access": 21, "select": 23,
    "sched_yield": 24, "mremap": 25, "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35,
    "getpid": 39, "exit": 60, "uname": 63, "getcwd": 79, "readlink": 89, "gettimeofday": 96, "getrlimit": 97,
    "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108,
    "getppid": 110, "sigaltstack": 131, "statfs": 137, "fstatfs": 138, "gettid": 186, "time": 201,
    "sched_getaffinity": 204, "getdents64": 217, "set_tid_address": 218, "restart_syscall": 219, "fadvise64": 221,
    "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "newfstatat": 262, "readlinkat": 267,
    "faccessat": 269, "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "get_robust_list": 274, "dup3": 292,
    "getcpu": 309, "getrandom": 318, "membarrier": 324, "statx": 332, "rseq": 334,
    "open": 2, "ioctl": 16, "clone": 56, "fcntl": 72, "prctl": 157, "arch_prctl": 158, "tgkill": 234, "openat": 257,
    "prlimit64": 302,
}  # fmt: skip

AARCH64: Final[Mapping[str, int]] = {
    "read": 63, "write": 64, "futex": 98, "clock_gettime": 113, "close": 57, "getcwd": 17, "dup": 23, "dup3": 24,
    "statfs": 43, "fstatfs": 44, "faccessat": 48, "getdents64": 61, "lseek": 62, "readv": 65, "writev": 66,
    "pread64": 67, "pselect6": 72, "ppoll": 73, "readlinkat": 78, "newfstatat": 79, "fstat": 80, "exit": 93,
    "exit_group": 94, "set_tid_address": 96, "set_robust_list": 99, "get_robust_list": 100, "nanosleep": 101,
    "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128,
    "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160,
    "getrlimit": 163, "getrusage": 165, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "getppid": 173,
    "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179, "brk": 214,
    "munmap": 215, "mremap": 216, "mmap": 222, "fadvise64": 223, "mprotect": 226, "mincore": 232, "madvise": 233,
    "getrandom": 278, "membarrier": 283, "statx": 291, "rseq": 293,
    "fcntl": 25, "ioctl": 29, "openat": 56, "tgkill": 131, "prctl": 167, "clone": 220, "prlimit64": 261,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a kernel numbers its calls.

    Args:
        audit: its AUDIT_ARCH_ constant.
        numbers: of the calls that are allowed, the most frequent ones first.
        seccomp: number of the call that puts the filter in force.
        x32: whether the calls can be reached by the x32 interface too.
    """

    audit: int
    numbers: Mapping[str, int]
    seccomp: int
    x32: bool = False


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "x86_64": Architecture(0xC000003E, X86_64, 317, x32=True),
    "aarch64": Architecture(0xC00000B7, AARCH64, 277),
}
"""By the machine's name in uname(2)."""


class Must(Enum):
    """What has to hold of an argument."""

    LACK = "lack"
    """None of the bits is set."""
    HAVE = "have"
    """One of the bits is set."""
    BE = "be"
    """It is one of the numbers."""


Condition: TypeAlias = tuple[int, Must, Sequence[int]]
"""Which argument, what has to hold, and the bits or numbers."""


def conditions(pid: int) -> Mapping[str, Condition]:
    """Of the calls that are allowed only under one: it. Cloning without `CLONE_THREAD` would make a process.

    Args:
        pid: of the process, which may signal itself and nobody else.
    """
    return {
        "open": (1, Must.LACK, (WRITING,)),
        "openat": (2, Must.LACK, (WRITING,)),
        "clone": (0, Must.HAVE, (CLONE_THREAD,)),
        "tgkill": (0, Must.BE, (pid,)),
        "prlimit64": (0, Must.BE, (0, pid)),
        "fcntl": (1, Must.BE, FCNTL),
        "ioctl": (1, Must.BE, IOCTL),
        "prctl": (0, Must.BE, PRCTL),
        "arch_prctl": (0, Must.BE, ARCH_PRCTL),
    }


def filter_program(architecture: Architecture, pid: int) -> bytes:
    """The program: what it does not name is refused; calls of another architecture end the process.

    Args:
        architecture: the machine's.
        pid: of the process that it is for.
    """
    numbers = architecture.numbers
    under = conditions(pid)
    free = [number for name, number in numbers.items() if name not in under]
    code: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, architecture.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if architecture.x32:
        code += [(JUMP_AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, REFUSED)]
    # The last of them jumps over the next instruction to the one that allows.
    code += [(JUMP_EQUAL, len(free) - place, 0, number) for place, number in enumerate(free)]
    code += [(JUMP_AT_LEAST, 1, 2, NEWER), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ABSENT)]
    for name, condition in under.items():
        if name in numbers:
            code += _under(numbers[name], condition)
    code.append((RETURN, 0, 0, REFUSED))
    return b"".join(INSTRUCTION.pack(*each) for each in code)


def _under(number: int, condition: Condition) -> Sequence[tuple[int, int, int, int]]:
    argument, must, operands = condition
    jump = JUMP_EQUAL if must is Must.BE else JUMP_BITS
    if_true, if_false = (REFUSED, ALLOW) if must is Must.LACK else (ALLOW, REFUSED)
    tests = [(jump, len(operands) - place, 0, operand) for place, operand in enumerate(operands)]
    return [
        (JUMP_EQUAL, 0, len(tests) + 3, number),
        (LOAD, 0, 0, ARGUMENTS_AT + 8 * argument),
        *tests,
        (RETURN, 0, 0, if_false),
        (RETURN, 0, 0, if_true),
    ]
