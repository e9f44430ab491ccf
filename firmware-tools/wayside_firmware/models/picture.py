"""Pictures for a model's card, as SVG: what it said over time, beside what was so."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from itertools import pairwise
from math import floor, log10
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wayside_firmware.models.evaluation import Span
from wayside_firmware.models.recording import time_text
from wayside_firmware.models.worker import Run
from wayside_shared.clock import NS_PER_S

WIDTH: Final = 960
LEFT, RIGHT, TOP, BOTTOM = 96, 16, 52, 40
"""Margins, in the picture's own units: numbers and names at the left, title and key above, dates below."""
SCORE_HEIGHT, ROW_HEIGHT = 220, 64
MOST_ROWS: Final = 8
"""Labels that are drawn; more would be a wall."""

MOST_SIGNS: Final = 12
"""Of a label: the margin has no more room."""

TICKS: Final = 8
"""At most that many dates, each as wide as `2026-05-01 12:00` is."""
DAY_S: Final = 86_400
STEPS_S: Final = (
    *(1, 2, 5, 10, 30),
    *(minutes * 60 for minutes in (1, 2, 5, 10, 30)),
    *(hours * 3600 for hours in (1, 2, 3, 6, 12)),
    *(days * DAY_S for days in (1, 2, 7, 14, 28, 91, 365)),
)
"""From one date to the next."""

APART: Final = 3.5
"""Times the usual distance between windows: a line over a longer gap would claim what nobody measured."""

