"""From recorded series to a model: what it learns from, how, and where its threshold lies."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np

from wayside_firmware.models.network import Array, Course, Network, cross_entropy, learn, square
from wayside_firmware.models.quantise import quantise
from wayside_firmware.models.recording import Recorded
from wayside_firmware.models.windows import Periods, Windows, labels_at, periods_of, windows_of
from wayside_firmware.models.worker import Run, run
from wayside_firmware.models.writer import write_model
from wayside_shared.errors import ConfigError
from wayside_shared.model_metadata import (
    ModelInput,
    ModelKind,
    ModelMetadata,
    Scoring,
    Window,
)

PHASES: Final = 6
"""Places in a period at which training windows begin: an hourly mean taken from ten past on is as true as one from the
full hour, and a short recording has few of either."""

LEAST_WINDOWS: Final = 50
"""Fewer teach nothing that would hold."""

LABEL_VALUES: Final = "label values"
"""In the metadata: what stands for the labels in the data that was learned from."""

UNLIMITED: Final = 1e300
"""A threshold that no score reaches, while the scores that tell the real one are made."""


class Precision(Enum):
    """Numbers that a model computes with."""

    INT8 = "int8"
    FLOAT32 = "float32"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to learn, and how.

    Args:
        window: what the model looks at.
        hidden: units of the hidden layers of a member.
        code: units that an autoencoder's windows have to pass through.
        smoothing: windows that a score is averaged over.
        consecutive: windows in a row above the threshold before an anomaly begins.
        margin: the threshold is so many times the largest score over what was learned from.
        members, seed, epochs: see `Course`.
        precision: numbers that the model computes with.
        per_channel: whether each output of a layer has a scale of its own for its weights.
    """

    window: Window
    hidden: int = 16
    code: int = 1
    smoothing: int = 1
    consecutive: int = 1
    margin: float = 1.2
    members: int = 32
    seed: int = 1
    epochs: int = 40
    precision: Precision = Precision.INT8
    per_channel: bool = True


@dataclass(frozen=True, slots=True)
class Trained:
    """A model.

    Args:
        file: the .tflite file.
        metadata: what it says about itself.
        windows: how many it learned from, those that begin within a period included.
        apart: how many of them begin where the worker's do.
    """

    file: bytes
    metadata: ModelMetadata
    windows: int
    apart: int


Told = Callable[[int, float], None]
"""Is called after each epoch with its number, from 1, and how far the network is from what it should give."""


def train_autoencoder(recipe: Recipe, series: Sequence[Recorded], until_ns: int | None, told: Told) -> Trained:
    """An autoencoder that knows the time before `until_ns`, and tells what is unlike it.

    Its threshold comes from the scores that the agent's own program gives over that time with the file that is going
    to be deployed.

    Raises:
        ConfigError: there is too little to learn from.
        ModelRunError: the worker could not run.
    """
    inputs, x, apart = _material(recipe, series, until_ns)
    size = x.shape[1]
    course = _course(recipe, [size, recipe.hidden, recipe.code, recipe.hidden, size], straight={1, 3})
    network = learn(course, x, x, square, told)
    scoring = Scoring(UNLIMITED, recipe.smoothing, recipe.consecutive)
    metadata = ModelMetadata(ModelKind.AUTOENCODER, inputs, recipe.window, scoring)
    scores = run_file(_written(recipe, network, x, metadata), _before(series, until_ns)).values["score"]
    threshold = float(np.float32(recipe.margin * scores.max()))
    metadata = replace(metadata, scoring=replace(scoring, threshold=threshold))
    return Trained(_written(recipe, network, x, metadata), metadata, len(x), apart)


