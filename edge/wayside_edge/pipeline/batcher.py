"""Gathers readings into batches. Pure: it knows no clock but the times it is given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from typing import Final, TypeAlias, TypeVar

from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import ABSOLUTE, Burst, Bursts, ClosedBatch, Reading
from wayside_shared.batch import MAX_SERIES, MAX_SPAN_NS, Column, Marks, encode_body
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

MAX_BURST: Final = 4096
"""Readings of one read that may go into a batch as a whole, over its limits: 64 KiB of `NUMBER_BYTES`, which together
with the largest `max_bytes` is what a decoder takes. Longer ones go in one by one."""

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

    def fits_all(self, times: Sequence[int]) -> bool:
        """The same for times that only go on."""
        travel_ns = self.travel_ns + (abs(times[0] - self.times[-1]) if self.times else 0) + times[-1] - times[0]
        return 3 * travel_ns * (len(self.times) + len(times)) < MAX_REACH_NS

    def extend(self, times: Sequence[int], values: Iterable[float]) -> None:
        """Add values whose times only go on."""
        if self.times:
            self.travel_ns += abs(times[0] - self.times[-1])
        self.travel_ns += times[-1] - times[0]
        self.times += times
        self.values += values

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
    computed: int = 0
    size: int = 0
    first_ns: int | None = None
    last_ns: int = 0

    def reaches(self, first_ns: int, last_ns: int) -> bool:
        """Whether times from `first_ns` to `last_ns` may stand beside those that are here."""
        if self.first_ns is None:
            return last_ns - first_ns <= MAX_SPAN_NS
        return max(last_ns, self.last_ns) - min(first_ns, self.first_ns) <= MAX_SPAN_NS

    def _reach(self, first_ns: int, last_ns: int) -> None:
        self.last_ns = max(last_ns, self.last_ns) if self.first_ns is not None else last_ns
        self.first_ns = min(first_ns, self.first_ns) if self.first_ns is not None else first_ns

    def has_room(self, key: _Key, time_ns: int, quality: Quality) -> bool:
        column, mark = self.columns.get(key), self.marks.get(key[:2])
        if not self.reaches(time_ns, time_ns):
            return False
        if (column is not None and not column.fits(time_ns)) or (mark is not None and not mark.fits(time_ns)):
            return False
        new = (column is None) + (mark is None and quality is not Quality.GOOD)
        return len(self.columns) + len(self.marks) + new <= MAX_SERIES

    def add(self, key: _Key, time_ns: int, value: Scalar | None, quality: Quality) -> None:
        self.n += 1
        self._reach(time_ns, time_ns)
        if quality is not Quality.GOOD:
            _into(self.marks, key[:2], time_ns, int(quality))
            self.size += NUMBER_BYTES
        if value is not None:
            if key not in self.columns:
                self.size += len(key[0]) + len(key[1]) + 32
            _into(self.columns, key, time_ns, value)
            self.size += len(value.encode()) + 8 if isinstance(value, str) else NUMBER_BYTES

    def has_room_for(self, series: str, burst: Burst, times: Sequence[int]) -> bool:
        """Whether all of `burst` may go here."""
        column = self.columns.get((series, burst.unit, float))
        mark = self.marks.get((series, burst.unit))
        new = (column is None) + (mark is None and bool(burst.marks))
        return (
            self.reaches(times[0], times[-1])
            and (column is None or column.fits_all(times))
            and (mark is None or mark.fits_all(times))
            and len(self.columns) + len(self.marks) + new <= MAX_SERIES
        )

    def extend(self, series: str, burst: Burst, times: Sequence[int]) -> None:
        key = (series, burst.unit, float)
        column = self.columns.get(key)
        if column is None:
            column = self.columns[key] = _Series()
            self.size += len(series) + len(burst.unit) + 32
        column.extend(times, [round(value, burst.decimals) for value in burst.values])
        for place, quality in sorted(burst.marks.items()):
            _into(self.marks, key[:2], times[place], int(quality))
        self._reach(times[0], times[-1])
        self.n += len(times)
        self.size += (len(times) + len(burst.marks)) * NUMBER_BYTES


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
    def computed(self) -> int:
        """Of the pending samples, those that stages gave."""
        return sum(part.computed for part in self._open.values()) + sum(part.computed for _, part in self._full)

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
        computed: bool = False,
    ) -> list[Refused]:
        """Add what a driver read.

        Args:
            sensor: its name; a reading's series is `<sensor>.<reading>`.
            readings: what it read.
            boottime_ns: when, for those readings that do not say it themselves.
            interval_ns: how often it is read; decides how finely the stamp is rounded.
            ended_ns: the end of the read, from which the ages of readings count; None when that is `boottime_ns`.
            computed: a stage gave them, whose `readings` are no `Bursts`.

        Returns:
            Those that can never be accepted; all others are in a batch.
        """
        stamp_ns = stamp(boottime_ns, interval_ns)
        ended_ns = boottime_ns if ended_ns is None else ended_ns
        refused = []
        if isinstance(readings, Bursts) and _may_stay_whole(readings):
            for burst in readings.bursts:
                refused += self._add_burst(sensor, burst, boottime_ns, ended_ns)
            readings = readings.rest
        for reading in readings:
            try:
                series = _series_of(sensor, reading.name, reading.unit)
                value = _checked(reading)
            except RejectedError as error:
                refused.append(Refused(f"{sensor}.{reading.name}", error.code))
                continue
            absolute = reading.time_ns is not None
            time_ns = reading.time_ns if reading.time_ns is not None else stamp_ns
            if reading.age_ns:  # a FIFO or the kernel knows the time better than the schedule does
                time_ns = (ended_ns - reading.age_ns) // NS_PER_US * NS_PER_US
            key = (series, reading.unit, _family(value))
            self._add(absolute, boottime_ns, key, time_ns, value, reading.quality, computed)
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
        self,
        absolute: bool,
        boottime_ns: int,
        key: _Key,
        time_ns: int,
        value: Scalar | None,
        quality: Quality,
        computed: bool,
    ) -> None:
        part = self._open.get(absolute)
        if part is not None and not part.has_room(key, time_ns, quality):
            self._full.append((absolute, self._open.pop(absolute)))
            part = None
        if part is None:
            part = self._open[absolute] = _Open(boottime_ns)
        part.add(key, time_ns, value, quality)
        part.computed += computed
        self._close_if_full(absolute, part)

    def _add_burst(self, sensor: str, burst: Burst, boottime_ns: int, ended_ns: int) -> list[Refused]:
        """Add `burst` as its readings would be added one by one, but never parted by the end of a batch."""
        count = len(burst.values)
        if not count:
            return []
        try:
            series = _series_of(sensor, burst.name, burst.unit)
        except RejectedError as error:
            return [Refused(f"{sensor}.{burst.name}", error.code)] * count
        first_ns = ended_ns - burst.age_ns - (count - 1) * burst.period_ns
        times = [
            time_ns // NS_PER_US * NS_PER_US
            for time_ns in range(first_ns, first_ns + count * burst.period_ns, burst.period_ns)
        ]
        part = self._open.get(False)
        if part is not None and not part.has_room_for(series, burst, times):
            self._full.append((False, self._open.pop(False)))
            part = None
        if part is None:
            part = self._open[False] = _Open(boottime_ns)
        part.extend(series, burst, times)
        self._close_if_full(False, part)
        return []

    def _close_if_full(self, absolute: bool, part: _Open) -> None:
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
            held = [*((key[0], samples) for key, samples in part.columns.items())]
            held += ((key[0], samples) for key, samples in part.marks.items())
            for series, samples in held:
                recorded[series] = max(recorded.get(series, 0), *samples.times)
        return ClosedBatch(part.n, encode_body(columns, (), marks), self._boot_id, clock, recorded, part.computed)


def stamp(boottime_ns: int, interval_ns: int) -> int:
    """`boottime_ns` as the samples of a read at this moment carry it, when the sensor is read every `interval_ns`."""
    step = NS_PER_US if interval_ns < FINE_INTERVAL_NS else NS_PER_MS
    return (boottime_ns + step // 2) // step * step


def _may_stay_whole(readings: Bursts) -> bool:
    """Whether its bursts need not be looked at sample by sample."""
    return len(readings) <= MAX_BURST and all(burst.finite for burst in readings.bursts)


def _family(value: Scalar | None) -> type:
    """The type that decides the column: integers and floats share one."""
    return float if type(value) is int else type(value)


@lru_cache(maxsize=4 * MAX_SERIES)
def _series_of(sensor: str, name: str, unit: str) -> str:
    """The name of a series, checked together with its unit once and not with each of its samples."""
    series = check_series_name(f"{sensor}.{name}")
    check_unit(unit)
    return series


def _checked(reading: Reading) -> Scalar | None:
    """The value to store, rounded to what the chip resolves; None when there is none and the quality says why."""
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
