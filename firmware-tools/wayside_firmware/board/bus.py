"""A simulated I2C bus, and the ways in which one fails."""

import errno
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

I2C_M_RD = 0x0001
"""Flag of a message that reads (linux/i2c.h)."""


class Message(Protocol):
    """One message of a transaction: the attributes of smbus2's `i2c_msg`."""

    addr: int
    flags: int
    len: int
    buf: Any


class Chip(Protocol):
    """A chip at its registers."""

    wrong_identity: bool

    def write(self, data: bytes) -> None:
        """Take the bytes of a write; none at all is a probe of the address."""

    def read(self, count: int) -> bytes:
        """Give `count` bytes from the register last addressed."""


class Fault(Enum):
    """What can be wrong with a chip or its wiring."""

    NONE = "none"
    ABSENT = "absent"
    """Unplugged: its address is never acknowledged."""
    NACK = "nack"
    """A loose contact: every second transaction is not acknowledged."""
    STUCK = "stuck"
    """It holds the data line low: no transaction on the bus ends, whoever it is for."""
    WRONG_IDENTITY = "wrong_identity"
    """Another chip answers at its address."""


class SimulatedBus:
    """A bus with chips on it, shaped like smbus2's `SMBus`; raises the OSErrors that Linux raises.

    Args:
        chips: the chips by their 7-bit addresses.
        faults_file: breaks chips while it says so, as long as it is there: an address and a `Fault` a line.
    """

    def __init__(self, chips: Mapping[int, Chip], faults_file: Path | None = None) -> None:
        self._chips = dict(chips)
        self._faults_file = faults_file
        self._faults_text = ""
        self._faults = dict.fromkeys(chips, Fault.NONE)
        self._turn = False
        self.transactions = 0
        """Transactions so far, those that failed too."""

    def set_fault(self, address: int, fault: Fault) -> None:
        """Put the chip at `address` into a state of failure, or out of it with `Fault.NONE`."""
        self._faults[address] = fault
        self._chips[address].wrong_identity = fault is Fault.WRONG_IDENTITY

    def i2c_rdwr(self, *messages: Message) -> None:
        """Do `messages` as one transaction.

        Raises:
            OSError: EREMOTEIO when an address is not acknowledged, ETIMEDOUT when a line is held low.
        """
        self.transactions += 1
        if self._faults_file is not None:
            self._obey(self._faults_file)
        if Fault.STUCK in self._faults.values():
            raise _os_error(errno.ETIMEDOUT)
        self._turn = not self._turn
        for message in messages:
            chip = self._answering(message.addr)
            if message.flags & I2C_M_RD:
                for position, byte in enumerate(chip.read(message.len)):
                    message.buf[position] = bytes((byte,))
            else:
                chip.write(b"".join(bytes(message.buf[position]) for position in range(message.len)))

    def close(self) -> None:
        """Give the bus back; the chips stay as they are."""

    def _obey(self, file: Path) -> None:
        try:
            text = file.read_text()
        except FileNotFoundError:
            text = ""
        if text == self._faults_text:
            return
        self._faults_text = text
        try:
            wanted = {int(address, 0): Fault(fault) for address, fault in (line.split() for line in text.splitlines())}
        except ValueError as error:
            raise OSError(
                errno.EINVAL, f"{file}: a line is ADDRESS and one of {', '.join(f.value for f in Fault)}"
            ) from error
        for address in self._chips:
            self.set_fault(address, wanted.get(address, Fault.NONE))

    def _answering(self, address: int) -> Chip:
        fault = self._faults.get(address, Fault.ABSENT)
        if fault is Fault.ABSENT or (fault is Fault.NACK and self._turn):
            raise _os_error(errno.EREMOTEIO)
        return self._chips[address]


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
