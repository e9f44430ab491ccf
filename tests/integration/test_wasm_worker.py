"""The worker of WebAssembly stages as the agent sees it: settings, state, clocks, cache, and how it ends."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from wayside_edge.compute.engine import SETUP, Ticker, make_engine
from wayside_edge.compute.serving import StageError
from wayside_shared.cbor import dumps, loads_map
from wayside_shared.stage_worker import Done, Failed, Failure, Process, encode_frame
from wayside_testkit.stage import Worker, block, load, processed, write_wat
from wayside_testkit.wat import module, processing

SUM = "local.get 0" + " i64.const 3 i64.rotl local.get 0 i64.add" * 200
GIVEN = block("greenhouse.temperature", "Cel", [20.0, 21.5, -3.0], begin_ns=5, step_ns=10**9)
EVENT = '(import "wayside" "event" (func $event (param i32 i32)))'
TELLING = module(
    '(func (export "wayside_configure") (param i32 i32) (result i32)'
    " (call $event (local.get 0) (local.get 1)) (i32.const 0))",
    imports=EVENT,
)
"""Tells its settings as an event."""
COUNTING = processing(
    "(i32.store8 (i32.const 64) (i32.add (i32.load8_u (i32.const 64)) (i32.const 1)))"
    " (call $event (i32.const 64) (i32.const 1)) (i64.const 0)",
    '(data (i32.const 64) "0")',
    f'(func (export "wayside_save") (result i64) (i64.const {64 << 32 | 1}))',
    '(func (export "wayside_restore") (param i32 i32) (result i32)'
    " (i32.store8 (i32.const 64) (i32.load8_u (local.get 0))) (i32.ne (local.get 1) (i32.const 1)))",
    '(func (export "wayside_configure") (param i32 i32) (result i32)'
    " (call $event (local.get 0) (local.get 1)) (i32.const 0))",
    imports=EVENT,
)
"""Counts blocks, as an event of one digit each, and keeps the count."""


def _begun(worker: Worker, file: Path, **more: object) -> Done:
    done = worker.ask(load(file, **more))  # type: ignore[arg-type]
    assert isinstance(done, Done), done
    return done


def test_a_block_goes_through_unchanged_and_is_accounted(tmp_path: Path) -> None:
    with Worker() as worker:
        began = _begun(worker, write_wat(tmp_path, module()))
        done, given = processed(worker, GIVEN)
        assert given == GIVEN
        assert done.fuel > 0
        assert done.used_us > 0
        assert began.log == ()
        assert worker.memory_mb() < 60
        assert worker.end() == (0, "")


def test_a_module_may_give_nothing(tmp_path: Path) -> None:
    with Worker() as worker:
        _begun(worker, write_wat(tmp_path, processing("(i64.const 0)")))
        done, given = processed(worker, GIVEN)
    assert done.block == b""
    assert given.readings == []


def test_settings_arrive_as_lines_beside_those_of_the_host(tmp_path: Path) -> None:
    with Worker() as worker:
        done = _begun(worker, write_wat(tmp_path, TELLING), settings={"b": 0.5, "a": True}, inputs=("x.power", "y"))
    # Line breaks are no signs of a line for people.
    assert done.events == ("a=true b=0.5 wayside.clock=boot wayside.inputs=x.power,y wayside.rebooted=false ",)


def test_settings_that_nobody_reads_are_refused(tmp_path: Path) -> None:
    with Worker() as worker:
        answer = worker.ask(load(write_wat(tmp_path, module()), settings={"factor": 2}))
    assert answer == Failed(Failure.REFUSED, "the module has no settings, but is given factor")
    for settings in ({"wayside.clock": "utc"}, {"a": "b\nc"}):
        with Worker() as worker:
            answer = worker.ask(load(write_wat(tmp_path, TELLING), settings=settings))
        assert isinstance(answer, Failed)
        assert answer.failure is Failure.REFUSED


def test_state_goes_on_in_another_worker_and_clocks_have_their_own(tmp_path: Path) -> None:
    file = write_wat(tmp_path, COUNTING)
    with Worker() as worker:
        _begun(worker, file)
        assert [processed(worker, GIVEN)[0].events for _ in range(2)] == [("1",), ("2",)]
        assert processed(worker, GIVEN, "utc")[0].events[-1] == "1"
        done, _ = processed(worker, GIVEN)
        assert done.events == ("3",)
    with Worker() as worker:
        began = _begun(worker, file, state=done.state)
        # The state of a clock that sent nothing yet is kept too.
        assert began.state == done.state
        assert "wayside.rebooted=false" in began.events[0]
        assert processed(worker, GIVEN)[0].events == ("4",)
        done, _ = processed(worker, GIVEN, "utc")
        assert done.events[-1] == "2"
        assert "wayside.clock=utc" in done.events[0]


def test_a_module_is_told_when_its_state_is_of_another_boot(tmp_path: Path) -> None:
    state = dumps({"boot": b"5", "utc": b"7", "boot_id": b"another"})
    with Worker() as worker:
        began = _begun(worker, write_wat(tmp_path, COUNTING), state=state)
        assert "wayside.rebooted=true" in began.events[0]
        assert processed(worker, GIVEN)[0].events == ("6",)
        # UTC goes on over a boot.
        done, _ = processed(worker, GIVEN, "utc")
        assert "wayside.rebooted=false" in done.events[0]
        assert done.events[-1] == "8"
        assert done.state is not None
        assert loads_map(done.state)["boot_id"] != b"another"


@pytest.mark.parametrize("state", [b"", b"garbage", dumps({"boot": 5}), dumps({"other": b""}), dumps({"boot": b"xx"})])
def test_state_that_cannot_be_is_refused(tmp_path: Path, state: bytes) -> None:
    with Worker() as worker:
        answer = worker.ask(load(write_wat(tmp_path, COUNTING), state=state))
    assert isinstance(answer, Failed)
    assert answer.failure is Failure.REFUSED


def test_a_clock_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with Worker() as worker:
        _begun(worker, write_wat(tmp_path, module()))
        answer = worker.ask(Process(GIVEN.encode(), "moon"))
    assert isinstance(answer, Failed)
    assert answer.failure is Failure.REFUSED


def test_a_module_is_compiled_once_and_a_damaged_cache_is_renewed(tmp_path: Path) -> None:
    file, cache = write_wat(tmp_path, module()), tmp_path / "cache"
    cache.mkdir(mode=0o700)
    with Worker() as worker:
        assert _begun(worker, file, cache=cache).log == ()
    (kept,) = cache.glob("*.cwasm")
    whole, inode = kept.read_bytes(), kept.stat().st_ino
    with Worker() as worker:
        assert _begun(worker, file, cache=cache).log == ()
        assert processed(worker, GIVEN)[1] == GIVEN
    assert kept.stat().st_ino == inode
    kept.write_bytes(whole[:100] + b"\xff" * 40 + whole[140:])
    with Worker() as worker:
        ((level, line),) = _begun(worker, file, cache=cache).log
        assert (level, "damaged" in line) == (30, True)
        assert processed(worker, GIVEN)[1] == GIVEN
    assert len(kept.read_bytes()) == len(whole)
    cache.chmod(0o755)
    with Worker() as worker:
        ((_, line),) = _begun(worker, file, cache=cache).log
        assert "open to others" in line


def test_a_worker_that_is_sent_nonsense_says_so_and_ends(tmp_path: Path) -> None:
    begun = encode_frame(load(write_wat(tmp_path, module())))
    for nonsense in (b"\x04\x00\x00\x00abcd", b"\xff\xff\xff\xff", encode_frame(Process(b"")), begun + begun):
        with Worker() as worker:
            worker.send(nonsense)
            status, said = worker.end()
        assert status == 1
        assert "ProtocolError" in said


def test_a_worker_ends_with_its_agent_even_within_a_frame(tmp_path: Path) -> None:
    with Worker() as worker:
        worker.send(encode_frame(load(write_wat(tmp_path, module())))[:-3])
        assert worker.end() == (0, "")


def test_an_interrupt_is_left_to_the_agent(tmp_path: Path) -> None:
    with Worker() as worker:
        _begun(worker, write_wat(tmp_path, module()))
        worker.process.send_signal(signal.SIGINT)
        assert processed(worker, GIVEN)[1] == GIVEN
        assert worker.end() == (0, "")


PARENT = """
import os, subprocess, sys
worker = subprocess.Popen([sys.executable, "-m", "wayside_edge.compute.wasm"], stdin=0, stdout=subprocess.PIPE)
head = worker.stdout.read(4)
worker.stdout.read(int.from_bytes(head, "little"))
print(worker.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_worker_of_an_agent_that_is_killed_is_gone_too(tmp_path: Path) -> None:
    """A worker that is busy does not look at its pipe, which this test holds open: the kernel ends it."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(encode_frame(load(write_wat(tmp_path, module()))))
        parent.stdin.flush()
        worker = psutil.Process(int(parent.stdout.readline()))
        gone, alive = psutil.wait_procs([worker], timeout=10)
        assert (gone, alive) == ([worker], [])


def test_a_compiler_ends_with_its_worker(tmp_path: Path) -> None:
    # Enough to compile that the child is there for a while; it is stopped then, and would be for ever.
    functions = " ".join(f"(func (param i64) (result i64) {SUM})" for _ in range(300))
    file = write_wat(tmp_path, module(functions))
    with Worker() as worker:
        worker.send(encode_frame(load(file)))
        process = psutil.Process(worker.process.pid)
        while not (children := process.children()):
            assert process.status() != psutil.STATUS_ZOMBIE
        # Where its standard error leads nowhere it has begun.
        while not Path(f"/proc/{children[0].pid}/fd/2").samefile(os.devnull):
            assert children[0].status() != psutil.STATUS_ZOMBIE
        try:
            children[0].suspend()
            worker.process.kill()
            gone, alive = psutil.wait_procs(children, timeout=10)
        finally:
            with suppress(psutil.NoSuchProcess):
                children[0].kill()
        assert (gone, alive) == (children, [])


@pytest.mark.parametrize("off", ["consume_fuel", "epoch_interruption"])
def test_an_engine_that_cannot_stop_a_module_is_not_used(off: str) -> None:
    with pytest.raises(StageError, match="does not stop"):
        make_engine({**SETUP, off: False})


def test_a_setting_of_the_engine_that_does_not_exist_is_found() -> None:
    with pytest.raises(StageError, match="consume_feul"):
        make_engine({**SETUP, "consume_feul": True})


def test_a_deadline_is_never_shortened_and_hardly_stretched() -> None:
    engine = make_engine()
    for deadline_ms in (1, 3, 10, 200, 1000, 60_000):
        ticker = Ticker(engine, deadline_ms)
        assert deadline_ms / 1000 <= (ticker.ticks - 1) * ticker.tick_s + 1e-9
        assert ticker.ticks * ticker.tick_s <= max(1.2 * deadline_ms, deadline_ms + 2.1) / 1000
