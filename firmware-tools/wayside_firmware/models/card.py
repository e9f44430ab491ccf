"""The model card: what a model is, what it was made from and how well it does, for the person who deploys it."""

import hashlib
from collections.abc import Mapping, Sequence

from wayside_firmware.models.training import Trained
from wayside_shared.model_metadata import ModelKind, ModelMetadata, Window


def card(name: str, trained: Trained, made: Mapping[str, str], figures: Sequence[str], picture: str | None) -> str:
    """The text of the card, in Markdown.

    Args:
        name: of the model's file.
        trained: the model.
        made: how, in words.
        figures: lines of what was measured; a line that begins with two blanks belongs to the one before.
        picture: name of the picture's file beside it.
    """
    metadata = trained.metadata
    window = metadata.window
    lines = [f"# {name}", "", _purpose(metadata), "", "| | |", "| --- | --- |"]
    rows = {
        "SHA-256": f"`{hashlib.sha256(trained.file).hexdigest()}`",
        "size": f"{len(trained.file):,} bytes",
        "window": window_text(window),
        **made,
    }
    if metadata.scoring:
        scoring = metadata.scoring
        rows["alarm"] = (
            f"score averaged over {scoring.smoothing} windows, above {scoring.threshold:.6g}, "
            f"{scoring.consecutive} in a row"
        )
    lines += [f"| {key} | {value} |" for key, value in rows.items()]
    lines += ["", "## Inputs, in this order", "", "| name | unit | mean | scale |", "| --- | --- | --- | --- |"]
    lines += [f"| {each.name} | `{each.unit}` | {each.mean:.6g} | {each.scale:.6g} |" for each in metadata.inputs]
    lines += ["", "## Figures", "", "Through the program that runs it on the board.", ""]
    lines += [f"  - {line.strip()}" if line.startswith("  ") else f"- {line}" for line in figures]
    if picture:
        lines += ["", f"![What it said over time]({picture})"]
    lines += ["", "## What it cannot tell", "", *_limits(metadata)]
    return "\n".join(lines) + "\n"


def _purpose(metadata: ModelMetadata) -> str:
    match metadata.kind:
        case ModelKind.AUTOENCODER:
            return (
                "An autoencoder: it gives its window again through a narrow place, which it has learned to do for what "
                "is usual. The score says how badly it does: the mean square of the difference, in normalised units."
            )
        case ModelKind.CLASSIFIER:
            return f"A classifier: it gives a probability for each of {', '.join(metadata.labels)}."
        case ModelKind.REGRESSOR:
            return "A regressor: it gives values."


def _limits(metadata: ModelMetadata) -> Sequence[str]:
    if metadata.kind is ModelKind.AUTOENCODER:
        return [
            "Whatever is unlike the time that it learned from scores high, whether anything is wrong or not: a new",
            "product, a season, a moved sensor. What was wrong all the time that it learned from is usual to it. Its",
            "threshold lies above everything it saw then, so that it needs a time in which nothing was wrong.",
        ]
    return [
        "It knows the labels that it learned and no other; every window gets one of them. Where what goes in is unlike",
        "what it learned from, its probabilities mean nothing.",
    ]


def window_text(window: Window) -> str:
    """What a model looks at, in words."""
    every = f"a new window every {window.stride * window.period_s:g} s"
    if window.samples == 1:
        return f"one mean over {window.period_s:g} s, {every}"
    bridged = min(window.max_gap, window.samples - 1)
    gaps = f"up to {bridged} missing in a row are bridged" if bridged else "none may be missing"
    return f"{window.samples} means over {window.period_s:g} s each, {every}; {gaps}"
