"""Modules that mean harm or are broken, in the real worker: each is answered with its failure, in time, and bounded."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from wayside_shared.stage_block import READING, Block, BlockSeries
from wayside_shared.stage_worker import MAX_EVENTS, MAX_LINE_BYTES, MAX_STATE_BYTES, Done, Failed, Failure, Process
from wayside_testkit.models import autoencoder
from wayside_testkit.stage import LIMITS, Worker, block, load, processed, write_wat
from wayside_testkit.wat import SPIN, module, processing

GIVEN = block("greenhouse.temperature", "Cel", [20.0, 21.0, 22.0])
ENDLESS_FUEL = replace(LIMITS, fuel=1 << 62, deadline_ms=400)
BYTES = len(GIVEN.encode())
LOG = '(import "wayside" "log" (func $log (param i32 i32 i32)))'
EVENT = '(import "wayside" "event" (func $event (param i32 i32)))'
FLOOD = "(local $n i32) (loop $on {call} (br_if $on (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))"
FLOOD += " (i32.const {count})))) (i64.const 0)"
GROW = "(loop $on (br_if $on (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"
DEEPER = "(func $deeper (result i64) (call $deeper) drop (call $deeper))"
SAY = "(call $log (i32.const 10) (i32.const {}) (i32.const 9))"
CONFIGURE = '(func (export "wayside_configure") (param i32 i32) (result i32) {})'
RESTORE = '(func (export "wayside_restore") (param i32 i32) (result i32) {})'
SAVE = '(func (export "wayside_save") (result i64) {})'


def _alloc(body: str) -> str:
    return module(alloc=f'(func (export "wayside_alloc") (param i32) (result i32) {body})')


def _gives(pointer: int, size: int) -> str:
    return processing(f"(i64.const {pointer << 32 | size})")


def _data(bytes_: bytes) -> str:
    escaped = "".join(f"\\{one:02x}" for one in bytes_)
    return processing(f"(i64.const {8192 << 32 | len(bytes_)})", f'(data (i32.const 8192) "{escaped}")')


NAN_READING = GIVEN.encode()[:32] + READING.pack(0, float("nan"), 0, 0) + GIVEN.encode()[32 + READING.size :]
NO_NAME = Block([BlockSeries("no name", "Cel")], []).encode()
NO_UNIT = Block([BlockSeries("name", "degree Celsius")], []).encode()

AT_LOAD = {
    "its start function spins": (module("(func $go (loop $on (br $on)))", "(start $go)"), Failure.FUEL),
    "its start function traps": (module("(func $go unreachable)", "(start $go)"), Failure.TRAP),
    "wayside_abi spins": (module(abi=f'(func (export "wayside_abi") (result i32) {SPIN})'), Failure.FUEL),
    "wayside_configure spins": (module(CONFIGURE.format(SPIN)), Failure.FUEL),
    "wayside_configure refuses": (module(CONFIGURE.format("i32.const 7")), Failure.REFUSED),
    "wayside_save spins": (module(SAVE.format(SPIN)), Failure.FUEL),
    "wayside_save gives too much": (module(SAVE.format(f"i64.const {MAX_STATE_BYTES}")), Failure.OUTPUT),
    "wayside_save points outside": (module(SAVE.format(f"i64.const {0x7FFF0000 << 32 | 64}")), Failure.OUTPUT),
    "another version": (module(abi='(func (export "wayside_abi") (result i32) i32.const 2)'), Failure.ABI),
    "no wayside_alloc": (module(alloc=""), Failure.ABI),
    "no wayside_process": (module(process=""), Failure.ABI),
    "no memory": (module(memory="(memory 2)"), Failure.ABI),
    "memory is a function": (module('(func (export "memory"))', memory="(memory 2)"), Failure.ABI),
    "another signature": (
        module(process='(func (export "wayside_process") (param i32) (result i32) i32.const 0)'),
        Failure.ABI,
    ),
    "a foreign import": (module(imports='(import "env" "abort" (func))'), Failure.ABI),
    "WASI": (
        module(imports='(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))'),
        Failure.ABI,
    ),
    "an import of another type": (module(imports='(import "wayside" "log" (func (param i32)))'), Failure.ABI),
    "an imported memory": (
        module(memory='(import "env" "memory" (memory 1)) (export "memory" (memory 0))'),
        Failure.ABI,
    ),
    "memory of 64 bits": (module(memory='(memory (export "memory") i64 2)'), Failure.ABI),
    "more memory than it may have": (module(memory='(memory (export "memory") 64)'), Failure.MEMORY),
    "a table without end": (module("(table 1000000 funcref)"), Failure.ABI),
    "data outside its memory": (module('(data (i32.const 200000) "x")'), Failure.TRAP),
}
AT_WORK = {
    "an endless loop": (processing(SPIN), Failure.FUEL),
    "wayside_alloc spins": (_alloc(SPIN), Failure.FUEL),
    "wayside_reset spins": (module(f'(func (export "wayside_reset") {SPIN})'), Failure.FUEL),
    "a trap": (processing("unreachable"), Failure.TRAP),
    "it reads outside its memory": (processing("(i64.load (i32.const 0x7fffffff))"), Failure.TRAP),
    "it divides by zero": (processing("(i64.div_s (i64.const 1) (i64.const 0))"), Failure.TRAP),
    "it calls itself": (processing("(call $deeper)", DEEPER), Failure.TRAP),
    "memory without end": (processing(f"{GROW} unreachable"), Failure.TRAP),
    "it has no room": (_alloc("i32.const 0"), Failure.MEMORY),
    "room outside its memory": (_alloc("i32.const 0x7ffffff8"), Failure.TRAP),
    "room at the end of its memory": (_alloc("i32.const 131064"), Failure.TRAP),
    "crooked room": (_alloc("i32.const 4099"), Failure.ABI),
    "it refuses": (processing("(i64.const -3)"), Failure.REFUSED),
    "garbage": (_data(random.Random(5).randbytes(512)), Failure.OUTPUT),
    "a part of a block": (_gives(4096, BYTES - 1), Failure.OUTPUT),
    "no byte of a block": (_gives(4096, 0), Failure.OUTPUT),
    "a block outside its memory": (_gives(0x7FFFFFFF, 64), Failure.OUTPUT),
    "a block that begins inside": (_gives(131072 - 16, 64), Failure.OUTPUT),
    "a block without end": (_gives(0, 0xFFFFFFFF), Failure.OUTPUT),
    "readings without end": (_data(b"\1\0\0\0\1\0\0\0\xff\xff\xff\xff\0\0\0\0"), Failure.OUTPUT),
    "a number that is none": (_data(NAN_READING), Failure.OUTPUT),
    "a series without name": (_data(NO_NAME), Failure.OUTPUT),
    "a series without unit": (_data(NO_UNIT), Failure.OUTPUT),
    "a log line outside its memory": (processing(f"{SAY.format(0x7FFFFFFF)} (i64.const 0)", imports=LOG), Failure.TRAP),
    "an event of negative size": (
        processing("(call $event (i32.const 0) (i32.const -1)) (i64.const 0)", imports=EVENT),
        Failure.TRAP,
    ),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    return lambda text: write_wat(tmp_path, text)


def _failed(worker: Worker, answer: Done | Failed, failure: Failure) -> Failed:
    """The answer, which must be this failure, and the worker gone with nothing else said."""
    assert isinstance(answer, Failed), answer
    assert answer.failure is failure, answer
    assert answer.detail
    status, said = worker.end()
    assert (status, said) == (1, "")
    return answer


@pytest.mark.parametrize("name", AT_LOAD)
def test_a_bad_module_is_refused_when_it_is_loaded(name: str, write: Callable[[str], Path]) -> None:
    text, failure = AT_LOAD[name]
    with Worker() as worker:
        _failed(worker, worker.ask(load(write(text))), failure)


@pytest.mark.parametrize("name", AT_WORK)
def test_a_bad_module_is_stopped_when_it_works(name: str, write: Callable[[str], Path]) -> None:
    text, failure = AT_WORK[name]
    with Worker() as worker:
        began = worker.ask(load(write(text)))
        assert isinstance(began, Done) or name == "wayside_reset spins", began
        answer = worker.ask(Process(GIVEN.encode())) if isinstance(began, Done) else began
        _failed(worker, answer, failure)


SPINNING = {
    "start": module("(func $go (loop $on (br $on)))", "(start $go)"),
    "wayside_configure": module(CONFIGURE.format(SPIN)),
    "wayside_save": module(SAVE.format(SPIN)),
    "wayside_process": processing(SPIN),
    "wayside_alloc": AT_WORK["wayside_alloc spins"][0],
    "wayside_process logging": processing(f"(loop $on {SAY.format(0)} (br $on)) {SPIN}", imports=LOG),
}


def _stopped_after_s(module_file: Path) -> float | None:
    """How long a call went on; None when the module was stopped while it was loaded."""
    with Worker() as worker:
        took_s = None
        answer = worker.ask(load(module_file, limits=ENDLESS_FUEL))
        if isinstance(answer, Done):
            began_s = time.monotonic()
            answer = worker.ask(Process(GIVEN.encode()))
            took_s = time.monotonic() - began_s
        _failed(worker, answer, Failure.DEADLINE)
        return took_s


@pytest.mark.parametrize("where", SPINNING)
def test_a_module_with_fuel_left_is_stopped_at_its_deadline(where: str, write: Callable[[str], Path]) -> None:
    module_file = write(SPINNING[where])
    took_s = _stopped_after_s(module_file)
    for _ in range(4):
        if took_s is None or took_s < 0.8:
            break
        took_s = _stopped_after_s(module_file)  # a busy machine wakes late who stops it, but not every time
    assert took_s is None or 0.4 <= took_s < 0.8, took_s


def test_what_a_failing_module_said_last_stands_in_the_failure(write: Callable[[str], Path]) -> None:
    body = "(call $log (i32.const 40) (i32.const 8192) (i32.const 9)) (i64.const -2)"
    text = processing(body, '(data (i32.const 8192) "no series")', imports=LOG)
    with Worker() as worker:
        worker.ask(load(write(text)))
        answer = _failed(worker, worker.ask(Process(GIVEN.encode())), Failure.REFUSED)
    assert answer.detail == "wayside_process returned -2 (no series)"


def test_the_names_of_what_is_foreign_are_told(write: Callable[[str], Path]) -> None:
    imports = '(import "env" "abort" (func)) (import "wayside" "socket" (func))'
    with Worker() as worker:
        answer = _failed(worker, worker.ask(load(write(module(imports=imports, alloc="")))), Failure.ABI)
    assert "env.abort" in answer.detail
    assert "wayside.socket" in answer.detail
    assert "wayside_alloc(i32) -> i32" in answer.detail


@pytest.mark.parametrize("flood", ["log", "event"])
def test_a_flood_is_cut_off_and_counted(flood: str, write: Callable[[str], Path]) -> None:
    arguments = "(i32.const 8192) (i32.const 20000)"
    call = f"(call $log (i32.const 30) {arguments})" if flood == "log" else f"(call $event {arguments})"
    body = FLOOD.format(call=call, count=1000)
    text = processing(body, '(data (i32.const 8192) "a\\0ab\\ff")', imports=LOG if flood == "log" else EVENT)
    with Worker() as worker:
        worker.ask(load(write(text)))
        done, given = processed(worker, GIVEN)
    assert given.readings == []
    lines = list(done.events) if flood == "event" else [line for _, line in done.log]
    assert len(lines) == MAX_EVENTS
    assert done.left_out == 1000 - MAX_EVENTS
    assert max(len(line.encode()) for line in lines) <= MAX_LINE_BYTES
    assert lines[0].startswith("a b�")
    assert lines[0].endswith("…")


def test_a_memory_that_cannot_grow_stays_within_its_limit(write: Callable[[str], Path]) -> None:
    fill = "(memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))"
    text = processing(f"{GROW} {fill} (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 32))")
    most = replace(LIMITS, memory_bytes=16 << 20)
    with Worker() as worker:
        worker.ask(load(write(text), limits=most))
        before_mb = worker.memory_mb()
        answer = worker.ask(Process(GIVEN.encode()))
        grown_mb = worker.memory_mb() - before_mb
        _failed(worker, answer, Failure.OUTPUT)
    # A memory that grows is copied: for a moment there are two.
    assert grown_mb < 2 * 16.8 + 2


def test_files_that_are_no_modules_or_others_are_refused(tmp_path: Path) -> None:
    good = bytes(wat2wasm(module()))
    file = tmp_path / "module.wasm"
    cases = [
        (b"", Failure.ABI),
        (b"not a module", Failure.ABI),
        (b"(module)", Failure.ABI),
        (good[:-7], Failure.ABI),
        (good + b"\0" * (2 << 20), Failure.FILE),
    ]
    for data, failure in cases:
        file.write_bytes(data)
        with Worker() as worker:
            _failed(worker, worker.ask(load(file)), failure)
    file.write_bytes(autoencoder())
    with Worker() as worker:
        assert 'kind = "tflite"' in _failed(worker, worker.ask(load(file)), Failure.ABI).detail
    file.write_bytes(good)
    asked = load(file)
    os.mkfifo(tmp_path / "pipe")
    for other in (
        replace(asked, sha256="0" * 64),
        replace(asked, file=f"{file}x"),
        replace(asked, file=str(tmp_path)),
        replace(asked, file=str(tmp_path / "pipe")),
    ):
        with Worker() as worker:
            _failed(worker, worker.ask(other), Failure.FILE)


def test_what_it_exports_beside_the_interface_ends_no_process(write: Callable[[str], Path]) -> None:
    with Worker() as worker:
        assert isinstance(worker.ask(load(write(module('(func (export "vectors") (param v128))')))), Done)
        assert processed(worker, GIVEN)[1] == GIVEN


def _binary(*bodies: bytes) -> bytes:
    """A module of functions without parameters."""
    head = b"\0asm\1\0\0\0" + b"\1\4\1\x60\0\0"
    count = _leb(len(bodies))
    code = count + b"".join(_leb(len(body)) + body for body in bodies)
    functions = count + bytes(len(bodies))
    return head + b"\3" + _leb(len(functions)) + functions + b"\x0a" + _leb(len(code)) + code


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        ([b"\0" + b"\x02\x40" * 600_000 + b"\x0b" * 600_001], "a function of it has"),
        ([b"\1" + b"\xd0\x86\x03\x7f\x0b"] * 30_000, "30000 functions"),
        ([b"\1" + b"\xd0\x86\x03\x7f\x0b"] * 20_000, "variables"),
    ],
)
def test_a_module_that_would_take_too_much_to_compile_is_refused_before(
    tmp_path: Path, bodies: list[bytes], said: str
) -> None:
    file = tmp_path / "module.wasm"
    file.write_bytes(_binary(*bodies))
    with Worker() as worker:
        assert said in _failed(worker, worker.ask(load(file)), Failure.ABI).detail


COMPILE = """
import sys
from pathlib import Path
from wayside_edge.compute import compiling
from wayside_edge.compute.engine import compiled, make_engine
from wayside_edge.compute.serving import StageError
from wayside_shared.stage_worker import Load

