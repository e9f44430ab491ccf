"""When a boot was that ended without ever knowing the time: between what is known from before and after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wayside_edge.hal.clock import FLOOR_NS
from wayside_shared.clock import NS_PER_MS, ClockMap, ClockState


@dataclass(frozen=True, slots=True)
class Boot:
    """What the outbox knows of one boot.

    Args:
        boot_id: its 16 bytes.
        after_ns: the last UTC time known before it, in nanoseconds; 0 when none was.
        last_ns: the latest boot time at which it is known to have run, in nanoseconds.
        clock: the best map known of it, which may be what it believed itself.
    """

    boot_id: bytes
    after_ns: int
    last_ns: int
    clock: ClockMap


def bracket(boots: Sequence[Boot]) -> Mapping[bytes, ClockMap]:
    """Estimated maps of those `boots` that never knew the time and were followed by one that did.

    Boots do not overlap: each began after the last time known before it and after the ones before it had run, and
    ended before the next one began; none is older than this software. What the board itself believed is taken where
    it lies between these bounds, as with a battery-backed clock that no time service checks; else the middle is.
    `err_ms` reaches to the farther bound. Bounds that contradict each other (a time that was known was wrong) are
    taken as each other.

    Args:
        boots: oldest first; the last is the running one.
    """
    lows: list[int] = []
    low = FLOOR_NS
    for boot in boots:
        own = _bounds(boot.clock)
        low = max(low, boot.after_ns) if own is None else own[0]
        lows.append(low)
        low += boot.last_ns
    found: dict[bytes, ClockMap] = {}
    high: int | None = None
    for boot, lower in zip(reversed(boots), reversed(lows), strict=True):
        own = _bounds(boot.clock)
        if own is not None:
            high = own[1]
        elif high is not None:
            high -= boot.last_ns
            found[boot.boot_id] = _between(min(lower, high), max(lower, high), boot.clock)
    return found


def _bounds(clock: ClockMap) -> tuple[int, int] | None:
    """Earliest and latest UTC of the boot's beginning; None when its clock says nothing."""
    if clock.state is ClockState.UNSYNCED:
        return None
    err_ns = clock.err_ms * NS_PER_MS
    return clock.offset_ns - err_ns, clock.offset_ns + err_ns


def _between(low: int, high: int, believed: ClockMap) -> ClockMap:
    began = believed.offset_ns if low <= believed.offset_ns <= high else (low + high) // 2
    err_ms = -(-max(began - low, high - began) // NS_PER_MS)
    return ClockMap(0, began, ClockState.ESTIMATED, err_ms)
