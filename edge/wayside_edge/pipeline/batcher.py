"""Gathers readings into batches. Pure: it knows no clock but the times it is given."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, TypeAlias, TypeVar

from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import ABSOLUTE, ClosedBatch, Reading
from wayside_shared.batch import MAX_SERIES, Column, Marks, encode_body
from wayside_shared.clock import EARLIEST_NS, LATEST_NS, NS_PER_MS, NS_PER_S, NS_PER_US, ClockMap
from wayside_shared.errors import RejectedError
from wayside_shared.identifiers import check_series_name
from wayside_shared.quality import Quality
from wayside_shared.rejects import RejectCode
from wayside_shared.text import check_text
from wayside_shared.units import check_unit
from wayside_shared.values import Scalar

FINE_INTERVAL_NS: Final = 10 * NS_PER_MS
"""Sensors that are read more often than this get microsecond stamps, all others milliseconds: finer than the jitter
of a Linux thread (tenths of a millisecond) they would only cost bytes on the wire."""

NUMBER_BYTES: Final = 16
"""Most that a number and its time take before deflation."""

MAX_REACH_NS: Final = 2 * 10**18
"""Decoders refuse a time column whose second differences might overflow 64 bits, by a bound that grows with its length
and its gaps; half of theirs (`wayside_shared.columns`) leaves room. Reached by recordings with gaps of months, and by
a board that slept as long."""

_INT64: Final = 1 << 63

_Key: TypeAlias = tuple[str, str, type]
_K = TypeVar("_K", bound=tuple[object, ...])


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that cannot be accepted.

    Args:
        series: its series name.
        code: why.
    """

    series: str
    code: RejectCode


@dataclass(slots=True)
class _Series:
    """The samples of one column; `travel_ns` is how far its times have moved, forth and back added up."""

    times: list[int] = field(default_factory=list)
    values: list[Scalar] = field(default_factory=list)
    travel_ns: int = 0

    def fits(self, time_ns: int) -> bool:
        """Whether a decoder can still follow the times: see `MAX_REACH_NS`."""
        travel_ns = self.travel_ns + (abs(time_ns - self.times[-1]) if self.times else 0)
        return 3 * travel_ns * (len(self.times) + 1) < MAX_REACH_NS

    def add(self, time_ns: int, value: Scalar) -> None:
        if self.times:
            self.travel_ns += abs(time_ns - self.times[-1])
        self.times.append(time_ns)
        self.values.append(value)


@dataclass(slots=True)
class _Open:
    """A batch that still takes samples, by (series, unit, type)."""

    opened_ns: int
    columns: dict[_Key, _Series] = field(default_factory=dict)
    marks: dict[tuple[str, str], _Series] = field(default_factory=dict)
    n: int = 0
    size: int = 0

    def has_room(self, key: _Key, time_ns: int, quality: Quality) -> bool:
        column, mark = self.columns.get(key), self.marks.get(key[:2])
        if (column is not None and not column.fits(time_ns)) or (mark is not None and not mark.fits(time_ns)):
            return False
        new = (column is None) + (mark is None and quality is not Quality.GOOD)
        return len(self.columns) + len(self.marks) + new <= MAX_SERIES

    def add(self, key: _Key, time_ns: int, value: Scalar | None, quality: Quality) -> None:
        self.n += 1
        if quality is not Quality.GOOD:
            _into(self.marks, key[:2], time_ns, int(quality))
            self.size += NUMBER_BYTES
        if value is not None:
            if key not in self.columns:
                self.size += len(key[0]) + len(key[1]) + 32
            _into(self.columns, key, time_ns, value)
            self.size += len(value.encode()) + 8 if isinstance(value, str) else NUMBER_BYTES


def _into(columns: dict[_K, _Series], key: _K, time_ns: int, value: Scalar) -> None:
    column = columns.get(key)
    if column is None:
        column = columns[key] = _Series()
    column.add(time_ns, value)