file, cache, room = sys.argv[1:]
compiling.COMPILING_BYTES = int(room)
try:
    compiled(make_engine(), Load(file, "0" * 64, cache=cache), Path(file).read_bytes(), print)
    print("compiled")
except StageError as error:
    print(error.failure.value, error.detail)
"""


def test_what_did_not_compile_within_bounds_is_not_tried_again(write: Callable[[str], Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    file = write(module(*[f"(func (result i32) i32.const {place})" for place in range(3000)]))

    def compiled(room: int) -> str:
        command = [sys.executable, "-c", COMPILE, str(file), str(cache), str(room)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert compiled(1 << 20).startswith("memory compiling it takes more than")
    assert "as was found before" in compiled(1 << 28)
    for kept in cache.glob("*.cwasm"):
        kept.unlink()
    assert compiled(1 << 28) == "compiled\n"
    assert compiled(1 << 20) == "compiled\n"


def _leb(number: int) -> bytes:
    """LEB128, as WebAssembly writes sizes."""
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _leb(high) if high else bytes([low])


def test_flipped_bits_give_a_failure_or_a_module_and_never_a_crash(tmp_path: Path) -> None:
    source = random.Random(11)
    good = bytes(wat2wasm(module(SAVE.format("i64.const 0"), CONFIGURE.format("i32.const 0"))))
    file = tmp_path / "module.wasm"
    seen: set[Failure | None] = set()
    for _ in range(8):
        data = bytearray(good)
        data[source.randrange(8, len(data))] ^= 1 << source.randrange(8)
        file.write_bytes(data)
        with Worker() as worker:
            answer = worker.ask(load(file))
            if isinstance(answer, Done):
                answer = worker.ask(Process(GIVEN.encode()))
            seen.add(None if isinstance(answer, Done) else answer.failure)
            assert worker.end()[1] == ""
    assert Failure.ABI in seen
    assert Failure.CRASH not in seen


def test_the_others_of_a_stopped_module_are_not_touched(write: Callable[[str], Path]) -> None:
    """A spinning module takes its own process and leaves the agent's other workers their answers."""
    with Worker() as good, Worker() as bad:
        good.ask(load(write(module())))
        bad.ask(load(write(processing(SPIN)), limits=ENDLESS_FUEL))
        bad.send(b"")
        _failed(bad, bad.ask(Process(GIVEN.encode())), Failure.DEADLINE)
        _, given = processed(good, GIVEN)
    assert given == GIVEN
