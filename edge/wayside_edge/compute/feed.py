"""What waits for a stage: readings gathered into blocks. Pure; it knows no clock but the times it is given."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from wayside_shared.clock import NS_PER_S
from wayside_shared.stage_block import MAX_BLOCK_SERIES, NO_VALUE, Block, BlockReading, BlockSeries

MAX_WAITING: Final = 40_000
"""Readings that wait for a stage, 3 MB; with more the oldest are given up. The samples themselves are not."""

BOOT: Final = "boot"
UTC: Final = "utc"

Item: TypeAlias = tuple[str, str, str, int, float | None, int]
"""A reading on its way into a stage: clock, series, unit, time in nanoseconds, value, quality."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A block to give to the stage.

    Args:
        clock: which clock its times are on, `BOOT` or `UTC`.
        block: it.
        first_ns: the earliest of its times.
        last_ns: the latest.
    """

    clock: str
    block: Block
    first_ns: int
    last_ns: int

    @property
    def n(self) -> int:
        """Readings in it."""
        return len(self.block.readings)


@dataclass(slots=True)
class _Open:
    opened_ns: int
    places: dict[BlockSeries, int] = field(default_factory=dict)
    readings: list[BlockReading] = field(default_factory=list)

    def close(self, clock: str) -> Ready:
        times = [reading.time_ns for reading in self.readings]
        return Ready(clock, Block(list(self.places), self.readings), min(times), max(times))


class Feed:
    """Gathers the readings of one stage.

    Args:
        inputs: names or patterns of the series it gets.
        samples: readings in a block at most.
        every_ns: age of a block's first reading at which it is closed.
    """

    def __init__(self, inputs: Sequence[str], samples: int, every_ns: int) -> None:
        self._inputs = inputs
        self._samples = samples
        self._every_ns = every_ns
        self._wanted: dict[str, bool] = {}
        self._open: dict[str, _Open] = {}
        self._ready: deque[Ready] = deque()
        self.waiting = 0
        """Readings that wait. Counted as they come and go: thousands of blocks may wait."""
        self.given_up = 0
        """Readings that the stage will never get, because it was too slow or failed."""

    @property
    def unfed(self) -> list[str]:
        """The inputs that no series matched so far."""
        seen = [series for series, wanted in self._wanted.items() if wanted]
        return [pattern for pattern in self._inputs if not any(fnmatchcase(series, pattern) for series in seen)]

    @property
    def due_ns(self) -> int | None:
        """The boot time at which there is a block to take; None while nothing waits, 0 when one is ready."""
        if self._ready:
            return 0
        return min((part.opened_ns + self._every_ns for part in self._open.values()), default=None)

    def wants(self, series: str) -> bool:
        """Whether the stage gets readings of `series`."""
        wanted = self._wanted.get(series)
        if wanted is None:
            wanted = self._wanted[series] = any(fnmatchcase(series, pattern) for pattern in self._inputs)
        return wanted

    def add(self, items: Iterable[Item], now_ns: int) -> int:
        """Take what the stage wants of `items`.

        Returns:
            Readings that had to be given up for it.
        """
        for clock, series, unit, time_ns, value, quality in items:
            if not self.wants(series):
                continue
            part = self._open.get(clock)
            if part is None:
                part = self._open[clock] = _Open(now_ns)
            place = part.places.setdefault(BlockSeries(series, unit), len(part.places))
            number = NO_VALUE if value is None else value
            part.readings.append(BlockReading(time_ns, number, place, quality))
            self.waiting += 1
            if len(part.readings) >= self._samples or len(part.places) >= MAX_BLOCK_SERIES:
                self._ready.append(self._open.pop(clock).close(clock))
        return self._bound()

    def take(self, now_ns: int, *, everything: bool = False) -> Ready | None:
        """The next block that is full or old enough; with `everything` an open one too."""
        for clock, part in list(self._open.items()):
            if everything or now_ns - part.opened_ns >= self._every_ns:
                self._ready.append(self._open.pop(clock).close(clock))
        return self._pop() if self._ready else None

    def put_back(self, ready: Ready) -> None:
        """Have `ready` taken again next: the stage was not done with it."""
        self._ready.appendleft(ready)
        self.waiting += ready.n

    def give_up(self, ready: Ready) -> None:
        """Count a block that the stage cannot be brought to work on."""
        self.given_up += ready.n

    def moved(self, inputs: Sequence[str], samples: int, every_s: float) -> "Feed":
        """A feed of other settings, with all that waits in this one."""
        feed = Feed(inputs, samples, round(every_s * NS_PER_S))
        feed._ready, feed._open = self._ready, self._open
        feed.waiting, feed.given_up = self.waiting, self.given_up
        return feed

    def _pop(self) -> Ready:
        oldest = self._ready.popleft()
        self.waiting -= oldest.n
        return oldest

    def _bound(self) -> int:
        lost = 0
        while self._ready and self.waiting > MAX_WAITING:
            oldest = self._pop()
            self.give_up(oldest)
            lost += oldest.n
        return lost
