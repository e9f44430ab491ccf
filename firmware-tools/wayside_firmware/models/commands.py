"""What `wayside-fw model` does."""

import argparse
import csv
import hashlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from wayside_firmware.models.card import card, picture, span_text
from wayside_firmware.models.evaluation import Confusion, alarms, confusion, read_windows
from wayside_firmware.models.recording import Recorded, Wanted, read, time_ns, time_text
from wayside_firmware.models.signing import sign, verify
from wayside_firmware.models.training import (
    LABEL_VALUES,
    Precision,
    Recipe,
    Trained,
    label_values,
    run_file,
    train_autoencoder,
    train_classifier,
)
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
    series, labels = _series(options)
    until_ns = _time(options.until)
    recipe = _recipe(options)
    if kind is ModelKind.AUTOENCODER:
        trained = train_autoencoder(recipe, series, until_ns, _told)
    else:
        assert labels is not None
        trained = train_classifier(recipe, series, labels, _names(options, labels), until_ns, _told)
    found = run_file(trained.file, series)
    figures = _figures(options, trained.metadata, found, labels, until_ns)
    if kind is ModelKind.CLASSIFIER and until_ns is None:
        figures = ["all of this is what it learned from; evaluate it on something else", *figures]
    drawn = None
    if trained.metadata.scoring:
        windows = read_windows(options.windows, series[0].name) if options.windows else []
        drawn = picture(found, trained.metadata.scoring.threshold, until_ns, windows)
    made = _made(options, recipe, trained, series, until_ns)
    beside = options.out.with_suffix(".svg")
    text = card(options.out.name, trained, made, figures, beside.name if drawn else None)
    _write(options.out, trained.file)
    _write(options.out.with_suffix(".md"), text.encode())
    if drawn:
        _write(beside, drawn.encode())
    for line in [*figures, f"sha256 = {hashlib.sha256(trained.file).hexdigest()}"]:
        _say(line)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Run a model over recorded series and print the figures; returns the exit status."""
    described = _model(options.model)
    series, labels = _series(options)
    if len(series) != len(described.metadata.inputs):
        wanted = ", ".join(each.name for each in described.metadata.inputs)
        raise ConfigError(f"the model takes {wanted}; name a --series for each")
    found = run(options.model, series)
    for line in _figures(options, described.metadata, found, labels, _time(options.since)):
        _say(line)
    _say(f"{found.used_us / max(len(found.times_ns), 1):.1f} µs a window in the interpreter")
    if options.scores:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["time", *found.values])
        rows.writerows(zip(map(time_text, found.times_ns.tolist()), *found.values.values(), strict=True))
        _write(options.scores, text.getvalue().encode())
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Show what a model's file says; returns the exit status, 1 for a signature that does not hold."""
    described = _model(options.model)
    _say(f"sha256 = {hashlib.sha256(options.model.read_bytes()).hexdigest()}")
    for line in _description(described):
        _say(line)
    if options.key is None:
        return 0
    good = verify(options.model, options.key)
    _say("the signature is good" if good else "THE SIGNATURE IS NOT OF THIS FILE AND KEY")
    return 0 if good else 1


def sign_model(options: argparse.Namespace) -> int:
    """Write a detached signature; returns the exit status."""
    _say(f"wrote {sign(options.model, options.key)}; check it with inspect --key {options.key}.pub")
    return 0


def _description(described: ModelFile) -> Sequence[str]:
    metadata, window = described.metadata, described.metadata.window
    lines = [
        f"{metadata.kind.value}; {described.operators} operators, {len(described.tensors)} tensors",
        f"window: {window.samples} periods of {window.period_s:g} s, a new one every {window.stride}; "
        f"gaps of up to {window.max_gap} bridged",
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


def _figures(
    options: argparse.Namespace, metadata: ModelMetadata, found: Run, labels: Recorded | None, from_ns: int | None
) -> Sequence[str]:
    """What there is to say about the time from `from_ns` on."""
    if not len(found.times_ns):
        return ["the recording has no whole window"]
    lines = [f"{len(found.times_ns):,} windows, {span_text(int(found.times_ns[0]), int(found.times_ns[-1]))}"]
    if metadata.kind is ModelKind.CLASSIFIER and labels is not None:
        lines += _confusion(metadata, _from(found, from_ns), labels).lines()
    if metadata.kind is ModelKind.AUTOENCODER:
        anomaly = found.values["anomaly"] > 0
        since_ns = from_ns or int(found.times_ns[0])
        if options.windows:
            windows = read_windows(options.windows, options.series[0].partition("=")[0])
            lines += alarms(found.times_ns, anomaly, windows, since_ns).lines()
        else:
            told = alarms(found.times_ns, anomaly, [], since_ns)
            lines.append(f"{len(told.false_alarms)} alarms, those within 24 h counted once")
            lines += [f"  {time_text(at)}" for at in told.false_alarms]
        before = found.values["score"][found.times_ns < since_ns]
        if len(before):
            lines.append(f"largest score over what it learned from: {before.max():.4g}")
    return lines


def _from(found: Run, from_ns: int | None) -> Run:
    kept = found.times_ns >= (from_ns or 0)
    values = {name: each[kept] for name, each in found.values.items()}
    return Run(found.times_ns[kept], values, found.events, found.used_us)


def _confusion(metadata: ModelMetadata, found: Run, labels: Recorded) -> Confusion:
    values = metadata.about.get(LABEL_VALUES, ",".join(metadata.labels)).split(",")
    return confusion(found, labels, metadata.labels, values, metadata.window.period_s)


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
