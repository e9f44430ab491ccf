"""Buses whose transfers hang until they are let go, as a driver in a kernel that waits for a line does."""

import threading
from collections.abc import Sequence

from wayside_firmware.board import SimulatedBus
from wayside_firmware.board.bus import Message


class HangingBus:
    """An `SmbusLike` whose transfers to one address hang while it is `stuck`.

    Args:
        bus: what is behind it.
        address: whose transfers hang.
    """

    def __init__(self, bus: SimulatedBus, address: int) -> None:
        self._bus = bus
        self._address = address
        self._free = threading.Event()
        self._free.set()
        self.hanging = threading.Semaphore(0)
        """Released once for every transfer that begins to hang."""

    def stick(self) -> None:
        """From now on transfers hang."""
        self._free.clear()

    def let_go(self) -> None:
        """Those that hang go on, and no other hangs."""
        self._free.set()

    def i2c_rdwr(self, *messages: Message) -> None:
        if self._concerns(messages) and not self._free.is_set():
            self.hanging.release()
            self._free.wait()
        self._bus.i2c_rdwr(*messages)

    def close(self) -> None:
        pass

    def _concerns(self, messages: Sequence[Message]) -> bool:
        return any(message.addr == self._address for message in messages)
