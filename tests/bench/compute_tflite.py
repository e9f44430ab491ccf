"""What a model costs in its worker, and what models find in real recordings.

The recipe for the machine has its shape from the data: the machine has a daily course, so a window is a day; its
training part is a week, so an hour is one mean and the code is one number; scores are averaged over a quarter of a
window. The threshold's factor is that of the linear baseline beside it. All numbers in the model come from the training
part. But its shape was kept after many had been looked at with the labels in view: docs/how-to/detect-anomalies.md.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure, Size, middle, progress, shown
from wayside_edge.compute.inference import Inference
from wayside_edge.compute.interpreter import described, load_runtimes, open_model
from wayside_firmware.models.evaluation import Alarms, Confusion, Span, alarms, confusion, read_windows
from wayside_firmware.models.network import Course, learn, square
from wayside_firmware.models.quantise import quantise
from wayside_firmware.models.recording import Recorded, Wanted, read
from wayside_firmware.models.training import Precision, Recipe, run_file, train_autoencoder, train_classifier
from wayside_firmware.models.windows import windows_of
from wayside_firmware.models.writer import write_model
from wayside_shared.model_metadata import ModelInput, ModelKind, ModelMetadata, Scoring, Window
from wayside_testkit.models import SECOND, Worker, block

BLOCK_ROWS = 60
"""Windows of one block: a minute at one a second."""
MACHINE_RECIPE = Recipe(Window(24, 3600.0, 1, 2), smoothing=6)
OFFICE_RECIPE = Recipe(Window(1, 30.0), members=4)
OFFICE = (Wanted("Temperature", "Cel"), Wanted("Humidity", "%"), Wanted("Light", "lx"), Wanted("CO2", "[ppm]"))


def measure(group: str, size: Size) -> Iterator[Figure]:
    """The figures of models."""
    yield from _cost(group, size)
    yield _memory(group)
    folder = Path(os.environ.get("WAYSIDE_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
    if not (folder / "machine").exists():
        progress(f"{folder} is not here: nothing is found in recordings; set WAYSIDE_TEST_DATA")
        return
    yield from _found(group, size, folder)
    office = occupancy_result(folder)
    how = f"{int(office.counts.sum()):,} readings of the file from 2 February, trained on the one from 4 February on"
    yield Figure(group, "occupancy_accuracy", office.accuracy, "of 1", f"int8 in the worker; {how}")


@dataclass(frozen=True, slots=True)
class MachineResult:
    """What an autoencoder finds on the machine.

    Args:
        file: the model.
        alarms: beside the labelled windows, from the first of them on.
        scores: of every window.
        anomaly: whether it told of one with it.
        learned_rows: rows that it saw.
    """

    file: bytes
    alarms: Alarms
    scores: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    learned_rows: int


def machine_result(folder: Path, *, seed: int, precision: Precision = Precision.INT8) -> MachineResult:
    """Train on what lies before the first labelled window, and run the worker over all."""
    series, windows = _machine(folder)
    until_ns = windows[0][0]
    recipe = replace(MACHINE_RECIPE, seed=seed, precision=precision)
    trained = train_autoencoder(recipe, series, until_ns, lambda _epoch, _error: None)
    ran = run_file(trained.file, series)
    anomaly = ran.values["anomaly"] > 0
    found = alarms(ran.times_ns, anomaly, windows, until_ns)
    learned_rows = int((series[0].times_ns < until_ns).sum())
    return MachineResult(trained.file, found, ran.values["score"], anomaly, learned_rows)


def linear_baseline(folder: Path) -> Alarms:
    """One principal component of windows of 12 hours, its threshold 1.2 times the largest error it was fitted to."""
    series, windows = _machine(folder)
    until_ns = windows[0][0]
    every = windows_of(series, Window(144, 300.0, 1, 2))
    values = every.values
    usual = values[every.ends_ns < until_ns]
    middle_row = usual.mean(axis=0)
    part = np.linalg.svd(usual - middle_row, full_matrices=False)[2][:1]
    rest = (values - middle_row) - (values - middle_row) @ part.T @ part
    errors = np.square(rest).mean(axis=1)
    return alarms(every.ends_ns, errors > 1.2 * errors[every.ends_ns < until_ns].max(), windows, until_ns)


def occupancy_result(folder: Path) -> Confusion:
    """Train on the office's second file, and run the worker over the first."""
    *series, labels = read(folder / "office" / "office-2015-02-04.csv", [*OFFICE, Wanted("Occupancy")])
    names = ("empty", "occupied")
    trained = train_classifier(OFFICE_RECIPE, series, labels, names, None, lambda _epoch, _error: None)
    *other, was = read(folder / "office" / "office-2015-02-02.csv", [*OFFICE, Wanted("Occupancy")])
    return confusion(run_file(trained.file, other), was, names, ["0", "1"], OFFICE_RECIPE.window.period_s)


def _machine(folder: Path) -> tuple[Sequence[Recorded], Sequence[Span]]:
    series = read(folder / "machine" / "machine_temperature.csv", [Wanted("value", "Cel")])
    return series, read_windows(folder / "machine" / "machine_temperature.windows.json", "value")