BLUE, RED, PINK, GREEN, GREY = "#1f4e79", "#b03020", "#f6c9c0", "#2d7d46", "#888888"
Numbers = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where times lie in the picture.

    Args:
        begin: the first, UTC in nanoseconds.
        end: the last.
        base: where the time axis lies.
    """

    begin: int
    end: int
    base: int

    def x(self, at_ns: float) -> float:
        inside = min(max(at_ns, self.begin), self.end)
        return LEFT + (WIDTH - LEFT - RIGHT) * (inside - self.begin) / max(self.end - self.begin, 1)

    def band(self, span: Span, top: float, height: float, colour: str) -> str:
        x, width = self.x(span[0]), max(self.x(span[1]) - self.x(span[0]), 2)
        return f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'

    def dates(self) -> Iterator[str]:
        """The time axis, with ticks."""
        yield _line(LEFT, self.base, WIDTH - RIGHT, self.base, GREY)
        spans_s = (self.end - self.begin) / NS_PER_S
        step_s = next((each for each in STEPS_S if spans_s / each < TICKS), STEPS_S[-1])
        step_ns = step_s * NS_PER_S
        for at in range(-(-self.begin // step_ns) * step_ns, self.end + 1, step_ns):
            text = time_text(at)[: 10 if step_s >= DAY_S else 16 if step_s >= 60 else 19]
            x = self.x(at)
            yield _line(x, self.base, x, self.base + 4, GREY)
            anchor = "end" if x > WIDTH - RIGHT - 30 else "middle"
            yield _text(x, self.base + 16, text, anchor)
        yield _text(WIDTH - RIGHT, self.base + 30, f"UTC, {time_text(self.begin)} to {time_text(self.end)}", "end")

    def learned(self, until_ns: int | None) -> str:
        end = self.x(self.end if until_ns is None else until_ns)
        return _line(LEFT, self.base + 2, end, self.base + 2, GREEN, 4)


def score_picture(name: str, run: Run, threshold: float, until_ns: int | None, windows: Sequence[Span]) -> str:
    """The score of an autoencoder over time.

    Args:
        name: of the model's file.
        run: what it said; of one window at least.
        threshold: of its score.
        until_ns: what lies before was learned from; None for all of it.
        windows: labelled anomalies.
    """
    times, scores, anomaly = run.times_ns, run.values["score"], run.values["anomaly"] > 0
    highest = float(scores.max())
    usual = max(float(np.quantile(scores, 0.999)), 2 * threshold)
    # A little of what is rare is not worth a cut.
    top = (highest * 1.05 if highest < 1.5 * usual else usual) or 1.0
    base = TOP + SCORE_HEIGHT
    frame = _Frame(int(times[0]), int(times[-1]), base)

    def y(score: float) -> float:
        return base - SCORE_HEIGHT * min(score, top) / top

    cut = f", cut off at {top:.3g} (it reaches {highest:.3g})" if highest > top else ""
    inside = [span for span in windows if span[1] > frame.begin and span[0] < frame.end]
    parts = [_text(LEFT, 18, f"{name}: score over time{cut}", size=14)]
    parts += [frame.band(span, TOP, SCORE_HEIGHT, PINK) for span in inside]
    parts += _numbers(top, y)
    parts += frame.dates()
    parts.append(frame.learned(until_ns))
    parts.append(_line(LEFT, y(threshold), WIDTH - RIGHT, y(threshold), RED, dashed=True))
    parts += _curve(frame, times, scores, y)
    parts += [frame.band(span, TOP - 8, 6, RED) for span in _stretches(times, anomaly)]
    key = [("line", BLUE, "score"), ("dash", RED, f"threshold {threshold:.3g}"), ("bar", RED, "alarm")]
    key += [("box", PINK, "labelled anomaly")] if inside else []
    return _svg(base + BOTTOM, [*parts, *_key([*key, ("bar", GREEN, "learned from")])])


def class_picture(name: str, run: Run, labels: Sequence[str], were: Sequence[str | None], until_ns: int | None) -> str:
    """The probabilities of a classifier over time, a row for each label, shaded where that is what was so.

    Args:
        name: of the model's file.
        run: what it said; of one window at least.
        labels: of the model.
        were: the label of each window; None where there is none.
        until_ns: what lies before was learned from; None for all of it.
    """
    times = run.times_ns
    # Of two, the other row would be the same upside down.
    drawn = labels[1:] if len(labels) == 2 else labels[:MOST_ROWS]
    height = ROW_HEIGHT if len(drawn) > 2 else 2 * ROW_HEIGHT
    frame = _Frame(int(times[0]), int(times[-1]), TOP + height * len(drawn))
    parts = [_text(LEFT, 18, f"{name}: probability over time", size=14)]
    for place, label in enumerate(drawn):
        top = TOP + height * place
        low, high = top + height, top + 8
        so = np.array([each == label for each in were])
        parts += [frame.band(span, high, low - high, PINK) for span in _stretches(times, so)]
        parts += [_text(LEFT - 22, (low + high) / 2 + 4, _short(label), "end"), _text(LEFT - 6, low, "0", "end")]
        parts += [_text(LEFT - 6, high + 8, "1", "end"), _line(LEFT, low, WIDTH - RIGHT, low, GREY)]
        values = run.values[f"probability_{label}"]
        parts += _curve(frame, times, values, partial(_between, low, high))
    parts += frame.dates()
    parts.append(frame.learned(until_ns))
    key = [("line", BLUE, "probability"), ("box", PINK, "it was so, by the label"), ("bar", GREEN, "learned from")]
    return _svg(frame.base + BOTTOM, [*parts, *_key(key)])


def _numbers(top: float, y: Callable[[float], float]) -> Iterator[str]:
    """The axis of numbers, from 0 to `top`."""
    rough = top / 4
    power = 10.0 ** floor(log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
    for count in range(int(top / step) + 1):
        at = y(count * step)
        yield _line(LEFT - 4, at, WIDTH - RIGHT, at, "#e4e4e4")
        yield _text(LEFT - 8, at + 4, f"{count * step:g}", "end")


def _short(label: str) -> str:
    return label if len(label) <= MOST_SIGNS else f"{label[: MOST_SIGNS - 1]}…"


def _between(low: float, high: float, part: float) -> float:
    return low - (low - high) * part


def _curve(frame: _Frame, times: Times, values: Numbers, y: Callable[[float], float]) -> Iterator[str]:
    """A line through the values, which ends where no window is for a while."""
    if len(times) < 2:
        yield f'<circle cx="{frame.x(int(times[0])):.1f}" cy="{y(float(values[0])):.1f}" r="2" fill="{BLUE}"/>'
        return
    step = max(1, len(times) // (WIDTH - LEFT - RIGHT))
    for begin, end in pairwise([0, *_cuts(times), len(times)]):
        points = " ".join(
            f"{frame.x(int(times[at])):.1f},{y(float(values[at])):.1f}"
            for at in _telling(values[begin:end], step, begin)
        )
        yield f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-linecap="round"/>'


def _telling(values: Numbers, step: int, first: int) -> Iterator[int]:
    """Places, counted from `first`, of the least and the largest of each `step` values."""
    for begin in range(0, len(values), step):
        part = values[begin : begin + step]
        for place in sorted({int(part.argmin()), int(part.argmax())}):
            yield first + begin + place


def _stretches(times: Times, marked: NDArray[np.bool_]) -> Iterator[Span]:
    """From and to of the windows in a row that are marked."""
    changes = (np.flatnonzero(marked[1:] != marked[:-1]) + 1).tolist()
    for begin, end in pairwise(sorted({0, *changes, *_cuts(times), len(times)})):
        if marked[begin]:
            yield int(times[begin]), int(times[end - 1])


def _cuts(times: Times) -> Sequence[int]:
    """Places before which no window is for a while."""
    between = np.diff(times)
    places: list[int] = (np.flatnonzero(between > APART * np.median(between)) + 1).tolist() if len(between) else []
    return places


def _key(entries: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """What the colours mean, in one line under the title."""
    x = float(LEFT)
    for kind, colour, text in entries:
        if kind == "box":
            yield f'<rect x="{x:.0f}" y="26" width="18" height="11" fill="{colour}"/>'
        elif kind == "bar":
            yield f'<rect x="{x:.0f}" y="29" width="18" height="5" fill="{colour}"/>'
        else:
            yield _line(x, 32, x + 18, 32, colour, dashed=kind == "dash")
        yield _text(x + 23, 36, text)
        x += 42 + 6.2 * len(text)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"'
        f"{dashes}/>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _svg(height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>", ""])
