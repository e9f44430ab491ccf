"""The filter program, run by hand: no machine here is of both architectures."""

import errno
import re
import struct
from pathlib import Path

import pytest

from wayside_edge.compute.syscalls import (
    ALLOW,
    ARCHITECTURES,
    BY_ARGUMENT,
    CLONE_THREAD,
    ERROR,
    INSTRUCTION,
    KILL,
    X32_BIT,
    Architecture,
    filter_program,
)

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
REFUSED = ERROR | errno.EPERM


def _decision(
    architecture: Architecture, number: int, arguments: tuple[int, ...] = (), audit: int | None = None
) -> int:
    """What the program says to a call, after linux/filter.h; of its instructions those that it uses."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<iIQ6Q", number, audit or architecture.audit, 0, *padded)
    program = list(INSTRUCTION.iter_unpack(filter_program(architecture)))
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
    for number in range(500):
        call = listed.get(number)
        if call in BY_ARGUMENT:
            continue
        expected = ALLOW if call is None else ERROR | errno.ENOSYS if call == "clone3" else REFUSED
        assert _decision(architecture, number) == expected, call


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_flags_decide_on_opening_and_cloning(name: str) -> None:
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


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_ways_into_the_kernel_are_closed(name: str) -> None:
    architecture = ARCHITECTURES[name]
    i386 = 0x40000003
    assert _decision(architecture, 1, audit=i386) == KILL
    if architecture.x32:
        assert _decision(architecture, X32_BIT | 41) == REFUSED


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernel(name: str) -> None:
    header = HEADERS[name]
    if not header.exists():
        pytest.skip(f"no {header}")
    found = {
        call: int(number)
        for call, number in re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", header.read_text(), re.MULTILINE)
    }
    known = {call: number for call, number in ARCHITECTURES[name].numbers.items() if call in found}
    assert len(known) >= len(ARCHITECTURES[name].numbers) - 2, "the headers may be older than the newest calls"
    assert {call: found[call] for call in known} == known
