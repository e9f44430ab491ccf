"""A figure, what it stands beside, and how both are shown."""

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

TARGETS: dict[str, tuple[str, float]] = {
    "ingest_vs_copy": (">=", 0.5),
    "ingest_vs_plain": (">=", 15),
    "export_csv_vs_copy": (">=", 0.7),
    "wire_bytes_per_sample": ("<=", 2.0),
    "wire_bytes_per_sample_jitter": ("<=", 2.0),
    "agent_rss_mb": ("<=", 40),
    "agent_cpu_pct": ("<=", 1),
    "outbox_samples_per_s": (">=", 5_000),
    "latency_p50_s": ("<=", 1.2),
    "latency_p99_s": ("<=", 2.5),
    "first_sample_s": ("<=", 10),
    "sensors_cpu_pct": ("<=", 15),
    "sensors_missed": ("<=", 0),
    "sensors_jitter_p99_ms": ("<=", 5),
    "fifo_lost": ("<=", 0),
    "driver_overhead_us": ("<=", 150),
    "tflite_vs_bare": ("<=", 2.0),
    "tflite_worker_rss_mb": ("<=", 60),
    "anomaly_windows_found": (">=", 3),
    "anomaly_false_alarms": ("<=", 5),
    "occupancy_accuracy": (">=", 0.95),
    "wasm_call_us": ("<=", 200),
    "wasm_worker_rss_mb": ("<=", 60),
    "storm_2000_s": ("<=", 60),
    "neighbour_request_p99": ("<=", 1.2),
    "neighbour_batch_p99": ("<=", 1.2),
    "rotation_lost": ("<=", 0),
    "rotation_doubled": ("<=", 0),
}
"""What must be reached on two cores; a figure without one is told for truth's sake."""

_began = time.monotonic()


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Args:
        group: its group.
        name: unique in the group.
        value: as measured.
        unit: of `value`.
        against: the peer or limit beside it, with its own figure and how often both were measured.
        ratio: `value` over the peer's or limit's figure; None when there is none.
    """

    group: str
    name: str
    value: float
    unit: str
    against: str
    ratio: float | None = None

    def line(self) -> str:
        """In short."""
        return f"{self.name} = {shown(self.value)} {self.unit}"

    @property
    def verdict(self) -> str:
        """The target and whether it was reached; empty without one."""
        if self.name not in TARGETS:
            return ""
        sign, bound = TARGETS[self.name]
        reached = self.value >= bound if sign == ">=" else self.value <= bound
        return f"{sign} {shown(bound)} {'reached' if reached else 'MISSED'}"


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure; `quick` is for smoke tests."""

    quick: bool

    def of(self, full: int, quick: int) -> int:
        """The size to take."""
        return quick if self.quick else full


def within(group: str, name: str, value: float, unit: str, how: str) -> Figure:
    """A figure beside its own target, as a limit."""
    sign, bound = TARGETS[name]
    ratio = value / bound if bound else None
    return Figure(group, name, value, unit, f"{sign} {shown(bound)}; {how}", ratio)


def middle(values: Sequence[float]) -> str:
    """Median and spread in words."""
    if len(values) == 1:
        return f"{shown(values[0])}, once"
    return f"{shown(median(values))}, median of {len(values)} ({shown(min(values))} to {shown(max(values))})"


def shown(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def merged(before: Iterable[dict[str, Any]], now: Sequence[Figure]) -> list[dict[str, Any]]:
    """The rows of `before` with those of `now` in place of theirs."""
    measured = {(figure.group, figure.name) for figure in now}
    kept = [row for row in before if (row["group"], row["name"]) not in measured]
    return [*kept, *(asdict(figure) for figure in now)]


def table(figures: Sequence[Figure]) -> str:
    """All of it for people."""
    rows = [("figure", "value", "unit", "ratio", "target", "beside")]
    for figure in figures:
        ratio = "" if figure.ratio is None else shown(figure.ratio)
        rows.append((figure.name, shown(figure.value), figure.unit, ratio, figure.verdict, figure.against))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def progress(text: str) -> None:
    """A line on standard error with the seconds since the start."""
    print(f"{time.monotonic() - _began:6.1f} s  {text}", file=sys.stderr, flush=True)
