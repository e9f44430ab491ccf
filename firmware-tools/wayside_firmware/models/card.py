"""The model card: what a model is, what it was made from and how well it does, for the person who deploys it."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wayside_firmware.models.evaluation import Span
from wayside_firmware.models.recording import time_text
from wayside_firmware.models.training import Trained
from wayside_firmware.models.worker import Run
from wayside_shared.clock import NS_PER_S
from wayside_shared.model_metadata import ModelKind, ModelMetadata

WIDTH, HEIGHT, EDGE = 960, 240, 24
"""Of the picture, in its own units."""


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
        "window": f"{window.samples} means over {window.period_s:g} s each, a new window every {window.stride}; "
        f"gaps of up to {window.max_gap} bridged",
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
        lines += ["", f"![The score over time, with the threshold]({picture})"]
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


def picture(run: Run, threshold: float, until_ns: int | None, windows: Sequence[Span]) -> str:
    """The score over time as SVG: labelled windows shaded, the time that was learned from underlined."""
    times, scores = run.times_ns, run.values["score"]
    begin, end = int(times[0]), int(times[-1])
    top = max(float(np.quantile(scores, 0.999)), 2 * threshold)

    def x(at_ns: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (at_ns - begin) / max(end - begin, 1)

    def y(score: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * min(score, top) / top

    shades = [
        f'<rect x="{x(max(a, begin)):.1f}" y="{EDGE}" width="{max(x(min(b, end)) - x(max(a, begin)), 1):.1f}" '
        f'height="{HEIGHT - 2 * EDGE}" fill="#f6c9c0"/>'
        for a, b in windows
        if b > begin and a < end
    ]
    learned = x(min(until_ns or end, end))
    points = " ".join(f"{x(at):.1f},{y(score):.1f}" for at, score in _thinned(times, scores))
    base = HEIGHT - EDGE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            'font-size="11">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *shades,
            f'<line x1="{EDGE}" y1="{base}" x2="{WIDTH - EDGE}" y2="{base}" stroke="#888888"/>',
            f'<line x1="{EDGE}" y1="{base}" x2="{learned:.1f}" y2="{base}" stroke="#2d7d46" stroke-width="4"/>',
            f'<line x1="{EDGE}" y1="{y(threshold):.1f}" x2="{WIDTH - EDGE}" y2="{y(threshold):.1f}" '
            'stroke="#b03020" stroke-dasharray="4 3"/>',
            f'<polyline points="{points}" fill="none" stroke="#1f4e79" stroke-width="1"/>',
            f'<text x="{EDGE}" y="{HEIGHT - 8}">{time_text(begin)}: learned from what is underlined</text>',
            f'<text x="{WIDTH - EDGE}" y="{HEIGHT - 8}" text-anchor="end">{time_text(end)} UTC</text>',
            f'<text x="{EDGE}" y="{EDGE - 8}">score, cut off at {top:.3g}; dashed: threshold {threshold:.3g}</text>',
            "</svg>",
            "",
        ]
    )


def _thinned(times: NDArray[np.int64], scores: NDArray[np.float64]) -> Sequence[tuple[int, float]]:
    """As many points as can be told apart: the largest score of each stretch."""
    step = max(1, len(times) // WIDTH)
    return [(int(times[at]), float(scores[at : at + step].max())) for at in range(0, len(times), step)]


def span_text(begin_ns: int, end_ns: int) -> str:
    """From when to when, and how long."""
    days = (end_ns - begin_ns) / NS_PER_S / 86_400
    return f"{time_text(begin_ns)} to {time_text(end_ns)} UTC ({days:.1f} days)"
