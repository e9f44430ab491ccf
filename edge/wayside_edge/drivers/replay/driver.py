"""The driver that plays back recorded measurements at the pace of the recording, or a multiple of it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite

from wayside_edge.drivers.replay.recording import NAN, Row, rows
from wayside_edge.drivers.replay.settings import ReplaySettings, Times
from wayside_edge.errors import OutboxError, SensorError, TransientError
from wayside_edge.ports import DriverKind, Reading

ROWS_PER_READ = 5_000
"""Bounds the memory of one read at a high speed; what is left comes with the next."""
PASSED_PER_READ = 50_000
"""Rows passed over in one read when a recording is resumed: about a second on a small board."""


class Replay:
    """A recording as a sensor.

    With recorded times a read gives every row that is due. With `times = "now"` it gives one row at most, as a chip
    would, so that the recording runs no faster than one row an interval. A cell that is no number, and every cell of
    a row without a readable time, comes as NaN, which the batcher refuses and counts.

    Args:
        settings: its settings.
        monotonic_ns: the clock that paces it, in nanoseconds.
    """

    def __init__(self, settings: ReplaySettings, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._settings = settings
        self._monotonic_ns = monotonic_ns
        self._rows: Iterator[Row] = iter(())
        self._next: Row | None = None
        self._failure: TransientError | None = None
        self._given = 0
        self._begin_ns: int | None = None
        self._from_ns = 0
        self._first_ns: int | None = None
        self._last_ns = 0
        self._step_ns = 0
        self._shift_ns = 0
        self._ask: Callable[[], Mapping[str, int]] | None = None
        self._accepted: Mapping[str, int] = {}

    def resume_after(self, accepted: Callable[[], Mapping[str, int]]) -> None:
        """See `Resuming`. With live times there is nothing to resume: a replay is a new measurement."""
        self._ask = accepted if self._settings.times is Times.RECORDED else None

    def start(self) -> None:
        """See `Driver`. After a failure it goes on behind the last row that it gave."""
        self._failure = None
        if self._ask is not None:
            try:
                self._accepted, self._ask = self._ask(), None
            except OutboxError as error:
                raise SensorError(f"the recording waits for the outbox, which knows where it was: {error}") from error
        self._rows = islice(rows(self._settings), self._given, None)
        self._next = next(self._rows, None)
        if self._next is None and not self._given:
            raise SensorError(f"{self._settings.file} holds no rows")

    def read(self) -> Sequence[Reading]:
        """See `Driver`. Empty while no row is due, and after the end."""
        live = self._settings.times is Times.NOW
        readings: list[Reading] = []
        failure, self._failure = self._failure, None
        for _ in range(1 if live else ROWS_PER_READ):
            try:
                row = self._due() if failure is None else None
            except TransientError as error:
                failure = error
                row = None
            if row is None:
                break
            readings.extend(self._readings(row))
        if failure is not None and not readings:
            raise failure
        self._failure = failure  # what was read before it must not be lost with it
        return readings

    def close(self) -> None:
        """See `Driver`."""
        self._rows = iter(())
        self._next = None

    def _due(self) -> Row | None:
        """The next row when its time has come, taken off the recording."""
        for _ in range(PASSED_PER_READ if self._accepted else 1):
            row = self._peek()
            passed = row is not None and self._was_accepted(row)
            if row is None or not (passed or self._has_come(row)):
                return None
            self._take(row)
            if not passed:
                return row
        return None

    def _peek(self) -> Row | None:
        if self._next is None:
            self._next = next(self._rows, None)
        if self._next is None and self._settings.loop and self._given:
            self._rewind()
        return self._next

    def _take(self, row: Row) -> None:
        self._given += 1
        self._next = None
        if row.time_ns is None:
            return
        if self._first_ns is None:
            self._first_ns = self._last_ns = row.time_ns
        step_ns = row.time_ns - self._last_ns
        self._step_ns, self._last_ns = step_ns if step_ns > 0 else self._step_ns, row.time_ns

    def _was_accepted(self, row: Row) -> bool:
        """Whether all that can be accepted of `row` was, before this agent started. A row without a readable time goes
        with those around it."""
        if not self._accepted:
            return False
        if row.time_ns is None:
            return self._begin_ns is None
        time_ns = row.time_ns + self._shift_ns
        columns = zip(self._settings.columns, row.values, strict=True)
        given = [column.name for column, value in columns if value is not None and isfinite(value)]
        return all(time_ns <= self._accepted.get(name, time_ns - 1) for name in given)

    def _has_come(self, row: Row) -> bool:
        if row.time_ns is None:
            return True
        now_ns, time_ns = self._monotonic_ns(), row.time_ns + self._shift_ns
        if self._begin_ns is None:
            self._begin_ns, self._from_ns = now_ns, time_ns
        return time_ns - self._from_ns <= (now_ns - self._begin_ns) * self._settings.speed

    def _rewind(self) -> None:
        """Begin again, one step after the end, so that no time comes twice."""
        if self._first_ns is not None:
            length_ns = self._last_ns - self._first_ns + max(self._step_ns, 1_000_000)
            # Whole rounds that were accepted before are not played to be passed over.
            behind_ns = min(self._accepted.values(), default=0) - self._first_ns - self._shift_ns
            self._shift_ns += max(behind_ns // length_ns, 1) * length_ns
            self._last_ns = self._first_ns
        self._given = 0
        self._rows = rows(self._settings)
        self._next = next(self._rows, None)

    def _readings(self, row: Row) -> Iterator[Reading]:
        recorded = self._settings.times is Times.RECORDED
        time_ns = row.time_ns + self._shift_ns if recorded and row.time_ns is not None else None
        for column, value in zip(self._settings.columns, row.values, strict=True):
            if value is not None and not (time_ns is not None and time_ns <= self._accepted.get(column.name, 0)):
                number = NAN if recorded and row.time_ns is None else value
                yield Reading(column.name, number, column.unit, time_ns=time_ns, decimals=column.decimals)


KIND = DriverKind(
    title="Recorded measurements, played back from a CSV file",
    settings=ReplaySettings,
    build=lambda settings, _bus, _buses: Replay(settings),
)
