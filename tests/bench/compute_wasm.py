"""What a WebAssembly stage costs: a block there and back through the real worker, and the worker's memory."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.figures import Figure, Size, middle, progress, within
from wayside_firmware.modules import library
from wayside_shared.stage_block import Block
from wayside_shared.stage_worker import Done, Limits, Process
from wayside_testkit.stage import Worker, block, load, write_wat
from wayside_testkit.wat import module

READINGS = 60
GIVEN = block("pump.power", "W", [100.0 + place for place in range(READINGS)])
SHIPPED = ("energy", "humid_air", "vibration")


def measure(group: str, size: Size) -> Iterator[Figure]:
    """The figures of WebAssembly in the group `compute`."""
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
        returning = write_wat(Path(folder), module('(func (export "wayside_reset"))'))
        progress("a module that gives back what it gets")
        round_trip_us, inside_us, _ = _call(returning, GIVEN, size)
    file = Path(library.__file__).parent
    rss_mb: dict[str, float] = {}
    shipped_us = {}
    for name in SHIPPED:
        progress(f"the module {name}")
        shipped_us[name], _, rss_mb[name] = _call(file / name / f"{name}.wasm", GIVEN, size)
    beyond_us = [whole - inside for whole, inside in zip(round_trip_us, inside_us, strict=True)]
    how = (
        f"{READINGS} readings to a module that only gives them back, without the time in its functions: "
        f"{middle(beyond_us)}; with it {median(round_trip_us):.0f} us, the module `energy` "
        f"{median(shipped_us['energy']):.0f} us; of it a pipe there and back takes {_pipe_us(size):.0f} us"
    )
    yield within(group, "wasm_call_us", median(beyond_us), "us", how)
    worst = max(rss_mb, key=lambda name: rss_mb[name])
    how = f"most that a worker had resident, of {', '.join(SHIPPED)}: {worst}"
    yield within(group, "wasm_worker_rss_mb", rss_mb[worst], "MB", how)


PIPE = "import os\nwhile data := os.read(0, 4096): os.write(1, data)"
"""A process that does nothing but answer: what the machine itself takes to wake another one and be woken."""


def _pipe_us(size: Size) -> float:
    command = [sys.executable, "-c", PIPE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        data, took_us = GIVEN.encode(), []
        for _ in range(size.of(5000, 50)):
            began_s = time.perf_counter()
            other.stdin.write(data)
            other.stdout.read(len(data))
            took_us.append((time.perf_counter() - began_s) * 1e6)
        other.stdin.close()
        return median(took_us)


def _call(file: Path, given: Block, size: Size) -> tuple[list[float], list[float], float]:
    """Round trip and time in the module of each call, in microseconds, and the worker's memory in MB."""
    calls = size.of(5000, 50)
    round_trip_us, inside_us = [], []
    with Worker() as worker:
        began = worker.ask(load(file, limits=Limits()))
        assert isinstance(began, Done), began
        question = Process(given.encode())
        for _ in range(calls):
            began_s = time.perf_counter()
            done = worker.ask(question)
            round_trip_us.append((time.perf_counter() - began_s) * 1e6)
            assert isinstance(done, Done), done
            inside_us.append(float(done.used_us))
        return round_trip_us, inside_us, worker.memory_mb()
