"""The board's watchdog through /dev/watchdog, and what the kernel knows of why the board was reset.

Source: Documentation/watchdog/watchdog-api.rst and include/uapi/linux/watchdog.h of Linux 6.1.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from wayside_edge.errors import BusError

GETSUPPORT: Final = 0x80285700
GETBOOTSTATUS: Final = 0x80045702
SETTIMEOUT: Final = 0xC0045706
GETTIMEOUT: Final = 0x80045707
"""WDIOC_*, as compiled from linux/watchdog.h; the same on every architecture that we run on."""

FLAGS: Final[Mapping[int, str]] = {
    0x0001: "the processor was too hot",
    0x0002: "a fan failed",
    0x0004: "external relay 1",
    0x0008: "external relay 2",
    0x0010: "the supply was bad",
    0x0020: "the watchdog reset the board",
    0x0040: "the supply was over its limit",
}
"""WDIOF_*: what WDIOC_GETBOOTSTATUS says of the last boot."""

MAGIC: Final = b"V"
"""Written before a close it disarms the watchdog, unless the kernel was told never to (nowayout)."""

_FIXES: Final[Mapping[int, str]] = {
    errno.EBUSY: "somebody else has it, as systemd with RuntimeWatchdogSec= does; it is left to them",
    errno.ENOENT: 'there is none: load its kernel module (bcm2835_wdt, softdog), or set device = "off"',
    errno.EACCES: "permission denied: it belongs to root; leave it to systemd (RuntimeWatchdogSec=)",
    errno.EPERM: "permission denied: it belongs to root; leave it to systemd (RuntimeWatchdogSec=)",
}


class WatchdogError(BusError):
    """The watchdog cannot be had.

    Args:
        message: why, and the fix.
        busy: whether somebody else has it.
        absent: whether there is none.
    """

    def __init__(self, message: str, *, busy: bool = False, absent: bool = False) -> None:
        super().__init__(message)
        self.busy = busy
        self.absent = absent


class HardwareWatchdog:
    """A watchdog that resets the board unless it is fed. Not for two threads at once.

    Args:
        path: its device.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.timeout_s = 0
        """What the hardware has been set to; 0 while it does not say."""
        self._handle: int | None = None

    def open(self, timeout_s: int) -> None:
        """Take it, which arms it.

        Args:
            timeout_s: after how long without food it resets the board; what the hardware cannot do stays as it is.

        Raises:
            WatchdogError: it is not there, or not for this user, or somebody else has it.
        """
        try:
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            fix = _FIXES.get(error.errno or 0, error.strerror or "it failed")
            raise WatchdogError(
                f"watchdog {self.path}: {fix}",
                busy=error.errno == errno.EBUSY,
                absent=error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO),
            ) from error
        with suppress(OSError):  # too long for it, or it has one length only
            self._ioctl(SETTIMEOUT, timeout_s)
        with suppress(OSError):
            self.timeout_s = self._ioctl(GETTIMEOUT, 0)
        self.feed()

    @property
    def held(self) -> bool:
        """Whether it is open, and so armed."""
        return self._handle is not None

    def feed(self) -> None:
        """Put the reset off for another `timeout_s`. One that went away (a USB device) is left alone."""
        if self._handle is not None:
            try:
                os.write(self._handle, b"\0")
            except OSError:
                self.close(disarm=False)

    def reset_causes(self) -> Sequence[str]:
        """What it says of why the board was reset last; nothing where it does not say."""
        if self._handle is None:
            return ()
        with suppress(OSError):
            return _flags(self._ioctl(GETBOOTSTATUS, 0))
        return ()

    def close(self, *, disarm: bool) -> None:
        """Let it go; unless disarmed it goes on counting and resets the board."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        with suppress(OSError):
            if disarm:
                os.write(handle, MAGIC)
        os.close(handle)

    def _ioctl(self, request: int, value: int) -> int:
        assert self._handle is not None
        answer: int = struct.unpack("i", fcntl.ioctl(self._handle, request, struct.pack("i", value)))[0]
        return answer


def reset_causes(root: Path = Path("/")) -> Sequence[str]:
    """Why the board was reset last, as far as this user may read it without holding a watchdog.

    Args:
        root: where `sys` is mounted.
    """
    found: list[str] = []
    for file in sorted(root.glob("sys/class/watchdog/watchdog*/bootstatus")):
        with suppress(OSError, ValueError):
            found.extend(_flags(int(file.read_text(encoding="ascii"), 0)))
    with suppress(OSError):  # its folder belongs to root on most systems
        records = sorted(each.name for each in (root / "sys/fs/pstore").iterdir() if each.name.startswith("dmesg-"))
        if records:
            found.append(f"the kernel left a crash report in /sys/fs/pstore ({', '.join(records[:3])})")
    return list(dict.fromkeys(found))


def _flags(status: int) -> Sequence[str]:
    return [meaning for flag, meaning in FLAGS.items() if status & flag]