class Batcher:
    """Open batches and those that are full: one for boot times and one for UTC times (recordings).

    Args:
        settings: when to close a batch.
        boot_id: the boot whose times `add` gets, 16 bytes.
    """

    def __init__(self, settings: BatchSettings, boot_id: bytes) -> None:
        self._settings = settings
        self._boot_id = boot_id
        self._open: dict[bool, _Open] = {}
        self._full: list[tuple[bool, _Open]] = []

    @property
    def pending(self) -> int:
        """Samples added and not taken yet."""
        return sum(part.n for part in self._open.values()) + sum(part.n for _, part in self._full)

    @property
    def due_ns(self) -> int | None:
        """The boot time at which there is a batch to take; None while there are no samples, 0 when one is full."""
        if self._full:
            return 0
        age_ns = round(self._settings.max_age_s * NS_PER_S)
        return min((part.opened_ns + age_ns for part in self._open.values()), default=None)

    def add(
        self,
        sensor: str,
        readings: Iterable[Reading],
        boottime_ns: int,
        interval_ns: int,
        *,
        ended_ns: int | None = None,
    ) -> list[Refused]:
        """Add what a driver read.

        Args:
            sensor: its name; a reading's series is `<sensor>.<reading>`.
            readings: what it read.
            boottime_ns: when, for those readings that do not say it themselves.
            interval_ns: how often it is read; decides how finely the stamp is rounded.
            ended_ns: the end of the read, from which the ages of readings count; None when that is `boottime_ns`.

        Returns:
            Those that can never be accepted; all others are in a batch.
        """
        step = NS_PER_US if interval_ns < FINE_INTERVAL_NS else NS_PER_MS
        stamp_ns = (boottime_ns + step // 2) // step * step
        ended_ns = boottime_ns if ended_ns is None else ended_ns
        refused = []
        for reading in readings:
            series = f"{sensor}.{reading.name}"
            try:
                value = _checked(series, reading)
            except RejectedError as error:
                refused.append(Refused(series, error.code))
                continue
            absolute = reading.time_ns is not None
            time_ns = reading.time_ns if reading.time_ns is not None else stamp_ns
            if reading.age_ns:  # a FIFO or the kernel knows the time better than the schedule does
                time_ns = (ended_ns - reading.age_ns) // NS_PER_US * NS_PER_US
            key = (series, reading.unit, _family(value))
            self._add(absolute, boottime_ns, key, time_ns, value, reading.quality)
        return refused

    def take(self, now: ClockMap, *, everything: bool = False) -> list[ClosedBatch]:
        """The batches that are full or old enough, closed; with `everything` the open ones too.

        Args:
            now: both clocks at this moment; goes into the batches.
            everything: close all that is open.
        """
        age_ns = round(self._settings.max_age_s * NS_PER_S)
        for absolute, part in list(self._open.items()):
            if everything or now.boottime_ns - part.opened_ns >= age_ns:
                self._full.append((absolute, self._open.pop(absolute)))
        full, self._full = self._full, []
        return [self._close(part, ABSOLUTE if absolute else now) for absolute, part in full]

    def _add(
        self, absolute: bool, boottime_ns: int, key: _Key, time_ns: int, value: Scalar | None, quality: Quality
    ) -> None:
        part = self._open.get(absolute)
        if part is not None and not part.has_room(key, time_ns, quality):
            self._full.append((absolute, self._open.pop(absolute)))
            part = None
        if part is None:
            part = self._open[absolute] = _Open(boottime_ns)
        part.add(key, time_ns, value, quality)
        if part.n >= self._settings.max_samples or part.size >= self._settings.max_bytes:
            self._full.append((absolute, self._open.pop(absolute)))

    def _close(self, part: _Open, clock: ClockMap) -> ClosedBatch:
        columns = [
            Column(series, unit, samples.times, samples.values) for (series, unit, _), samples in part.columns.items()
        ]
        marks = [
            Marks(series, unit, samples.times, [int(value) for value in samples.values])
            for (series, unit), samples in part.marks.items()
        ]
        recorded: dict[str, int] = {}
        if clock is ABSOLUTE:
            for (series, _, _), samples in part.columns.items():
                recorded[series] = max(recorded.get(series, 0), *samples.times)
        return ClosedBatch(part.n, encode_body(columns, (), marks), self._boot_id, clock, recorded)


def _family(value: Scalar | None) -> type:
    """The type that decides the column: integers and floats share one."""
    return float if type(value) is int else type(value)


def _checked(series: str, reading: Reading) -> Scalar | None:
    """The value to store, rounded to what the chip resolves; None when there is none and the quality says why."""
    check_series_name(series)
    check_unit(reading.unit)
    if reading.time_ns is not None and not EARLIEST_NS <= reading.time_ns < LATEST_NS:
        raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, f"{reading.time_ns} ns")
    value = reading.value
    if value is None and reading.quality.has_value:
        raise RejectedError(RejectCode.NON_FINITE, f"no value, of quality {reading.quality.label}")
    if value is None or not reading.quality.has_value:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(value)
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise RejectedError(RejectCode.OUT_OF_RANGE, "an integer is beyond 64 bits")
        return value
    if not isfinite(value):
        raise RejectedError(RejectCode.NON_FINITE, "NaN or infinite")
    return value if reading.decimals is None else round(value, reading.decimals)
