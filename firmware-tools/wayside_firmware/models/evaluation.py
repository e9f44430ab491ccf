"""Figures of what a model said, beside what was so."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wayside_firmware.models.recording import Recorded, time_ns, time_text
from wayside_firmware.models.windows import labels_at
from wayside_firmware.models.worker import Run
from wayside_shared.clock import NS_PER_S
from wayside_shared.errors import ConfigError

APART_NS: Final = 24 * 3600 * NS_PER_S
"""False alarms within a day of each other are one: nobody goes twice for them."""

Span = tuple[int, int]
"""From and to, both included, UTC in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """What a detector found.

    Args:
        windows: labelled ones in the time that was looked at.
        found: which of them hold an anomaly.
        false_alarms: when an anomaly was told of outside of them, those within a day of each other once, UTC in ns.
        begun: how many of those began outside; the others had begun in a labelled window and went on for a while.
    """

    windows: Sequence[Span]
    found: Sequence[bool]
    false_alarms: Sequence[int]
    begun: int

    def lines(self) -> Sequence[str]:
        """In words."""
        said = [f"found {sum(self.found)} of {len(self.windows)} labelled windows"]
        for (begin, end), found in zip(self.windows, self.found, strict=True):
            said.append(f"  {time_text(begin)} to {time_text(end)}: {'found' if found else 'MISSED'}")
        said.append(
            f"{counted(len(self.false_alarms), 'false alarm')}, those within 24 h counted once; "
            f"{self.begun} began outside"
        )
        said += [f"  {time_text(at)}" for at in self.false_alarms]
        return said


def counted(number: int, noun: str) -> str:
    """`number` with `noun`, in the plural where it is not one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def alarms(times_ns: NDArray[np.int64], anomaly: NDArray[np.bool_], windows: Sequence[Span], from_ns: int) -> Alarms:
    """The figures of a detector from `from_ns` on.

    Args:
        times_ns: of each score, rising.
        anomaly: whether it told of an anomaly then.
        windows: when there was one.
        from_ns: what lies before was learned from.
    """
    looked_at = times_ns >= from_ns
    counted = [each for each in windows if each[1] >= from_ns]
    inside = np.zeros(len(times_ns), bool)
    found = []
    for begin, end in counted:
        within = (times_ns >= begin) & (times_ns <= end)
        inside |= within
        found.append(bool((anomaly & within & looked_at).any()))
    outside = anomaly & looked_at & ~inside
    begins = outside & ~np.concatenate(([False], anomaly[:-1]))
    return Alarms(counted, found, _apart(times_ns[outside]), len(_apart(times_ns[begins])))


def _apart(times_ns: NDArray[np.int64]) -> list[int]:
    kept: list[int] = []
    last = None
    for at in times_ns.tolist():
        if last is None or at - last > APART_NS:
            kept.append(at)
        last = at
    return kept


@dataclass(frozen=True, slots=True)
class Confusion:
    """What a classifier said beside what was so.

    Args:
        labels: its own.
        counts: rows are what was so, columns what it said.
        unlabelled: windows without a label, or with one that it does not know.
    """

    labels: Sequence[str]
    counts: NDArray[np.int64]
    unlabelled: int

    @property
    def accuracy(self) -> float:
        """The part that it said right."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts)) / total if total else 0.0

    def lines(self) -> Sequence[str]:
        """In words."""
        said = [f"accuracy {self.accuracy:.4f} over {int(self.counts.sum()):,} windows"]
        for place, label in enumerate(self.labels):
            row = ", ".join(f"{self.counts[place, at]:,} as {each}" for at, each in enumerate(self.labels))
            said.append(f"  of {int(self.counts[place].sum()):,} that were {label}: {row}")
        if self.unlabelled:
            said.append(f"  {self.unlabelled:,} windows without a label")
        return said


def confusion(run: Run, labels: Recorded, known: Sequence[str], values: Sequence[str], period_s: float) -> Confusion:
    """The figures of a classifier.

    Args:
        run: what it said.
        labels: what was so.
        known: its labels, in their order.
        values: what stands for each in `labels`.
        period_s: of its window.
    """
    counts = np.zeros((len(known), len(known)), np.int64)
    unlabelled = 0
    were = labels_at(labels, run.times_ns, period_s)
    for was, said in zip(were, run.values.get("class", np.zeros(0)).astype(int), strict=True):
        if was in values:
            counts[values.index(was), said] += 1
        else:
            unlabelled += 1
    return Confusion(known, counts, unlabelled)


def read_windows(path: Path, series: str) -> Sequence[Span]:
    """Labelled windows from JSON, a list of pairs of times or an object with one by name, or CSV with from and to.

    Raises:
        ConfigError: it is none of these.
    """
    try:
        text = path.read_text()
        pairs = _json_pairs(json.loads(text), series) if path.suffix == ".json" else _csv_pairs(text)
        return sorted((time_ns(begin), time_ns(end)) for begin, end in pairs)
    except OSError as error:
        raise ConfigError(f"{error.strerror}", source=str(path)) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"no list of windows, each a pair of times: {error}", source=str(path)) from error


def _json_pairs(value: Any, series: str) -> Any:
    if isinstance(value, dict):
        named = [each for name, each in value.items() if series in name]
        return named[0] if named else next(iter(value.values()), None)
    return value


def _csv_pairs(text: str) -> list[list[str]]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    return [row[:2] for row in rows if row[0][:1].isdigit()]