def train_classifier(
    recipe: Recipe, series: Sequence[Recorded], labels: Recorded, names: Sequence[str], until_ns: int | None, told: Told
) -> Trained:
    """A classifier of windows by the last label in them.

    Args:
        recipe: how.
        series: what goes in.
        labels: what comes out.
        names: the model's labels, for the values of `label_values` in order.
        until_ns: the time from there on is not looked at.
        told: of the progress.

    Raises:
        ConfigError: there is too little to learn from.
    """
    values = label_values(labels)
    inputs, _, apart = _material(recipe, series, until_ns)
    parts = [(_normal(inputs, recipe, windows), labels_at(labels, windows.ends_ns, recipe.window.period_s))
             for windows in _phased(recipe, series, until_ns)]  # fmt: skip
    x = np.concatenate([part for part, _ in parts])
    were = [label for _, part in parts for label in part]
    known = np.array([label is not None for label in were])
    wanted = np.eye(len(values))[[values.index(label) for label in were if label is not None]]
    course = replace(_course(recipe, [x.shape[1], recipe.hidden, len(values)], straight={1}), decay=0.1)
    network = learn(course, x[known], wanted, cross_entropy, told)
    network = Network(network.layers, softmax=True)
    about = {LABEL_VALUES: ",".join(values)}
    metadata = ModelMetadata(ModelKind.CLASSIFIER, inputs, recipe.window, labels=tuple(names), about=about)
    return Trained(_written(recipe, network, x[known], metadata), metadata, int(known.sum()), apart)


def label_values(labels: Recorded) -> Sequence[str]:
    """What stands for the labels, in order.

    Raises:
        ConfigError: it is one value only, or too many.
    """
    values = sorted(Counter(labels.texts))
    if not 2 <= len(values) <= 64:
        raise ConfigError(f"{labels.name!r} has {len(values)} different values; labels are 2 to 64")
    return values


def run_file(file: bytes, series: Sequence[Recorded]) -> Run:
    """What the agent's program says of `series` with a model that is no file yet.

    Raises:
        ModelRunError: it could not run it.
    """
    with tempfile.TemporaryDirectory(prefix="wayside-model-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(file)
        return run(path, series)


def _written(recipe: Recipe, network: Network, x: Array, metadata: ModelMetadata) -> bytes:
    if recipe.precision is Precision.FLOAT32:
        return write_model(network, metadata)
    return write_model(quantise(network, x, per_channel=recipe.per_channel), metadata)


def _course(recipe: Recipe, sizes: Sequence[int], straight: set[int]) -> Course:
    return Course(sizes, frozenset(straight), members=recipe.members, seed=recipe.seed, epochs=recipe.epochs)


def _material(
    recipe: Recipe, series: Sequence[Recorded], until_ns: int | None
) -> tuple[Sequence[ModelInput], Array, int]:
    """The inputs with their normalisation, what to learn from, and how many windows of it begin as the worker's do."""
    single = replace(recipe.window, samples=1, stride=1)
    rows = windows_of(series, single, until_ns=until_ns).values
    phased = _phased(recipe, series, until_ns)
    if len(phased[0].values) < LEAST_WINDOWS:
        raise ConfigError(
            f"{len(phased[0].values)} windows to learn from; it takes {LEAST_WINDOWS}: give more data, or take a "
            f"shorter --period than {recipe.window.period_s:g} s or a smaller --window than {recipe.window.samples}"
            f"{_for_gaps(periods_of(series, recipe.window.period_s, until_ns=until_ns))}"
        )
    inputs = tuple(
        ModelInput(each.name, each.unit, mean, scale or 1.0)
        for each, mean, scale in zip(series, rows.mean(axis=0).tolist(), rows.std(axis=0).tolist(), strict=True)
    )
    x = np.concatenate([_normal(inputs, recipe, windows) for windows in phased])
    return inputs, x, len(phased[0].values)


def _for_gaps(periods: Periods) -> str:
    return f" ({periods.line()})" if periods.empty else ""


def _phased(recipe: Recipe, series: Sequence[Recorded], until_ns: int | None) -> Sequence[Windows]:
    between_ns = max(float(np.median(np.diff(each.times_ns))) for each in series)
    phases = min(PHASES, max(1, int(recipe.window.period_s * 1e9 / max(between_ns, 1.0))))
    return [windows_of(series, recipe.window, until_ns=until_ns, phase=place / phases) for place in range(phases)]


def _normal(inputs: Sequence[ModelInput], recipe: Recipe, windows: Windows) -> Array:
    mean = np.tile([each.mean for each in inputs], recipe.window.samples)
    scale = np.tile([each.scale for each in inputs], recipe.window.samples)
    made: Array = (windows.values - mean) / scale
    return made


def _before(series: Sequence[Recorded], until_ns: int | None) -> Sequence[Recorded]:
    if until_ns is None:
        return series
    cut = []
    for each in series:
        kept = each.times_ns < until_ns
        texts = [text for text, keep in zip(each.texts, kept, strict=True) if keep]
        cut.append(replace(each, times_ns=each.times_ns[kept], texts=texts))
    return cut
