"""The filter program, run by hand: no machine here is of both architectures."""

import re
import struct
from pathlib import Path

import pytest

from wayside_edge.compute.syscalls import (
    ABSENT,
    ALLOW,
    ARCHITECTURES,
    CLONE_THREAD,
    INSTRUCTION,
    KILL,
    NEWER,
    REFUSED,
    X32_BIT,
    Architecture,
    conditions,
    filter_program,
)

PID = 4711
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
DANGEROUS = """
kill tkill rt_sigqueueinfo rt_tgsigqueueinfo ptrace process_vm_readv process_vm_writev fork vfork execve execveat
socket socketpair connect sendto sendmsg shmget shmat shmctl msgget semget mq_open mq_unlink setpriority setrlimit
ioprio_set sched_setaffinity sched_setattr sched_setscheduler sched_setparam utimensat utime utimes setxattr
lsetxattr fsetxattr removexattr lremovexattr fremovexattr truncate ftruncate fallocate rename renameat renameat2
unlink unlinkat mkdir mkdirat mknod mknodat link linkat symlink symlinkat chmod fchmod fchmodat chown fchown
fchownat mount umount2 pivot_root chroot setns unshare bpf perf_event_open userfaultfd memfd_create keyctl add_key
request_key kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff acct seccomp
personality iopl ioperm clock_settime settimeofday adjtimex sethostname open_by_handle_at name_to_handle_at
timer_create inotify_init1 fanotify_init quotactl syslog vhangup chdir umask flock sendfile splice tee vmsplice
io_setup io_submit setuid setgid setgroups capset mlockall migrate_pages move_pages kcmp
"""
"""What a process could harm others with; by the kernel's names."""
NEW = {"pidfd_send_signal": 424, "io_uring_setup": 425, "clone3": 435, "openat2": 437, "pidfd_getfd": 438}


def _decision(
    architecture: Architecture, number: int, arguments: tuple[int, ...] = (), audit: int | None = None
) -> int:
    """What the program says to a call, after linux/filter.h; of its instructions those that it uses."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<iIQ6Q", number, audit or architecture.audit, 0, *padded)
    program = list(INSTRUCTION.iter_unpack(filter_program(architecture, PID)))
    held = at = 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            (held,) = struct.unpack_from("<I", data, operand)
        else:
            holds = {0x15: held == operand, 0x35: held >= operand, 0x45: bool(held & operand)}[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_call_gets_its_answer(name: str) -> None:
    architecture = ARCHITECTURES[name]
    listed = {number: call for call, number in architecture.numbers.items()}
    assert len(listed) == len(architecture.numbers)
    for number in range(600):
        call = listed.get(number)
        if call in conditions(PID):
            continue
        expected = ALLOW if call is not None else REFUSED if number < NEWER else ABSENT
        assert _decision(architecture, number) == expected, call


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_could_harm_others_is_refused(name: str) -> None:
    architecture = ARCHITECTURES[name]
    found = _of_the_kernel(name)
    calls = DANGEROUS.split()
    assert len(found.keys() & set(calls)) > 80
    for call in calls:
        if call in found:
            assert _decision(architecture, found[call]) == REFUSED, call
    for call, number in NEW.items():
        assert _decision(architecture, number) == ABSENT, call


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_arguments_decide_on_opening_cloning_and_signals(name: str) -> None:
    architecture = ARCHITECTURES[name]
    numbers = architecture.numbers
    assert _decision(architecture, numbers["clone"], (CLONE_THREAD | 0x100,)) == ALLOW
    assert _decision(architecture, numbers["clone"], (17,)) == REFUSED
    o_cloexec, o_directory = 0o2000000, 0o200000
    for flags in (0, o_cloexec, o_directory | o_cloexec):
        assert _decision(architecture, numbers["openat"], (0, 0, flags)) == ALLOW
    for writing in (0o1, 0o2, 0o100, 0o1000, 0o2000):
        assert _decision(architecture, numbers["openat"], (0, 0, writing | o_cloexec)) == REFUSED
        if "open" in numbers:
            assert _decision(architecture, numbers["open"], (0, writing)) == REFUSED
            assert _decision(architecture, numbers["open"], (0, 0, writing)) == ALLOW
    assert _decision(architecture, numbers["tgkill"], (PID, PID + 1, 6)) == ALLOW
    assert _decision(architecture, numbers["tgkill"], (PID + 1, PID, 9)) == REFUSED
    assert [_decision(architecture, numbers["prlimit64"], (pid,)) for pid in (0, PID)] == [ALLOW] * 2
    assert _decision(architecture, numbers["prlimit64"], (1,)) == REFUSED
    f_setown, f_getfd, tiocsti, tcgets, pr_set_dumpable, pr_set_name = 8, 1, 0x5412, 0x5401, 4, 15
    for call, place, good, bad in (
        ("fcntl", 1, f_getfd, f_setown),
        ("ioctl", 1, tcgets, tiocsti),
        ("prctl", 0, pr_set_name, pr_set_dumpable),
    ):
        for value, expected in ((good, ALLOW), (bad, REFUSED)):
            assert _decision(architecture, numbers[call], (0,) * place + (value,)) == expected, (call, value)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_ways_into_the_kernel_are_closed(name: str) -> None:
    architecture = ARCHITECTURES[name]
    i386 = 0x40000003
    assert _decision(architecture, 1, audit=i386) == KILL
    if architecture.x32:
        assert _decision(architecture, X32_BIT | 41) == REFUSED


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernel(name: str) -> None:
    found = _of_the_kernel(name)
    known = {call: number for call, number in ARCHITECTURES[name].numbers.items() if call in found}
    assert len(known) == len(ARCHITECTURES[name].numbers)
    assert {call: found[call] for call in known} == known
    assert found["seccomp"] == ARCHITECTURES[name].seccomp


def _of_the_kernel(name: str) -> dict[str, int]:
    """Its numbers by its names; the test is skipped where its headers are missing."""
    header = HEADERS[name]
    if not header.exists():
        pytest.skip(f"no {header}")
    found = {
        call: int(number)
        for call, number in re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", header.read_text(), re.MULTILINE)
    }
    return {"newfstatat" if call == "fstatat" else call: number for call, number in found.items()}
