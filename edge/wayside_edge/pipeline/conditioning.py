"""What becomes of readings before they are batched: corrected, converted, gathered over windows, left out unchanged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from wayside_edge.pipeline.calibration import Calibration
from wayside_edge.pipeline.settings import ReadingSettings, Statistic
from wayside_edge.ports import Reading
from wayside_shared.clock import NS_PER_S
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

    def _of(self, name: str) -> "_Series | None":
        if name not in self._series:
            found = next((item for item in self._settings if fnmatchcase(name, item.name)), None)
            self._series[name] = _Series(found) if found is not None else None
        return self._series[name]


class _Series:
    """One series on its way: correction, window, change."""

    def __init__(self, settings: ReadingSettings) -> None:
        self._calibration = Calibration(settings)
        self._window = _Window(settings) if settings.window_s is not None else None
        self._changes = _Changes(settings) if settings.deadband is not None else None

    def take(self, item: Timed) -> Iterator[Timed]:
        item = Timed(self._calibration.apply(item.reading), item.at_ns)
        items = [item] if self._window is None else self._window.take(item)
        for each in items:
            if self._changes is None or self._changes.matters(each):
                yield each

    def rest(self) -> list[Timed]:
        return [] if self._window is None else self._window.rest()


@dataclass(slots=True)
class _Window:
    """Gathers numbers until the window's end; what is no number passes by."""

    settings: ReadingSettings
    index: int | None = None
    numbers: list[float] = field(default_factory=list)
    quality: Quality = Quality.GOOD
    last: Reading | None = None

    def take(self, item: Timed) -> list[Timed]:
        reading = item.reading
        if isinstance(reading.value, bool | str):
            return [item]
        width_ns = self._width_ns
        index = item.at_ns // width_ns
        closed = self.rest() if self.index is not None and index != self.index else []
        self.index, self.last = index, reading
        if reading.value is not None:
            self.numbers.append(float(reading.value))
            self.quality = max(self.quality, reading.quality) if self.quality.has_value else reading.quality
        elif not self.numbers:
            self.quality = reading.quality
        return closed

    def rest(self) -> list[Timed]:
        if self.index is None or self.last is None:
            return []
        at_ns, last = (self.index + 1) * self._width_ns, self.last
        decimals = None if last.decimals is None else min(last.decimals + 1, MAX_DECIMALS)
        made = []
        for statistic in self.settings.statistics:
            value = statistic.of(self.numbers) if self.numbers else None
            name = f"{last.name}_{statistic.value}"
            digits = decimals if statistic is Statistic.MEAN else last.decimals
            quality = self.quality
            made.append(Timed(Reading(name, value, last.unit, decimals=digits, quality=quality), at_ns))
        absolute = last.time_ns is not None
        if absolute:
            made = [Timed(replace(item.reading, time_ns=at_ns), at_ns) for item in made]
        self.index, self.last, self.numbers, self.quality = None, None, [], Quality.GOOD
        return made

    @property
    def _width_ns(self) -> int:
        assert self.settings.window_s is not None
        return round(self.settings.window_s * NS_PER_S)


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
