"""An I2C bus over anything shaped like smbus2's `SMBus`: the kernel's adapters and the simulated board."""

from collections.abc import Callable
from ctypes import string_at
from typing import Protocol

from smbus2 import i2c_msg

from wayside_edge.errors import BusError, DeviceAbsentError
from wayside_edge.hal.faults import ABSENT, GONE, fix, retired


class SmbusLike(Protocol):
    """The part of smbus2's `SMBus` that is used here."""

    def i2c_rdwr(self, *messages: i2c_msg) -> None:
        """Do `messages` as one transaction, with repeated starts between them."""

    def close(self) -> None:
        """Give the bus back."""


KEPT_MESSAGES = 512
"""Of some hundred bytes each: a bus full of chips with four questions each."""


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
        self._messages: dict[tuple[int, bytes, int], tuple[i2c_msg, i2c_msg]] = {}

    def open(self) -> None:
        """Open the bus unless it is open.

        Raises:
            BusError: it is not there, or not for this user.
        """
        if self._smbus is None:
            try:
                self._smbus = self._opener()
            except OSError as error:
                raise BusError(f"bus {self._name}: {fix(error, 'I2C', 'i2c')}") from error

    def write(self, address: int, data: bytes) -> None:
        """See `I2cBus`."""
        self._transfer(address, i2c_msg.write(address, data))

    def read(self, address: int, count: int) -> bytes:
        """See `I2cBus`."""
        answer = i2c_msg.read(address, count)
        self._transfer(address, answer)
        return string_at(answer.buf, count)

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        """See `I2cBus`."""
        # Making messages takes longer than handing them to the kernel, and a driver says the same again and again.
        key = (address, data, count)
        if key not in self._messages:
            if len(self._messages) >= KEPT_MESSAGES:
                self._messages.clear()
            self._messages[key] = i2c_msg.write(address, data), i2c_msg.read(address, count)
        question, answer = self._messages[key]
        self._transfer(address, question, answer)
        return string_at(answer.buf, count)

    def close(self) -> None:
        """See `I2cBus`."""
        smbus, self._smbus = self._smbus, None
        if smbus is not None:
            smbus.close()

    def retire(self) -> None:
        """Give it back for good: whoever still has this object finds it failing."""
        self._opener = retired
        self.close()

    def _transfer(self, address: int, *messages: i2c_msg) -> None:
        self.open()
        assert self._smbus is not None
        try:
            self._smbus.i2c_rdwr(*messages)
        except OSError as error:
            if error.errno in GONE:
                self.close()
            if error.errno in ABSENT:
                raise DeviceAbsentError(
                    f"bus {self._name}: no chip answers at 0x{address:02x}; check its power, wiring and address"
                ) from error
            raise BusError(f"bus {self._name}, address 0x{address:02x}: {fix(error, 'I2C', 'i2c')}") from error
