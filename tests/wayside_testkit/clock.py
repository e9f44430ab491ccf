"""A clock that tests own."""

import time
from dataclasses import dataclass

from wayside_shared.clock import NS_PER_S


@dataclass
class ManualClock:
    """Stands still until told; the wall clock can be set apart from boot time.

    Args:
        boot_ns: boot time in nanoseconds.
        wall: UTC in nanoseconds.
        is_synced: what the kernel would say of the wall clock.
        boot: the boot's id.
    """

    boot_ns: int = 1_000 * NS_PER_S
    wall: int = 1_790_000_000 * NS_PER_S
    is_synced: bool = True
    boot: bytes = b"boot-of-the-test"

    def boottime_ns(self) -> int:
        return self.boot_ns

    def wall_ns(self) -> int:
        return self.wall

    def synced(self) -> bool:
        return self.is_synced

    def boot_id(self) -> bytes:
        return self.boot

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.boot_ns += int(seconds * NS_PER_S)
        self.wall += int(seconds * NS_PER_S)


class LiveClock:
    """This machine's clocks, taken to be right."""

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        return time.time_ns()

    def synced(self) -> bool:
        return True

    def boot_id(self) -> bytes:
        return b"boot-of-the-test"
