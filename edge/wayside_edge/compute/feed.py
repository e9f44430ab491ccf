"""What waits for a stage: readings gathered into blocks. Pure; it knows no clock but the times it is given."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from wayside_shared.clock import NS_PER_S
from wayside_shared.stage_block import MAX_BLOCK_SERIES, NO_VALUE, READING, encode_rows

MAX_WAITING: Final = 40_000
"""Readings that wait for a stage, 1 MB; with more the oldest are given up. The samples themselves are not."""

WAITING_BYTES: Final = 12 * 1024 * 1024
"""What waits for all stages together; each has an equal share. All of ten stages' readings, in blocks that are not
small."""

BLOCK_BYTES: Final = 240
"""What a block that waits takes beside its bytes: the objects around it; 150 to 180 were measured."""

BOOT: Final = "boot"
UTC: Final = "utc"

Item: TypeAlias = tuple[str, str, str, int, float | None, int]
"""A reading on its way into a stage: clock, series, unit, time in nanoseconds, value, quality."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A block to give to the stage.

    Args:
        clock: which clock its times are on, `BOOT` or `UTC`.
        block: it, encoded.
        n: readings in it.
        first_ns: the earliest of its times.
        last_ns: the latest.
    """

    clock: str
    block: bytes
    n: int
    first_ns: int
    last_ns: int

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, roughly."""
        return len(self.block) + BLOCK_BYTES


@dataclass(slots=True)
class _Open:
    opened_ns: int
    first_ns: int
    last_ns: int
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: bytearray = field(default_factory=bytearray)

    @property
    def n(self) -> int:
        return len(self.rows) // READING.size

    def close(self, clock: str) -> Ready:
        return Ready(clock, encode_rows(self.places, self.rows), self.n, self.first_ns, self.last_ns)


class Feed:
    """Gathers the readings of one stage.

    Args:
        inputs: names or patterns of the series it gets.
        samples: readings in a block at most.
        every_ns: age of a block's first reading at which it is closed.
        stages: how many share `WAITING_BYTES`.
    """

    def __init__(self, inputs: Sequence[str], samples: int, every_ns: int, stages: int = 1) -> None:
        self._inputs = inputs
        self._samples = samples
        self._every_ns = every_ns
        self._stages = stages
        self._most_bytes = WAITING_BYTES // stages
        self._bytes = 0
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
                part = self._open[clock] = _Open(now_ns, time_ns, time_ns)
            place = part.places.setdefault((series, unit), len(part.places))
            part.rows += READING.pack(time_ns, NO_VALUE if value is None else value, place, quality)
            part.first_ns, part.last_ns = min(part.first_ns, time_ns), max(part.last_ns, time_ns)
            self.waiting += 1
            if part.n >= self._samples or len(part.places) >= MAX_BLOCK_SERIES:
                self._close(clock)
        return self._bound()

    def take(self, now_ns: int, *, everything: bool = False) -> Ready | None:
        """The next block that is full or old enough; with `everything` an open one too."""
        for clock, part in list(self._open.items()):
            if everything or now_ns - part.opened_ns >= self._every_ns:
                self._close(clock)
        return self._pop() if self._ready else None

    def put_back(self, ready: Ready) -> None:
        """Have `ready` taken again next: the stage was not done with it."""
        self._ready.appendleft(ready)
        self.waiting += ready.n
        self._bytes += ready.size

    def give_up(self, ready: Ready) -> None:
        """Count a block that the stage cannot be brought to work on."""
        self.given_up += ready.n

    def moved(self, inputs: Sequence[str], samples: int, every_s: float) -> "Feed":
        """A feed of other settings, with all that waits in this one."""
        feed = Feed(inputs, samples, round(every_s * NS_PER_S), self._stages)
        feed._ready, feed._open = self._ready, self._open
        feed.waiting, feed.given_up, feed._bytes = self.waiting, self.given_up, self._bytes
        return feed

    def _close(self, clock: str) -> None:
        ready = self._open.pop(clock).close(clock)
        self._ready.append(ready)
        self._bytes += ready.size

    def _pop(self) -> Ready:
        oldest = self._ready.popleft()
        self._bytes -= oldest.size
        self.waiting -= oldest.n
        return oldest

    def _bound(self) -> int:
        lost = 0
        while self._ready and (self.waiting > MAX_WAITING or self._bytes > self._most_bytes):
            oldest = self._pop()
            self.give_up(oldest)
            lost += oldest.n
        return lost
