"""The system calls that a stage's process is refused, as a filter program of the kernel (seccomp, classic BPF).

Sources: asm/unistd_64.h (x86-64), asm-generic/unistd.h (AArch64); linux/seccomp.h, linux/bpf_common.h, linux/audit.h.
"""

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

INSTRUCTION: Final = struct.Struct("<HBBI")
"""struct sock_filter: code, jump if true, jump if false, operand."""

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
"""Places in struct seccomp_data, in bytes."""
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000
X32_BIT: Final = 0x40000000
"""Numbers from here on are calls of the x32 interface, another way to all of them."""

WRITING: Final = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND: the same on both architectures."""
CLONE_THREAD: Final = 0x00010000

NEW = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "clone3": 435,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "fchmodat2": 452,
}
"""Calls since Linux 5.1 have the same number everywhere."""

X86_64: Final[Mapping[str, int]] = {
    "open": 2, "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
    "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "truncate": 76, "rename": 82,
    "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "chmod": 90, "fchmod": 91,
    "chown": 92, "fchown": 93, "lchown": 94, "ptrace": 101, "mknod": 133, "personality": 135, "pivot_root": 155,
    "acct": 163, "chroot": 161, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170,
    "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "setxattr": 188, "lsetxattr": 189,
    "fsetxattr": 190, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "openat": 257,
    "mkdirat": 258, "mknodat": 259, "fchownat": 260, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266,
    "fchmodat": 268, "unshare": 272, "accept4": 288, "perf_event_open": 298, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313,
    "renameat2": 316, "seccomp": 317, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "execveat": 322,
    "userfaultfd": 323, **NEW,
}  # fmt: skip

AARCH64: Final[Mapping[str, int]] = {
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36,
    "linkat": 37, "renameat": 38, "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45, "chroot": 51,
    "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "openat": 56, "acct": 89, "personality": 92,
    "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106, "ptrace": 117, "kill": 129,
    "reboot": 142, "sethostname": 161, "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202,
    "connect": 203, "sendto": 206, "sendmsg": 211, "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220,
    "execve": 221, "swapon": 224, "perf_event_open": 241, "accept4": 242, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273,
    "renameat2": 276, "seccomp": 277, "memfd_create": 279, "bpf": 280, "execveat": 281, "userfaultfd": 282,
    "kexec_file_load": 294, **NEW,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a kernel numbers its calls.

    Args:
        audit: its AUDIT_ARCH_ constant.
        numbers: of the calls that the filter speaks of, and of seccomp itself.
        x32: whether the calls can be reached by the x32 interface too.
    """

    audit: int
    numbers: Mapping[str, int]
    x32: bool = False


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "x86_64": Architecture(0xC000003E, X86_64, x32=True),
    "aarch64": Architecture(0xC00000B7, AARCH64),
}
"""By the machine's name in uname(2)."""

BY_ARGUMENT: Final = {"open": (1, WRITING), "openat": (2, WRITING), "clone": (0, CLONE_THREAD)}
"""Calls whose flags decide: which argument holds them, and which bits. Opening with any of the bits is refused, and
cloning without its bit: what is then no thread is a process."""


def filter_program(architecture: Architecture) -> bytes:
    """The program: anything else than what it names is allowed; calls of another architecture end the process."""
    numbers = architecture.numbers
    # glibc falls back from clone3, whose flags a filter cannot see, to clone when there is no such call.
    missing = {"clone3"}
    refused = sorted(number for name, number in numbers.items() if name not in {*BY_ARGUMENT, *missing})
    refuse, absent = ERROR | errno.EPERM, ERROR | errno.ENOSYS
    code: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, architecture.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if architecture.x32:
        code += [(JUMP_AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, refuse)]
    code += [(JUMP_EQUAL, 0, 1, numbers["clone3"]), (RETURN, 0, 0, absent)]
    for name, (argument, bits) in BY_ARGUMENT.items():
        if name in numbers:
            code += _by_argument(numbers[name], argument, bits, refuse if bits == WRITING else ALLOW)
    code += [(JUMP_EQUAL, len(refused) - place, 0, number) for place, number in enumerate(refused)]
    code += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, refuse)]
    return b"".join(INSTRUCTION.pack(*each) for each in code)


def _by_argument(number: int, argument: int, bits: int, if_set: int) -> Sequence[tuple[int, int, int, int]]:
    other = ALLOW if if_set != ALLOW else ERROR | errno.EPERM
    return [
        (JUMP_EQUAL, 0, 4, number),
        (LOAD, 0, 0, ARGUMENTS_AT + 8 * argument),
        (JUMP_BITS, 0, 1, bits),
        (RETURN, 0, 0, if_set),
        (RETURN, 0, 0, other),
    ]
