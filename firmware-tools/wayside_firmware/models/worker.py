"""Runs the agent's own program for models over recorded series (decision 0010: tools run programs)."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from wayside_firmware.models.recording import Recorded
from wayside_shared.errors import ConfigError, WaysideError
from wayside_shared.quality import FIRST_ABSENT
from wayside_shared.runtimes import missing_in
from wayside_shared.stage_block import Block, BlockReading, BlockSeries, decode_block
from wayside_shared.stage_worker import (
    LENGTH,
    MAX_FRAME_BYTES,
    Done,
    Failed,
    Limits,
    Load,
    Message,
    Process,
    decode_frame,
    encode_frame,
)

COMMAND: Final = (sys.executable, "-m", "wayside_edge.compute.tflite")
READINGS: Final = 4000
"""In one block: what a classifier of 64 labels says of as many windows still fits into a frame."""
OUTPUT_READINGS: Final = READINGS * 65


class ModelRunError(WaysideError):
    """The worker gave nothing; its own words say why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a model said of a recording.

    Args:
        times_ns: the end of each window, UTC in nanoseconds.
        values: what it gave for each window, by the name of the series.
        events: its texts.
        used_us: time that the interpreter took for all of them, in microseconds.
    """

    times_ns: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    events: Sequence[str]
    used_us: int


def run(model: Path, series: Sequence[Recorded]) -> Run:
    """All that the model in the file `model` says of `series`, its inputs in their order.

    Raises:
        ConfigError: what it runs with is not installed.
        ModelRunError: the worker failed.
    """
    times: list[int] = []
    values: dict[str, list[float]] = {}
    events: list[str] = []
    used_us = 0
    with _worker() as (questions, answers):
        sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
        names = [each.name for each in series]
        limits = Limits(output_readings=OUTPUT_READINGS)
        _ask(questions, answers, Load(str(model.resolve()), sha256, limits=limits, inputs=names))
        for block in _blocks(series):
            done = _ask(questions, answers, Process(block.encode(), clock="utc"))
            events += done.events
            used_us += done.used_us
            given = decode_block(done.block, max_readings=OUTPUT_READINGS) if done.block else Block([], [])
            for reading in (each for each in given.readings if each.quality < FIRST_ABSENT):
                values.setdefault(given.series[reading.series].name, []).append(reading.value)
                if reading.series == 0:
                    times.append(reading.time_ns)
    return Run(np.array(times, np.int64), {name: np.array(each) for name, each in values.items()}, events, used_us)


def _blocks(series: Sequence[Recorded]) -> Iterator[Block]:
    times = np.concatenate([each.times_ns for each in series])
    numbers = np.concatenate([each.numbers() for each in series])
    places = np.repeat(np.arange(len(series)), [len(each.times_ns) for each in series])
    order = np.argsort(times, kind="stable")
    table = [BlockSeries(each.name, each.unit) for each in series]
    for begin in range(0, len(order), READINGS):
        chosen = order[begin : begin + READINGS]
        rows = zip(times[chosen].tolist(), numbers[chosen].tolist(), places[chosen].tolist(), strict=True)
        yield Block(table, [BlockReading(*row) for row in rows])


@contextmanager
def _worker() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            yield child.stdin, child.stdout
        except (BrokenPipeError, EOFError) as error:
            said = child.stderr.read().decode(errors="replace").strip().splitlines()
            missing = missing_in(said)
            if missing is not None:
                raise ConfigError(missing) from error
            raise ModelRunError(f"the worker ended: {said[-1] if said else 'without a word'}") from error
        finally:
            child.stdin.close()


def _ask(questions: IO[bytes], answers: IO[bytes], message: Message) -> Done:
    questions.write(encode_frame(message))
    questions.flush()
    head = answers.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size,) = LENGTH.unpack(head)
    if size > MAX_FRAME_BYTES:
        raise ModelRunError(f"the worker answered with {size} bytes")
    answer = decode_frame(answers.read(size))
    if isinstance(answer, Failed):
        raise ModelRunError(f"{answer.failure.meaning}: {answer.detail}")
    if not isinstance(answer, Done):
        raise ModelRunError("the worker answered with a question")
    return answer
