"""Simulated I2C and SPI buses, and the ways in which they fail."""

import ctypes
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from wayside_firmware.board.chip import Fault, I2cChip, SerialChip, SpiChip

I2C_M_RD = 0x0001
"""Flag of a message that reads (linux/i2c.h)."""


class Message(Protocol):
    """One message of a transaction: the attributes of smbus2's `i2c_msg`."""

    addr: int
    flags: int
    len: int
    buf: Any


AnyChip: TypeAlias = I2cChip | SpiChip | SerialChip


class Faults:
    """The faults of the chips on a bus.

    Args:
        chips: by address or chip select.
        file: breaks chips while it says so, as long as it is there: an address and a `Fault` a line.
    """

    def __init__(
        self, chips: Mapping[int, I2cChip] | Mapping[int, SpiChip] | Mapping[int, SerialChip], file: Path | None
    ) -> None:
        self._chips: Mapping[int, I2cChip | SpiChip | SerialChip] = chips
        self._file = file
        self._text = ""
        self.stuck = False
        """Whether a chip holds the data line low."""

    def set(self, address: int, fault: Fault) -> None:
        """Put the chip at `address` into a state of failure, or out of it."""
        self._chips[address].fault = fault
        self.stuck = any(chip.fault is Fault.STUCK for chip in self._chips.values())

    def obey(self) -> None:
        """Do what the file says now.

        Raises:
            OSError: it cannot be understood.
        """
        if self._file is None:
            return
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            text = ""
        if text == self._text:
            return
        self._text = text
        try:
            wanted = {int(address, 0): Fault(fault) for address, fault in (line.split() for line in text.splitlines())}
        except ValueError as error:
            known = ", ".join(fault.value for fault in Fault)
            raise OSError(errno.EINVAL, f"{self._file}: a line is ADDRESS and one of {known}") from error
        for address in self._chips:
            self.set(address, wanted.get(address, Fault.NONE))


class SimulatedBus:
    """An I2C bus with chips on it, shaped like smbus2's `SMBus`; raises the OSErrors that Linux raises.

    Args:
        chips: the chips by their 7-bit addresses.
        faults_file: breaks chips while it says so, as long as it is there: an address and a `Fault` a line.
    """

    def __init__(self, chips: Mapping[int, I2cChip], faults_file: Path | None = None) -> None:
        self.chips = dict(chips)
        self._faults = Faults(self.chips, faults_file)
        self._turn = False
        self.transactions = 0
        """Transactions so far, those that failed too."""

    def set_fault(self, address: int, fault: Fault) -> None:
        """Put the chip at `address` into a state of failure, or out of it with `Fault.NONE`."""
        self._faults.set(address, fault)

    def i2c_rdwr(self, *messages: Message) -> None:
        """Do `messages` as one transaction.

        Raises:
            OSError: EREMOTEIO when an address is not acknowledged, ETIMEDOUT when a line is held low.
        """
        self.transactions += 1
        self._faults.obey()
        if self._faults.stuck:
            raise _os_error(errno.ETIMEDOUT)
        self._turn = not self._turn
        for message in messages:
            chip = self._answering(message.addr)
            if message.flags & I2C_M_RD:
                ctypes.memmove(message.buf, _corrupt(chip.read(message.len), chip.fault), message.len)
            else:
                chip.write(ctypes.string_at(message.buf, message.len))

    def close(self) -> None:
        """Give the bus back; the chips stay as they are."""

    def _answering(self, address: int) -> I2cChip:
        chip = self.chips.get(address)
        if chip is None or chip.fault is Fault.ABSENT or (chip.fault is Fault.NACK and self._turn):
            raise _os_error(errno.EREMOTEIO)
        if chip.fault is Fault.TIMEOUT:
            raise _os_error(errno.ETIMEDOUT)
        return chip


class SimulatedSpi:
    """An SPI bus with chips on it; `open` gives what spidev's `SpiDev` is shaped like.

    Args:
        chips: the chips by chip select.
        faults_file: breaks chips while it says so: a chip select and a `Fault` a line.
    """

    def __init__(self, chips: Mapping[int, SpiChip], faults_file: Path | None = None) -> None:
        self.chips = dict(chips)
        self.faults = Faults(self.chips, faults_file)

    def set_fault(self, chip_select: int, fault: Fault) -> None:
        """Put the chip at `chip_select` into a state of failure, or out of it with `Fault.NONE`."""
        self.faults.set(chip_select, fault)

    def open(self, chip_select: int) -> "SimulatedSpidev":
        """The device at `chip_select`; one without a chip reads as 0xFF.

        Raises:
            OSError: ENOENT: no chip select of that number.
        """
        if chip_select not in self.chips:
            raise _os_error(errno.ENOENT)
        return SimulatedSpidev(self, chip_select)


class SimulatedSpidev:
    """One chip select, shaped like spidev's `SpiDev`."""

    def __init__(self, bus: SimulatedSpi, chip_select: int) -> None:
        self.mode = 0
        self.max_speed_hz = 500_000
        self._bus = bus
        self._chip = bus.chips[chip_select]

    def xfer2(self, values: Sequence[int]) -> list[int]:
        """Send `values` within one chip select.

        Raises:
            OSError: ETIMEDOUT while the chip has that fault.
        """
        self._bus.faults.obey()
        fault = self._chip.fault
        if fault is Fault.ABSENT:
            return [0xFF] * len(values)
        if fault in (Fault.STUCK, Fault.NACK):
            return [0x00] * len(values)
        if fault is Fault.TIMEOUT:
            raise _os_error(errno.ETIMEDOUT)
        return list(_corrupt(self._chip.transfer(bytes(values)), fault))

    def close(self) -> None:
        """Give the device back."""


def _corrupt(data: bytes, fault: Fault) -> bytes:
    """`data` as noisy wires carry it: a bit of the last byte but one turned."""
    if fault is not Fault.CORRUPT or not data:
        return data
    at = max(len(data) - 2, 0)
    return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