def _found(group: str, size: Size, folder: Path) -> Iterator[Figure]:
    seeds = size.of(5, 1)
    results = [machine_result(folder, seed=1 + place).alarms for place in range(seeds)]
    first, baseline = results[0], linear_baseline(folder)
    counts = ", ".join(f"{sum(each.found)}/{len(each.false_alarms)}" for each in results)
    beside = (
        f"int8 in the worker, seed 1; found/false of seeds 1 to {seeds}: {counts}; linear with one component "
        f"{sum(baseline.found)}/{len(baseline.false_alarms)}, {baseline.begun} of them begun outside"
    )
    found, linear = float(sum(first.found)), float(sum(baseline.found))
    yield Figure(group, "anomaly_windows_found", found, f"of {len(first.windows)}", beside, found / linear)
    begun = f"those within 24 h once, {first.begun} of them began outside of a labelled window; {beside}"
    yield Figure(group, "anomaly_false_alarms", float(len(first.false_alarms)), "alarms", begun)


def _cost(group: str, size: Size) -> Iterator[Figure]:
    """The published example of LiteRT on boards: 8 series, windows of 16, through 32, 8 and 32 units."""
    inference, bare = _example()
    rounds, count = size.of(9, 2), size.of(300, 20)

    def through_worker() -> None:
        for _ in range(BLOCK_ROWS):
            inference.infer()
        inference.scores()

    def single() -> None:
        inference.infer()
        inference.scores()

    def through_bare() -> None:
        for _ in range(BLOCK_ROWS):
            bare()

    def whole() -> None:
        for _ in range(BLOCK_ROWS):
            clock[0] += SECOND
            for place in range(8):
                inference.add(place, clock[0], 20.0)
        inference.results()

    clock = [0]
    whole()
    pairs = [(_each_us(through_worker, count), _each_us(through_bare, count)) for _ in range(rounds)]
    ours = [a / BLOCK_ROWS for a, _ in pairs]
    theirs = [b / BLOCK_ROWS for _, b in pairs]
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    against = f"set, invoke and get of the same int8 model: {middle(theirs)} µs; blocks of {BLOCK_ROWS} windows"
    yield Figure(group, "tflite_vs_bare", ratio, "times", f"{shown(median(ours))} µs each; {against}", ratio)
    alone = [_each_us(single, count * 10) for _ in range(rounds)]
    yield Figure(group, "tflite_alone_us", median(alone), "µs", f"one window in a block of its own; {middle(alone)}")
    every = [_each_us(whole, max(1, count // 10)) / BLOCK_ROWS for _ in range(rounds)]
    how = "8 readings into their period, normalised, quantised and inferred"
    yield Figure(group, "tflite_window_us", median(every), "µs a window", f"{how}; {middle(every)}")


def _example() -> tuple[Inference, Callable[[], object]]:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(300, 128))
    network = learn(Course([128, 32, 8, 32, 128], frozenset({3}), members=1, epochs=2), x, x, square)
    inputs = tuple(ModelInput(f"s{place}", "Cel", 20.0, 2.0) for place in range(8))
    said = ModelMetadata(ModelKind.AUTOENCODER, inputs, Window(16, 1.0), Scoring(1.0))
    file = write_model(quantise(network, x), said)
    opened = open_model(file, described(file), load_runtimes())
    interpreter, into, out = opened.interpreter, opened.input, opened.output
    row = draw.integers(-100, 100, (1, 128), dtype=np.int8)

    def bare() -> object:
        interpreter.set_tensor(into, row)
        interpreter.invoke()
        return interpreter.get_tensor(out)

    return Inference(opened, said.scoring), bare


def _memory(group: str) -> Figure:
    """The worker after a thousand windows, with the model that the machine's recipe makes."""
    said = ModelMetadata(ModelKind.AUTOENCODER, (ModelInput("a", "Cel", 20.0, 2.0),), Window(24, 1.0), Scoring(1.0))
    x = np.random.default_rng(1).normal(size=(100, 24))
    network = learn(Course([24, 16, 1, 16, 24], frozenset({1, 3}), epochs=1), x, x, square)
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(write_model(quantise(network, x), said))
        with Worker(path) as worker:
            worker.load()
            for part in range(20):
                worker.process(block([(part * 50 + at, 20.0) for at in range(50)]))
            rss_mb = _rss_mb(worker.pid)
    imported = _imported_mb()
    beside = f"after 1,000 windows; a Python with numpy and the interpreter imported has {shown(imported)} MB"
    return Figure(group, "tflite_worker_rss_mb", rss_mb, "MB", beside, rss_mb / imported)


def _imported_mb() -> float:
    code = "import ai_edge_litert.interpreter, sys; sys.stdout.write('x'); sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        rss_mb = _rss_mb(child.pid)
        child.communicate()
    return rss_mb


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def _each_us(call: Callable[[], object], count: int) -> float:
    began_s = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began_s) / count * 1e6
