"""What a WebAssembly stage costs: a block there and back through the real worker, and the worker's memory."""

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
        call_us, inside_us, _ = _call(returning, GIVEN, size)
    file = Path(library.__file__).parent
    rss_mb: dict[str, float] = {}
    shipped_us = {}
    for name in SHIPPED:
        progress(f"the module {name}")
        shipped_us[name], _, rss_mb[name] = _call(file / name / f"{name}.wasm", GIVEN, size)
    how = (
        f"{READINGS} readings to a module that gives them back: {middle(call_us)}, of which "
        f"{median(inside_us):.0f} us are calls into the module and its library; the module `energy` "
        f"{median(shipped_us['energy']):.0f} us"
    )
    yield within(group, "wasm_call_us", median(call_us), "us", how)
    worst = max(rss_mb, key=lambda name: rss_mb[name])
    how = f"most that a worker had resident, of {', '.join(SHIPPED)}: {worst}"
    yield within(group, "wasm_worker_rss_mb", rss_mb[worst], "MB", how)


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
