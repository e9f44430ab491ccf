"""Means of several series over periods that begin at multiples of their length, of one clock. Pure."""

from collections.abc import Iterator, Sequence

Row = Sequence[float] | None
"""The means of a period in the order of the inputs; None when an input had no value in it."""


class Periods:
    """Gathers readings and gives the rows of the periods that are over.

    A period is over when each input has been read in a later one, or when one input has been in the one that is
    `wait` later: what is absent keeps nobody waiting for long.

    Args:
        inputs: how many series.
        period_ns: length of a period in nanoseconds.
        wait: periods that an input may lag behind another.
        reach: periods that matter to what is made of the rows. A longer silence counts as one of so many, and what is
            older than so many has nothing to do with what came before.
    """

    def __init__(self, inputs: int, period_ns: int, wait: int, reach: int) -> None:
        self.late = 0
        """Readings that came after their period was over, and were left out."""
        self._period_ns = period_ns
        self._wait = wait
        self._reach = reach
        self._inputs = inputs
        self._open: dict[int, tuple[list[float], list[int]]] = {}
        self._next: int | None = None
        self._newest: list[int] = [-1] * inputs

    def begins_anew(self, time_ns: int) -> bool:
        """Whether a reading is so much older than those before that its clock must have begun anew."""
        return self._next is not None and time_ns // self._period_ns < self._next - self._reach

    def add(self, place: int, time_ns: int, value: float) -> Iterator[tuple[int, Row]]:
        """Take a reading in; the numbers of the periods that are over with it, in order, and their rows.

        Args:
            place: number of its input.
            time_ns: its time.
            value: a finite number.
        """
        period = time_ns // self._period_ns
        if self._next is None:
            self._next = period
            self._newest = [period - 1] * self._inputs
        if period < self._next:
            self.late += 1
            return iter(())
        if period not in self._open:
            self._open[period] = ([0.0] * self._inputs, [0] * self._inputs)
        sums, counts = self._open[period]
        sums[place] += value
        counts[place] += 1
        if period <= self._newest[place]:
            return iter(())
        self._newest[place] = period
        return self._close(max(min(self._newest), max(self._newest) - self._wait))

    def _close(self, until: int) -> Iterator[tuple[int, Row]]:
        assert self._next is not None
        while self._next < until:
            if not self._open or min(self._open) > self._next:
                self._next = max(self._next, min((*self._open, until)) - self._reach)
            period, self._next = self._next, self._next + 1
            sums, counts = self._open.pop(period, ((), ()))
            row = [total / count for total, count in zip(sums, counts, strict=True)] if counts and all(counts) else None
            yield period, row

    def state(self) -> dict[str, object]:
        """What to restore it from."""
        opened = [[period, sums, counts] for period, (sums, counts) in sorted(self._open.items())]
        return {"next": self._next, "newest": list(self._newest), "open": opened, "late": self.late}

    def restore(self, state: dict[str, object]) -> None:
        """Go on where `state` was asked for.

        Raises:
            TypeError, ValueError, KeyError: it is not what `state` gives.
        """
        first, newest, opened, late = (state[name] for name in ("next", "newest", "open", "late"))
        if not isinstance(newest, list) or not isinstance(opened, list) or len(newest) != self._inputs:
            message = "periods of another shape"
            raise ValueError(message)
        kept = {int(period): ([float(v) for v in sums], [int(n) for n in counts]) for period, sums, counts in opened}
        if any(len(sums) != self._inputs or len(counts) != self._inputs for sums, counts in kept.values()):
            message = "open periods of another shape"
            raise ValueError(message)
        self._next = None if first is None else int(str(first))
        self._newest = [int(each) for each in newest]
        self._open = kept
        self.late = int(str(late))
