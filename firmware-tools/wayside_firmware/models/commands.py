"""What `wayside-fw model` does."""

import argparse
import csv
import hashlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from wayside_firmware.models.card import card, window_text
from wayside_firmware.models.evaluation import Span, read_windows
from wayside_firmware.models.figures import figures, gaps, label_texts, learned_from, since
from wayside_firmware.models.picture import class_picture, score_picture
from wayside_firmware.models.recording import Recorded, Wanted, read, span_text, time_ns, time_text
from wayside_firmware.models.signing import sign, verify
from wayside_firmware.models.training import (
    Precision,
    Recipe,
    Trained,
    label_values,
    run_file,
    train_autoencoder,
    train_classifier,
)
from wayside_firmware.models.windows import labels_at
from wayside_firmware.models.worker import Run, run
from wayside_shared.errors import ConfigError, RejectedError
from wayside_shared.model_file import ModelFile, read_model
from wayside_shared.model_metadata import ModelKind, ModelMetadata, Window

MEMBERS = {ModelKind.AUTOENCODER: 32, ModelKind.CLASSIFIER: 4}
"""Networks that are averaged. What an autoencoder makes of the unknown differs much from one to the next; labels hold
classifiers together."""

TELL_EVERY = 10
"""Epochs between lines of progress."""


def train(options: argparse.Namespace) -> int:
    """Train a model, write it and its card; returns the exit status."""
    kind = ModelKind(options.kind)
    if kind is ModelKind.CLASSIFIER and options.labels is None:
        raise ConfigError("a classifier needs --labels")
    _check_place(options.out)
    if options.out.suffix in (".md", ".svg"):
        raise ConfigError("the card and its picture get that name; let it end in .tflite", source=str(options.out))
    windows = _windows(options)
    series, labels = _series(options)
    until_ns = _time(options.until)
    recipe = _recipe(options)
    if kind is ModelKind.AUTOENCODER:
        trained = train_autoencoder(recipe, series, until_ns, _told)
    else:
        assert labels is not None
        trained = train_classifier(recipe, series, labels, _names(options, labels), until_ns, _told)
    found = run_file(trained.file, series)
    said = [
        *figures(trained.metadata, found, labels, windows, until_ns),
        *learned_from(found, until_ns),
        *gaps(series, recipe.window.period_s, None),
    ]
    beside = options.out.with_suffix(".svg")
    drawn = _picture(options.out.name, trained.metadata, found, labels, windows, until_ns)
    made = _made(options, recipe, trained, series, until_ns)
    text = card(options.out.name, trained, made, said, beside.name if drawn else None)
    _write(options.out, trained.file)
    _write(options.out.with_suffix(".md"), text.encode())
    if drawn:
        _write(beside, drawn.encode())
    for line in [*said, f"sha256 = {hashlib.sha256(trained.file).hexdigest()}"]:
        _say(line)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Run a model over recorded series and print the figures; returns the exit status."""
    described = _model(options.model)
    if options.scores:
        _check_place(options.scores)
    windows = _windows(options)
    series, labels = _series(options)
    if len(series) != len(described.metadata.inputs):
        wanted = ", ".join(each.name for each in described.metadata.inputs)
        raise ConfigError(f"the model takes {wanted}; name a --series for each")
    found, from_ns = run(options.model, series), _time(options.since)
    for line in figures(described.metadata, found, labels, windows, from_ns):
        _say(line)
    for line in gaps(series, described.metadata.window.period_s, from_ns):
        _say(line)
    _say(f"{found.used_us / max(len(found.times_ns), 1):.1f} µs a window in the interpreter")
    if options.scores:
        kept = since(found, from_ns)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["time", *kept.values])
        rows.writerows(zip(map(time_text, kept.times_ns.tolist()), *kept.values.values(), strict=True))
        _write(options.scores, text.getvalue().encode())
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Show what a model's file says; returns the exit status, 1 for a signature that does not hold."""
    described = _model(options.model)
    good = options.key is None or verify(options.model, options.key)
    if options.key is not None:
        _say("the signature is good" if good else "THE SIGNATURE IS NOT OF THIS FILE AND KEY")
    _say(f"sha256 = {hashlib.sha256(options.model.read_bytes()).hexdigest()}")
    for line in _description(described):
        _say(line)
    return 0 if good else 1


def sign_model(options: argparse.Namespace) -> int:
    """Write a detached signature; returns the exit status."""
    _say(f"wrote {sign(options.model, options.key)}; check it with inspect --key {options.key}.pub")
    return 0


