"""Device time: samples are stamped with boot time; a clock map turns that into UTC.

Boot time (CLOCK_BOOTTIME, nanoseconds) never jumps within one boot, whatever NTP or a person does to the wall
clock. A map records both at one instant, with how far the wall clock could be trusted then.
"""

from dataclasses import dataclass
from enum import IntEnum

from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000

EARLIEST_NS = 946_684_800 * NS_PER_S
"""2000-01-01T00:00:00Z; nothing this system measures is older."""
LATEST_NS = 4_102_444_800 * NS_PER_S
"""2100-01-01T00:00:00Z, exclusive."""


class ClockState(IntEnum):
    """How far the wall clock of a map can be trusted; the number travels."""

    SYNCED = 0
    """The kernel says that NTP (or a trusted clock) disciplines it."""
    ESTIMATED = 1
    """Derived afterwards, bracketed by known times; `err_ms` bounds it."""
    UNSYNCED = 2
    """What the board believed, with nothing to back it."""


@dataclass(frozen=True, slots=True)
class ClockMap:
    """The same instant on both clocks of a device.

    Args:
        boottime_ns: CLOCK_BOOTTIME in nanoseconds.
        wall_ns: UTC in nanoseconds since 1970.
        state: how far `wall_ns` can be trusted.
        err_ms: bound of its error in milliseconds; 0 when unknown.
    """

    boottime_ns: int
    wall_ns: int
    state: ClockState
    err_ms: int = 0

    @property
    def offset_ns(self) -> int:
        """What to add to a boot time of this boot to get UTC, in nanoseconds."""
        return self.wall_ns - self.boottime_ns


def check_range(first_ns: int, last_ns: int) -> None:
    """Refuse times that no clock of this century gives.

    Args:
        first_ns: earliest UTC time in nanoseconds.
        last_ns: latest UTC time in nanoseconds.

    Raises:
        RejectedError: either lies outside 2000 to 2099; code TIME_OUT_OF_RANGE.
    """
    if not (first_ns >= EARLIEST_NS and last_ns < LATEST_NS):
        raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, f"times {first_ns}..{last_ns} ns lie outside 2000 to 2099")
