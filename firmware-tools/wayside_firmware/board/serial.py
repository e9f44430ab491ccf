"""A simulated serial line with a device at its other end, shaped like pyserial's `Serial`."""

import errno
import os
from pathlib import Path

from wayside_firmware.board.bus import Faults
from wayside_firmware.board.chip import Fault, SerialChip


class SimulatedSerial:
    """A serial line. It raises the OSErrors that Linux raises.

    Args:
        chip: the device.
        faults_file: breaks it while it says so: `0` and a `Fault` a line.
    """

    def __init__(self, chip: SerialChip, faults_file: Path | None = None) -> None:
        self.baudrate = 9600
        self.chip = chip
        self.sent = b""
        """All that was written so far."""
        self._faults = Faults({0: chip}, faults_file)
        self._arrived = bytearray()

    def set_fault(self, fault: Fault) -> None:
        """Put the device into a state of failure, or out of it with `Fault.NONE`."""
        self._faults.set(0, fault)

    @property
    def in_waiting(self) -> int:
        """Bytes that have come and were not read.

        Raises:
            OSError: EIO while the fault is STUCK or TIMEOUT: the adapter is unplugged.
        """
        self._check()
        came = self.chip.receive()
        if self.chip.fault is Fault.ABSENT:
            came = b""
        if self.chip.fault is Fault.CORRUPT and came:
            at = len(came) // 2
            came = came[:at] + bytes((came[at] ^ 0x10,)) + came[at + 1 :]
        self._arrived += came
        return len(self._arrived)

    def read(self, size: int) -> bytes:
        """At most `size` bytes; raises likewise."""
        self._check()
        data, self._arrived = bytes(self._arrived[:size]), self._arrived[size:]
        return data

    def write(self, data: bytes) -> int:
        """Send `data`; raises likewise."""
        self._check()
        self.sent += data
        if self.chip.fault is not Fault.ABSENT:
            self.chip.send(data)
        return len(data)

    def reset_input_buffer(self) -> None:
        """Throw away what has come; raises likewise."""
        _ = self.in_waiting
        self._arrived.clear()

    def close(self) -> None:
        """Give the line back; the device stays as it is."""

    def _check(self) -> None:
        self._faults.obey()
        if self.chip.fault in (Fault.STUCK, Fault.TIMEOUT):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
