"""An I2C bus over anything shaped like smbus2's `SMBus`: the kernel's adapters and the simulated board."""

import errno
from collections.abc import Callable
from typing import Protocol

from smbus2 import i2c_msg

from wayside_edge.errors import BusError, DeviceAbsentError


class SmbusLike(Protocol):
    """The part of smbus2's `SMBus` that is used here."""

    def i2c_rdwr(self, *messages: i2c_msg) -> None:
        """Do `messages` as one transaction, with repeated starts between them."""

    def close(self) -> None:
        """Give the bus back."""


_ABSENT = frozenset({errno.EREMOTEIO, errno.ENXIO})
"""What Linux adapters return when nothing acknowledges (Documentation/i2c/fault-codes.rst)."""

_GONE = frozenset({errno.ENODEV, errno.EBADF, errno.ENOENT})
"""The adapter itself went away: only opening it again can help."""

_FIXES = {
    errno.EIO: "bus fault: check wiring, cable length and pull-up resistors",
    errno.ETIMEDOUT: "timed out: a line is held low; check for a short or power-cycle the chips",
    errno.EBUSY: "a kernel driver holds this address: remove its device-tree overlay, or read it through sysfs",
    errno.EAGAIN: "another master held the bus",
    errno.EPROTO: "protocol error: check wiring and bus speed",
    errno.EOPNOTSUPP: "this adapter cannot do combined transfers",
    errno.ENOENT: "no such bus: enable I2C (on a Raspberry Pi: raspi-config, Interface Options) or correct 'number'",
    errno.ENODEV: "the adapter is gone: is its cable plugged in?",
    errno.EACCES: "permission denied: add this user to the group that owns the device (usually i2c)",
    errno.EPERM: "permission denied: add this user to the group that owns the device (usually i2c)",
}


class SmbusI2c:
    """An `I2cBus`. Not for two threads at once: each bus has a thread of its own.

    Args:
        name: the bus in messages.
        opener: opens the underlying bus; called at the first transaction, and again after the adapter went away.
    """

    def __init__(self, name: str, opener: Callable[[], SmbusLike]) -> None:
        self._name = name
        self._opener = opener
        self._smbus: SmbusLike | None = None

    def open(self) -> None:
        """Open the bus unless it is open.

        Raises:
            BusError: it is not there, or not for this user.
        """
        if self._smbus is None:
            try:
                self._smbus = self._opener()
            except OSError as error:
                raise BusError(f"bus {self._name}: {_fix(error)}") from error

    def write(self, address: int, data: bytes) -> None:
        """See `I2cBus`."""
        self._transfer(address, i2c_msg.write(address, data))

    def read(self, address: int, count: int) -> bytes:
        """See `I2cBus`."""
        answer = i2c_msg.read(address, count)
        self._transfer(address, answer)
        return bytes(answer)

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        """See `I2cBus`."""
        answer = i2c_msg.read(address, count)
        self._transfer(address, i2c_msg.write(address, data), answer)
        return bytes(answer)

    def close(self) -> None:
        """See `I2cBus`."""
        smbus, self._smbus = self._smbus, None
        if smbus is not None:
            smbus.close()

    def _transfer(self, address: int, *messages: i2c_msg) -> None:
        self.open()
        assert self._smbus is not None
        try:
            self._smbus.i2c_rdwr(*messages)
        except OSError as error:
            if error.errno in _GONE:
                self.close()
            if error.errno in _ABSENT:
                raise DeviceAbsentError(
                    f"bus {self._name}: no chip answers at 0x{address:02x}; check its power, wiring and address"
                ) from error
            raise BusError(f"bus {self._name}, address 0x{address:02x}: {_fix(error)}") from error


def _fix(error: OSError) -> str:
    known = _FIXES.get(error.errno or 0)
    return f"{known} ({error})" if known else str(error)
