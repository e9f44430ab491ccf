"""Small models, and the agent's program that runs them, spoken to as the agent does."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from wayside_firmware.models.network import Array, Layer, Network
from wayside_firmware.models.quantise import quantise
from wayside_firmware.models.writer import write_model
from wayside_shared.model_metadata import ModelInput, ModelKind, ModelMetadata, ModelOutput, Scoring, Window
from wayside_shared.stage_block import Block, BlockReading, BlockSeries
from wayside_shared.stage_worker import LENGTH, Done, Failed, Limits, Load, Message, Process, decode_frame, encode_frame

SECOND = 10**9
COMMAND = (sys.executable, "-m", "wayside_edge.compute.tflite")


def recordings() -> Path:
    """The folder of recorded data; the test is skipped where there is none."""
    folder = Path(os.environ.get("WAYSIDE_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
    if not (folder / "machine").exists():
        pytest.skip(f"{folder} is not here; set WAYSIDE_TEST_DATA to the folder of recorded data")
    return folder


def network(*sizes: int, seed: int = 1, softmax: bool = False) -> Network:
    """Some network: ReLU everywhere but in the last layer."""
    draw = np.random.default_rng(seed)
    layers = [
        Layer(draw.normal(size=(out, into)) / into, draw.normal(size=out) / 4, place < len(sizes) - 2)
        for place, (into, out) in enumerate(pairwise(sizes))
    ]
    return Network(layers, softmax)


def rows(count: int, width: int, seed: int = 2) -> Array:
    """Some rows to go in."""
    return np.random.default_rng(seed).normal(size=(count, width))


def metadata(
    *,
    kind: ModelKind = ModelKind.AUTOENCODER,
    inputs: int = 1,
    window: Window | None = None,
    scoring: Scoring | None = None,
    labels: Sequence[str] = (),
    outputs: Sequence[ModelOutput] = (),
) -> ModelMetadata:
    """What such a model says about itself: inputs a, b, c … in °C, around 20."""
    return ModelMetadata(
        kind,
        tuple(ModelInput("abcdefgh"[place], "Cel", 20.0, 2.0) for place in range(inputs)),
        window or Window(4, 1.0),
        (scoring or Scoring(1.0)) if kind is ModelKind.AUTOENCODER else None,
        tuple(labels),
        tuple(outputs),
    )


def autoencoder(said: ModelMetadata | None = None, *, int8: bool = True) -> bytes:
    """The file of an autoencoder that learned nothing."""
    said = said or metadata()
    made = network(said.window_values, 6, said.window_values)
    return write_model(quantise(made, rows(50, said.window_values)) if int8 else made, said)


def echo(said: ModelMetadata) -> bytes:
    """The file of an autoencoder that gives each window's mean for all of it: its score is the variance."""
    size = said.window_values
    return write_model(Network([Layer(np.full((size, size), 1 / size), np.zeros(size), False)]), said)


def block(values: Sequence[tuple[float, float]], *, name: str = "room.a", unit: str = "Cel", quality: int = 0) -> bytes:
    """A block of one series from pairs of seconds and values."""
    return Block(
        [BlockSeries(name, unit)],
        [BlockReading(round(at * SECOND), float("nan") if quality >= 64 else v, 0, quality) for at, v in values],
    ).encode()


class Worker:
    """The program; ends with the context.

    Args:
        file: the model.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._child = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # as the agent starts it: a thread before is not confined
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.communicate()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    def load(
        self,
        inputs: Sequence[str] = ("room.a",),
        *,
        sha256: str | None = None,
        state: bytes | None = None,
        settings: dict[str, str | int | float | bool] | None = None,
        limits: Limits | None = None,
    ) -> Done | Failed:
        """The answer to `Load`."""
        named = sha256 or hashlib.sha256(self._file.read_bytes()).hexdigest()
        return self.ask(Load(str(self._file), named, limits or Limits(), inputs, settings or {}, state))

    def process(self, given: bytes, clock: str = "boot") -> Done | Failed:
        """The answer to a block."""
        return self.ask(Process(given, clock))

    def ask(self, message: Message) -> Done | Failed:
        """The answer to a message."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(encode_frame(message))
        self._child.stdin.flush()
        head = self._child.stdout.read(LENGTH.size)
        answer = decode_frame(self._child.stdout.read(LENGTH.unpack(head)[0]))
        assert isinstance(answer, Done | Failed)
        return answer

    def ended(self) -> int:
        """Close its input; its exit status."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.stdin = None
        return self._child.wait(30)


@contextmanager
def running(tmp_path: Path, file: bytes) -> Iterator[Worker]:
    """The program with a model that is written for it."""
    path = tmp_path / "model.tflite"
    path.write_bytes(file)
    with Worker(path) as worker:
        yield worker