def _description(described: ModelFile) -> Sequence[str]:
    metadata = described.metadata
    lines = [
        f"{metadata.kind.value}; {described.operators} operators, {len(described.tensors)} tensors",
        f"window: {window_text(described.metadata.window)}",
    ]
    lines += [f"input {each.name} in {each.unit}: mean {each.mean:g}, scale {each.scale:g}" for each in metadata.inputs]
    if metadata.scoring:
        scoring = metadata.scoring
        lines.append(
            f"threshold {scoring.threshold:g}, over {scoring.smoothing} windows, {scoring.consecutive} in a row"
        )
    if metadata.labels:
        lines.append(f"labels {', '.join(metadata.labels)}")
    lines += [f"output {each.name} in {each.unit}" for each in metadata.outputs]
    lines += [f"{name}: {text}" for name, text in metadata.about.items()]
    for place, tensor in enumerate(described.tensors):
        role = "in " if place in described.inputs else "out" if place in described.outputs else "   "
        scale = f" step {tensor.scale:.6g} zero {tensor.zero_point}" if tensor.channels else ""
        channels = f" and {tensor.channels - 1} more" if tensor.channels > 1 else ""
        shape = "×".join(map(str, tensor.shape))
        lines.append(f"  {role} {place:3d} {tensor.dtype:8s} {shape:10s} {tensor.name}{scale}{channels}")
    return lines


def _model(path: Path) -> ModelFile:
    try:
        return read_model(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{error.strerror}", source=str(path)) from error
    except RejectedError as error:
        raise ConfigError(error.detail, source=str(path)) from error


def _series(options: argparse.Namespace) -> tuple[Sequence[Recorded], Recorded | None]:
    pairs = [each.partition("=") for each in options.series]
    wanted = [Wanted(name, unit or None) for name, _, unit in pairs]
    if options.labels:
        wanted.append(Wanted(options.labels))
    found = read(options.data, wanted, options.time_column)
    return found[: len(pairs)], found[-1] if options.labels else None


def _recipe(options: argparse.Namespace) -> Recipe:
    return Recipe(
        Window(options.window, options.period, options.stride, options.max_gap),
        smoothing=options.smoothing,
        consecutive=options.consecutive,
        margin=options.margin,
        members=options.members or MEMBERS[ModelKind(options.kind)],
        seed=options.seed,
        epochs=options.epochs,
        precision=Precision.FLOAT32 if options.float else Precision.INT8,
        per_channel=not options.per_tensor,
    )


def _names(options: argparse.Namespace, labels: Recorded) -> Sequence[str]:
    values = label_values(labels)
    names: list[str] = options.label_names.split(",") if options.label_names else list(values)
    if len(names) != len(values):
        raise ConfigError(f"--label-names has {len(names)} names for {', '.join(values)}")
    return names


def _windows(options: argparse.Namespace) -> Sequence[Span] | None:
    return read_windows(options.windows, options.series[0].partition("=")[0]) if options.windows else None


def _picture(
    name: str,
    metadata: ModelMetadata,
    found: Run,
    labels: Recorded | None,
    windows: Sequence[Span] | None,
    until_ns: int | None,
) -> str | None:
    """A picture of what was said; None when that is nothing."""
    if not len(found.times_ns):
        return None
    if metadata.scoring:
        return score_picture(name, found, metadata.scoring.threshold, until_ns, windows or [])
    if labels is None:
        return None
    names = dict(zip(label_texts(metadata), metadata.labels, strict=True))
    texts = labels_at(labels, found.times_ns, metadata.window.period_s)
    return class_picture(name, found, metadata.labels, [names.get(text or "") for text in texts], until_ns)


def _made(
    options: argparse.Namespace, recipe: Recipe, trained: Trained, series: Sequence[Recorded], until_ns: int | None
) -> dict[str, str]:
    first = min(int(each.times_ns.min()) for each in series)
    last = max(int(each.times_ns.max()) for each in series)
    data = hashlib.sha256(options.data.read_bytes()).hexdigest()
    kept = sum(int((each.times_ns < (until_ns or last + 1)).sum()) for each in series)
    made = {
        "learned from": f"{options.data.name} (SHA-256 `{data[:16]}…`), {kept:,} values, "
        f"{span_text(first, min(until_ns or last, last))}: {trained.apart:,} windows, {trained.windows:,} with those "
        "that begin within a period",
        "made by": f"wayside-fw model train, {recipe.members} dense networks with Adam over {recipe.epochs} epochs, "
        f"seed {recipe.seed}, averaged into one; computes with {recipe.precision.value}",
    }
    if trained.metadata.scoring:
        made["threshold"] = (
            f"{recipe.margin:g} times the largest score that this file gave over what it learned from; nothing after "
            "that was looked at"
        )
    return made


def _time(text: str | None) -> int | None:
    try:
        return None if text is None else time_ns(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time in ISO 8601") from error


def _check_place(path: Path) -> None:
    """Whether a file can be written there, before there is one: training takes its time.

    Raises:
        ConfigError: it cannot.
    """
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(f"its folder is not there; type: mkdir -p {folder}", source=str(path))
    if path.is_dir():
        raise ConfigError("it is a folder; name a file in it", source=str(path))
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError("you may not write there", source=str(path))


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{error.strerror}", source=str(path)) from error


def _told(epoch: int, error: float) -> None:
    if epoch % TELL_EVERY == 0:
        print(f"epoch {epoch}: {error:.3g}", file=sys.stderr, flush=True)  # noqa: T201


def _say(line: str) -> None:
    print(line)  # noqa: T201
