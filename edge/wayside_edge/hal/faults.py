"""What an error number of a bus means, and what to do about it."""

import errno
from typing import Final, NoReturn

ABSENT: Final = frozenset({errno.EREMOTEIO, errno.ENXIO})
"""What Linux adapters return when nothing acknowledges (Documentation/i2c/fault-codes.rst)."""

GONE: Final = frozenset({errno.ENODEV, errno.EBADF, errno.ENOENT})
"""The adapter itself went away: only opening it again can help."""

_FIXES: Final = {
    errno.EIO: "bus fault: check wiring, cable length and pull-up resistors",
    errno.ETIMEDOUT: "timed out: a line is held low; check for a short or power-cycle the chips",
    errno.EBUSY: "a kernel driver holds this address: remove its device-tree overlay, or read it through sysfs",
    errno.EAGAIN: "another master held the bus",
    errno.EPROTO: "protocol error: check wiring and bus speed",
    errno.EOPNOTSUPP: "this adapter cannot do combined transfers",
    errno.ENODEV: "the adapter is gone: is its cable plugged in?",
}


def retired() -> NoReturn:
    """Opens what must not be opened again, because its user was given up and others have the bus.

    Raises:
        OSError: always.
    """
    raise OSError(errno.ESHUTDOWN, "the handle was given up")


def fix(error: OSError, family: str, group: str) -> str:
    """`error` in words that name the fix.

    Args:
        error: what the kernel said.
        family: the bus as raspi-config calls it (`I2C`).
        group: the group that usually owns its device files.
    """
    known = _FIXES.get(error.errno or 0)
    if error.errno in (errno.EACCES, errno.EPERM):
        known = f"permission denied: add this user to the group that owns the device (usually {group})"
    if error.errno == errno.ENOENT:
        known = f"no such bus: enable {family} (on a Raspberry Pi: raspi-config, Interface Options) or correct 'number'"
    return f"{known} ({error})" if known else str(error)
