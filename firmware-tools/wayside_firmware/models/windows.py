"""Windows of recorded series to learn from, made as the agent's worker makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wayside_firmware.models.network import Array
from wayside_firmware.models.recording import Recorded
from wayside_shared.clock import NS_PER_S
from wayside_shared.errors import ConfigError
from wayside_shared.model_metadata import Window

MAX_PERIODS = 20_000_000
"""Of a whole recording; more is a mistake in the period."""


@dataclass(frozen=True, slots=True)
class Windows:
    """What a model sees.

    Args:
        values: windows times values, row after row, not normalised.
        ends_ns: when the last period of each is over, UTC in nanoseconds.
    """

    values: Array
    ends_ns: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Periods:
    """The periods of a recording, from the first reading to the last.

    Args:
        all: how many there are.
        empty: how many of them lack a reading of some series.
    """

    all: int
    empty: int

    def line(self) -> str:
        """In words."""
        return f"{self.empty:,} of {self.all:,} periods lack a reading of an input"


def periods_of(
    series: Sequence[Recorded], period_s: float, *, since_ns: int | None = None, until_ns: int | None = None
) -> Periods:
    """How many periods of `period_s` have what a window needs, of the time from `since_ns` to before `until_ns`.

    Raises:
        ConfigError: the period is too short for the recording.
    """
    period_ns = max(1, round(period_s * NS_PER_S))
    rows, first = _rows(series, period_ns, 0, until_ns)
    if since_ns is not None:
        rows = rows[max(0, since_ns // period_ns - first) :]
    return Periods(len(rows), int((~np.isfinite(rows).all(axis=1)).sum()))


def windows_of(
    series: Sequence[Recorded], window: Window, *, until_ns: int | None = None, phase: float = 0.0
) -> Windows:
    """The whole windows over `series`.

    Args:
        series: in the order of the model's inputs.
        window: what the model looks at.
        until_ns: readings from here on are not looked at.
        phase: where in a period they begin, 0 to 1; the worker's begin at 0.

    Raises:
        ConfigError: the period is too short for the recording.
    """
    period_ns = max(1, round(window.period_s * NS_PER_S))
    rows, first = _rows(series, period_ns, round(phase * period_ns), until_ns)
    measured = np.logical_and.reduce(np.isfinite(rows), axis=1)
    rows, known = _bridged(rows, measured, min(window.max_gap, window.samples - 1))
    if len(rows) < window.samples:
        return Windows(np.zeros((0, window.samples * len(series))), np.zeros(0, np.int64))
    views = np.lib.stride_tricks.sliding_window_view(rows, window.samples, axis=0).swapaxes(1, 2)
    numbers = first + np.arange(window.samples - 1, len(rows))
    whole = np.lib.stride_tricks.sliding_window_view(known, window.samples).all(axis=1)
    chosen = whole & measured[window.samples - 1 :] & (numbers % window.stride == 0)
    ends_ns = (numbers[chosen] + 1) * period_ns + round(phase * period_ns)
    return Windows(views[chosen].reshape(int(chosen.sum()), -1), ends_ns)


def labels_at(labels: Recorded, ends_ns: NDArray[np.int64], period_s: float) -> Sequence[str | None]:
    """The last label in the period before each of `ends_ns`; None where there is none."""
    order = np.argsort(labels.times_ns, kind="stable")
    times = labels.times_ns[order]
    places = np.searchsorted(times, ends_ns, side="left") - 1
    since_ns = ends_ns - round(period_s * NS_PER_S)
    return [
        labels.texts[order[place]] if place >= 0 and times[place] >= begin else None
        for place, begin in zip(places, since_ns, strict=True)
    ]


def _rows(series: Sequence[Recorded], period_ns: int, offset_ns: int, until_ns: int | None) -> tuple[Array, int]:
    """Means of the periods, NaN where there is nothing, and the number of the first."""
    kept = [each.times_ns < until_ns if until_ns is not None else slice(None) for each in series]
    cells = [(each.times_ns[chosen] - offset_ns) // period_ns for each, chosen in zip(series, kept, strict=True)]
    if any(not len(each) for each in cells):
        return np.zeros((0, len(series))), 0
    first, last = min(int(each.min()) for each in cells), max(int(each.max()) for each in cells)
    if last - first >= MAX_PERIODS:
        raise ConfigError(f"{last - first:,} periods from the first reading to the last; take a longer --period")
    rows = np.full((last - first + 1, len(series)), np.nan)
    for place, (each, chosen) in enumerate(zip(series, kept, strict=True)):
        counts = np.bincount(cells[place] - first, minlength=len(rows))
        sums = np.bincount(cells[place] - first, each.numbers()[chosen], minlength=len(rows))
        np.divide(sums, counts, out=rows[:, place], where=counts > 0)
    return rows, first


def _bridged(rows: Array, measured: NDArray[np.bool_], most: int) -> tuple[Array, NDArray[np.bool_]]:
    """`rows` with straight lines over gaps of at most `most`, and which rows have values then."""
    places = np.flatnonzero(measured)
    rows, known = rows.copy(), measured.copy()
    for before, after in pairwise(places.tolist()):
        if 1 < after - before <= most + 1:
            parts = (np.arange(before + 1, after) - before)[:, None] / (after - before)
            rows[before + 1 : after] = rows[before] + (rows[after] - rows[before]) * parts
            known[before + 1 : after] = True
    return rows, known
