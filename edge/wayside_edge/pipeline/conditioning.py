"""What becomes of readings before they are batched: corrected, converted, gathered over windows, left out unchanged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from wayside_edge.pipeline.calibration import Calibration
from wayside_edge.pipeline.settings import ReadingSettings, Statistic
from wayside_edge.ports import Reading
from wayside_shared.clock import NS_PER_S, NS_PER_US
from wayside_shared.quality import Quality
from wayside_shared.values import MAX_DECIMALS, Scalar


@dataclass(frozen=True, slots=True)
class Timed:
    """A reading with the time at which it was measured.

    Args:
        reading: it.
        at_ns: boot time, or UTC for a recording, in nanoseconds.
    """

    reading: Reading
    at_ns: int


class Conditioner:
    """Conditions the readings of one sensor.

    Args:
        settings: for some of its series; the first whose name fits a reading counts, and the others pass as they are.
    """

    def __init__(self, settings: Sequence[ReadingSettings]) -> None:
        self._settings = settings
        self._series: dict[str, _Series | None] = {}
        self.condensed = 0
        """Readings that were left out, or gathered into a statistic."""

    def apply(self, readings: Sequence[Reading], stamp_ns: int, ended_ns: int) -> Sequence[Reading]:
        """What there is to send now.

        Args:
            readings: as they come, oldest first.
            stamp_ns: boot time of those that do not know theirs.
            ended_ns: boot time from which ages count.
        """
        if not self._settings:
            return readings
        sent: list[Reading] = []
        for reading in readings:
            series = self._of(reading.name)
            if series is None:
                sent.append(reading)
                continue
            at_ns = reading.time_ns if reading.time_ns is not None else stamp_ns
            if reading.age_ns:
                at_ns = ended_ns - reading.age_ns
            kept = list(series.take(Timed(reading, at_ns)))
            self.condensed += not any((item.reading.name, item.at_ns) == (reading.name, at_ns) for item in kept)
            sent.extend(_stamped(item, stamp_ns, ended_ns) for item in kept)
        return sent

    def rest(self, ended_ns: int) -> list[Reading]:
        """What open windows hold, at the end."""
        items = (item for series in self._series.values() if series is not None for item in series.rest())
        return [_stamped(item, ended_ns, ended_ns) for item in items]

    def accepted(self, found: Mapping[str, int]) -> Mapping[str, int]:
        """Up to which time readings were accepted, given that of what was made of them.

        Args:
            found: the latest accepted time by name as it was sent, in UTC nanoseconds.

        Returns:
            The same by name as the driver gives it.
        """
        times: dict[str, int] = {}
        for name, upto_ns in found.items():
            stem, _, ending = name.rpartition("_")
            series = self._of(stem) if ending in {statistic.value for statistic in Statistic} else None
            if series is not None and series.window is not None:
                upto_ns, name = series.window.accepted_ns(upto_ns), stem  # noqa: PLW2901
            times[name] = min(upto_ns, times.get(name, upto_ns))
        return times

    def _of(self, name: str) -> "_Series | None":
        if name not in self._series:
            found = next((item for item in self._settings if fnmatchcase(name, item.name)), None)
            self._series[name] = _Series(found) if found is not None else None
        return self._series[name]


class _Series:
    """One series on its way: correction, window, change."""

    def __init__(self, settings: ReadingSettings) -> None:
        self._calibration = Calibration(settings)
        self.window = _Window(settings) if settings.window_s is not None else None
        self._changes = _Changes(settings) if settings.deadband is not None else None

    def take(self, item: Timed) -> Iterator[Timed]:
        item = Timed(self._calibration.apply(item.reading), item.at_ns)
        items = [item] if self.window is None else self.window.take(item)
        for each in items:
            if self._changes is None or self._changes.matters(each):
                yield each

    def rest(self) -> list[Timed]:
        return [] if self.window is None else self.window.rest()


@dataclass(slots=True)
class _Window:
    """Gathers numbers until the window's end; what is no number passes by."""

    settings: ReadingSettings
    index: int | None = None
    numbers: list[float] = field(default_factory=list)
    marked: Quality = Quality.GOOD
    missing: Quality | None = None
    decimals: int | None = None
    last: Timed | None = None

    @property
    def width_ns(self) -> int:
        assert self.settings.window_s is not None
        return round(self.settings.window_s * NS_PER_S)

    def take(self, item: Timed) -> list[Timed]:
        reading = item.reading
        if isinstance(reading.value, bool | str):
            return [item]
        index = item.at_ns // self.width_ns
        closed = self._close((self.index + 1) * self.width_ns) if self.index not in (None, index) else []
        self.index, self.last = index, item
        if reading.value is None:
            self.missing = reading.quality
        else:
            self.numbers.append(float(reading.value))
            self.marked = max(self.marked, reading.quality)
            self.decimals = reading.decimals
        return closed

    def rest(self) -> list[Timed]:
        """What is gathered so far, stamped just behind the last reading: more may come for the same window."""
        return [] if self.last is None else self._close(self.last.at_ns + NS_PER_US)

    def accepted_ns(self, stamp_ns: int) -> int:
        """Up to which time readings are in what was stamped so: a whole window ends before its stamp."""
        return stamp_ns - 1 if stamp_ns % self.width_ns == 0 else stamp_ns

    def _close(self, at_ns: int) -> list[Timed]:
        assert self.last is not None
        last, quality = self.last.reading, self.marked
        if self.missing is not None:
            quality = Quality.PARTIAL if self.numbers else self.missing
        time_ns = at_ns if last.time_ns is not None else None
        made = []
        for statistic in self.settings.statistics:
            value = statistic.of(self.numbers) if self.numbers else None
            name = f"{last.name}_{statistic.value}"
            digits = self.decimals
            if digits is not None and statistic is Statistic.MEAN:
                digits = min(digits + 1, MAX_DECIMALS)
            made.append(Timed(Reading(name, value, last.unit, time_ns, digits, quality=quality), at_ns))
        self.index, self.last, self.numbers = None, None, []
        self.marked, self.missing = Quality.GOOD, None
        return made


@dataclass(slots=True)
class _Changes:
    """Lets through what differs from what was let through before."""

    settings: ReadingSettings
    sent: dict[str, tuple[Scalar | None, Quality, int]] = field(default_factory=dict)

    def matters(self, item: Timed) -> bool:
        reading = item.reading
        before = self.sent.get(reading.name)
        if before is not None and self._like(before, reading) and not self._overdue(before[2], item.at_ns):
            return False
        self.sent[reading.name] = (reading.value, reading.quality, item.at_ns)
        return True

    def _like(self, before: tuple[Scalar | None, Quality, int], reading: Reading) -> bool:
        value, quality, _ = before
        if quality is not reading.quality:
            return False
        if isinstance(value, bool | str) or isinstance(reading.value, bool | str) or None in (value, reading.value):
            return type(value) is type(reading.value) and value == reading.value
        assert self.settings.deadband is not None
        return abs(float(reading.value or 0) - float(value or 0)) <= self.settings.deadband

    def _overdue(self, then_ns: int, now_ns: int) -> bool:
        return now_ns - then_ns >= self.settings.heartbeat_s * NS_PER_S


def _stamped(item: Timed, stamp_ns: int, ended_ns: int) -> Reading:
    """The reading, so that it has its time in an outcome of these times."""
    reading = item.reading
    if reading.time_ns is not None or reading.age_ns or item.at_ns == stamp_ns:
        return reading
    return replace(reading, age_ns=max(ended_ns - item.at_ns, 1))
