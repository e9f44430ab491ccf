"""Sets of integers held as ranges: compact for the sequence numbers of a long outage."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """A set of integers as sorted, disjoint, inclusive ranges.

    Args:
        values: integers to begin with, in any order.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, values: Iterable[int] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for value in sorted(values):
            if self._ends and value <= self._ends[-1] + 1:
                self._ends[-1] = max(self._ends[-1], value)
            else:
                self._starts.append(value)
                self._ends.append(value)

    def add(self, first: int, last: int | None = None) -> None:
        """Put `first` to `last` (itself alone by default) into the set."""
        last = first if last is None else last
        low = bisect_left(self._ends, first - 1)
        high = bisect_right(self._starts, last + 1)
        if low < high:
            first = min(first, self._starts[low])
            last = max(last, self._ends[high - 1])
        self._starts[low:high] = [first]
        self._ends[low:high] = [last]

    def discard(self, value: int) -> None:
        """Take `value` out, if it is in."""
        at = bisect_right(self._starts, value) - 1
        if at < 0 or value > self._ends[at]:
            return
        start, end = self._starts[at], self._ends[at]
        pieces = [(a, b) for a, b in ((start, value - 1), (value + 1, end)) if a <= b]
        self._starts[at : at + 1] = [a for a, _ in pieces]
        self._ends[at : at + 1] = [b for _, b in pieces]

    def next(self, at_least: int) -> int | None:
        """The lowest member that is `at_least` or more; None when there is none."""
        at = bisect_left(self._ends, at_least)
        if at == len(self._ends):
            return None
        return max(at_least, self._starts[at])

    def pairs(self) -> list[tuple[int, int]]:
        """The ranges, lowest first, ends included."""
        return list(zip(self._starts, self._ends, strict=True))

    def __contains__(self, value: int) -> bool:
        at = bisect_right(self._starts, value) - 1
        return at >= 0 and value <= self._ends[at]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.pairs():
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in zip(self._starts, self._ends, strict=True))

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __repr__(self) -> str:
        return f"Ranges({self.pairs()})"
