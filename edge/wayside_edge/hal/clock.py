"""The clocks of this machine."""

import ctypes
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from wayside_edge.errors import BusError
from wayside_shared.clock import NS_PER_S
from wayside_shared.settings import setting

STA_UNSYNC = 0x0040
STA_NANO = 0x2000
FLOOR_NS = 1_767_225_600 * NS_PER_S
"""2026-01-01: a board without a battery wakes up before this software was written."""
TIME_ERROR = 5
"""linux/timex.h: the status bit and the clock state of a clock that nothing disciplines; STA_NANO says that the offset
is in nanoseconds and not in microseconds."""


@dataclass(frozen=True, slots=True)
class ClockSettings:
    """`[clock]`."""

    trust_system: bool = setting(
        "Call the system clock right even when the kernel does not know of a time service, as in most containers.",
        False,
    )
    hold_s: float = setting(
        "After a start without a right clock, how long to keep samples back until it is set, in seconds. What a clock"
        " before 2026 stamped waits without limit.",
        120.0,
        minimum=0.0,
        maximum=86_400.0,
    )


class _Timex(ctypes.Structure):
    # Only the head is read; the rest of `struct timex` (adjtimex(2)) is 104 to 208 bytes by architecture.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class Discipline:
    """How a clock is kept (adjtimex(2)).

    Args:
        offset_s: what is left to correct, in seconds.
        max_error_s: bound of its error as the time service gives it, in seconds.
    """

    offset_s: float
    max_error_s: float


class SystemClock:
    """The `Clock` of the running kernel.

    Args:
        settings: whether to trust the wall clock in any case.
        root: where `proc` is mounted.
    """

    def __init__(self, settings: ClockSettings, root: Path = Path("/")) -> None:
        self._trusted = settings.trust_system
        self._boot_id_file = root / "proc/sys/kernel/random/boot_id"
        self._boot_id: bytes | None = None
        self._adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex

    def boottime_ns(self) -> int:
        """See `Clock`."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        """See `Clock`."""
        return time.clock_gettime_ns(time.CLOCK_REALTIME)

    def synced(self) -> bool:
        """See `Clock`. A kernel that refuses the question, or a time before this software, is not synchronised."""
        if self.wall_ns() < FLOOR_NS:
            return False
        if self._trusted:
            return True
        state, timex = self._ask()
        return 0 <= state < TIME_ERROR and not timex.status & STA_UNSYNC

    def discipline(self) -> Discipline | None:
        """How well the kernel's clock is kept; None when it refuses the question."""
        state, timex = self._ask()
        if state < 0:
            return None
        unit_s = 1e-9 if timex.status & STA_NANO else 1e-6
        return Discipline(timex.offset * unit_s, timex.maxerror * 1e-6)

    def _ask(self) -> tuple[int, _Timex]:
        timex = _Timex()
        return int(self._adjtimex(ctypes.byref(timex))), timex

    def boot_id(self) -> bytes:
        """See `Clock`.

        Raises:
            BusError: the kernel does not tell it.
        """
        if self._boot_id is None:
            try:
                self._boot_id = uuid.UUID(self._boot_id_file.read_text().strip()).bytes
            except (OSError, ValueError) as error:
                raise BusError(f"{self._boot_id_file} gives no boot id: {error}; is /proc mounted?") from error
        return self._boot_id
