"""When to read: ticks that do not drift, and pauses that grow. Pure; times are boot times in nanoseconds."""

from collections.abc import Callable


class Ticks:
    """The ticks `start + k * interval` of one sensor, k from 0. A tick that has passed is missed, never made up for.

    Args:
        start_ns: the first tick.
        interval_ns: from one to the next, above 0.
    """

    def __init__(self, start_ns: int, interval_ns: int) -> None:
        self._start_ns = start_ns
        self._interval_ns = interval_ns
        self._next = 0
        self.missed = 0
        """Ticks that passed without a read."""

    def take(self, now_ns: int) -> int:
        """The first tick that is neither taken nor before `now_ns`; those in between are counted as missed."""
        reachable = -((self._start_ns - now_ns) // self._interval_ns)
        tick = max(self._next, reachable)
        self.missed += tick - self._next
        self._next = tick + 1
        return self._start_ns + tick * self._interval_ns


class Backoff:
    """Pauses after failures: 1 s, 2 s, 4 s up to 60 s, each shortened by up to a half at random.

    A second is long enough to leave a bus to its other chips, a minute short enough for someone who plugs a chip in
    and waits; the random part keeps chips that failed together from coming back together.

    Args:
        random: gives numbers from 0 up to 1.
        first_s: the first pause.
        longest_s: where they stop to grow.
    """

    def __init__(self, random: Callable[[], float], first_s: float = 1.0, longest_s: float = 60.0) -> None:
        self._random = random
        self._first_s = first_s
        self._longest_s = longest_s
        self.failures = 0
        """Failures since the last success."""

    def failed(self) -> float:
        """How long to wait after this failure, in seconds."""
        full_s = min(self._longest_s, self._first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return full_s * (1.0 - 0.5 * self._random())

    def succeeded(self) -> None:
        """Begin with the shortest pause again."""
        self.failures = 0


class Lateness:
    """How much later than their ticks reads began, counted to three digits of the binary number."""

    def __init__(self) -> None:
        self.worst_ns = 0
        self.reads = 0
        self._counts: dict[int, int] = {}

    def add(self, late_ns: int) -> None:
        """Count a read that began `late_ns` nanoseconds after its tick."""
        late_ns = max(late_ns, 0)
        shift = max(late_ns.bit_length() - 4, 0)
        upper_ns = ((late_ns >> shift) + 1 << shift) - 1
        self.worst_ns = max(self.worst_ns, late_ns)
        self.reads += 1
        self._counts[upper_ns] = self._counts.get(upper_ns, 0) + 1

    def percentile_ns(self, share: float) -> int:
        """The lateness that `share` (0 to 1) of the reads do not pass, at most an eighth too high; 0 without reads."""
        seen = 0
        for upper_ns, count in sorted(self._counts.items()):
            seen += count
            if seen >= share * self.reads:
                return min(upper_ns, self.worst_ns)
        return 0
