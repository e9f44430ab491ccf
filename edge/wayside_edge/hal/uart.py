"""A serial line over anything shaped like pyserial's `Serial`: the kernel's ports and the simulated board's."""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from wayside_edge.errors import BusError
from wayside_edge.hal.faults import retired
from wayside_edge.ports import Steps, Uart
from wayside_shared.settings import setting

T = TypeVar("T")

WRITE_S: Final = 1.0
"""Most that a write may take: the longest command of a sensor takes a few milliseconds; what takes longer is stuck."""
MOST: Final = 4096
"""Bytes taken at once: what the kernel keeps for a terminal (drivers/tty/n_tty.c, N_TTY_BUF_SIZE)."""


@dataclass(frozen=True, slots=True)
class UartSettings:
    """Settings of a bus of kind `uart`."""

    port: str = setting("Device file; names below /dev/serial/by-id stay the same.", sample="/dev/serial0")


class SerialLike(Protocol):
    """The part of pyserial's `Serial` that is used here."""

    baudrate: int

    @property
    def in_waiting(self) -> int:
        """Bytes that have come and were not read."""

    def read(self, size: int) -> bytes:
        """At most `size` bytes of those; does not wait.

        Raises:
            OSError: the port is gone.
        """

    def write(self, data: bytes) -> int | None:
        """Send `data`; raises likewise."""

    def reset_input_buffer(self) -> None:
        """Throw away what has come; raises likewise."""

    def close(self) -> None:
        """Give the port back."""


class SerialUart(Uart):
    """A `Uart`. Not for two threads at once.

    Args:
        name: of the bus, for messages.
        opener: opens the port; called at the first use, and again after it failed.
    """

    def __init__(self, name: str, opener: Callable[[], SerialLike]) -> None:
        self.where = f"bus {name}"
        self._opener = opener
        self._serial: SerialLike | None = None
        self._baud = 0

    def open(self, baud: int) -> None:
        """Open the port unless it is open, at `baud` bits per second.

        Raises:
            BusError: it is not there, or not for this user.
        """
        if self._serial is not None and baud == self._baud:
            return
        try:
            if self._serial is None:
                self._serial = self._opener()
            self._serial.baudrate = self._baud = baud
        except (OSError, ValueError) as error:  # pyserial says ValueError for a speed that the port does not have
            raise self._failed(error) from error

    def write(self, data: bytes) -> None:
        """See `Uart`."""
        try:
            self._opened().write(data)
        except OSError as error:
            raise self._failed(error) from error

    def read(self) -> bytes:
        """See `Uart`."""
        try:
            serial = self._opened()
            return serial.read(min(serial.in_waiting, MOST))
        except OSError as error:
            raise self._failed(error) from error

    def discard(self) -> None:
        """See `Uart`."""
        try:
            self._opened().reset_input_buffer()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Give the port back; it opens again on its next use."""
        serial, self._serial = self._serial, None
        if serial is not None:
            serial.close()

    def retire(self) -> None:
        """Give it back for good: whoever still has this object finds it failing."""
        self._opener = retired
        self.close()

    def _opened(self) -> SerialLike:
        self.open(self._baud)
        assert self._serial is not None
        return self._serial

    def _failed(self, error: OSError | ValueError) -> BusError:
        self.close()
        number = error.errno if isinstance(error, OSError) else None
        return BusError(
            f"{self.where}: {_FIXES.get(number or 0, 'the port failed: is its cable plugged in?')} ({error})"
        )


_FIXES: Final[Mapping[int, str]] = {
    errno.ENOENT: "no such port: enable the serial port (on a Raspberry Pi: raspi-config, Interface Options, no login"
    " shell) or correct 'port'",
    errno.EACCES: "permission denied: add this user to the group that owns the port (usually dialout)",
    errno.EPERM: "permission denied: add this user to the group that owns the port (usually dialout)",
    errno.EBUSY: "another program has the port: a login shell or a modem manager; end it",
    errno.EAGAIN: "another program has the port: a login shell or a modem manager; end it",
}


def open_serial(port: str) -> SerialLike:
    """The kernel's port `port`, for this program alone.

    Raises:
        OSError: it is not there, or another program has it.
    """
    from serial import Serial

    opened: SerialLike = Serial(port, timeout=0, write_timeout=WRITE_S, exclusive=True)
    return opened


def receive(
    uart: Uart, find: Callable[[bytearray], T | None], within_s: float, poll_s: float = 0.05
) -> Steps[T | None]:
    """Collect what comes until `find` finds something in it.

    Args:
        uart: the line.
        find: looks at all that has come and takes away what it is done with.
        within_s: how long to wait.
        poll_s: pause between two looks; others do not wait for it.

    Returns:
        What was found; None when the time was over.
    """
    collected = bytearray(uart.read())
    for _ in range(round(within_s / poll_s)):
        found = find(collected)
        if found is not None:
            return found
        yield poll_s
        collected += uart.read()
    return find(collected)
