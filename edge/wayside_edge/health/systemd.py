"""What a service manager wants to hear: sd_notify(3), in a few lines instead of a library."""

import os
import socket
from collections.abc import Mapping
from typing import Final

_US_PER_S: Final = 1e6


class ServiceManager:
    """The service manager that started this process, if one did.

    Args:
        environment: where it says how to reach it.
        pid: this process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environment, os.getpid() if pid is None else pid)
        """How long it waits for a sign of life before it ends this process, in seconds; None when it does not look."""

    def tell(self, *lines: str) -> bool:
        """Say `lines` (`READY=1`, `STATUS=…`); whether somebody has taken them. Never waits."""
        if not self._address:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as end:
            try:
                end.sendto("\n".join(lines).encode(), self._address)
            except OSError:  # it is not there, or has not read what it was told before: the next time will do
                return False
        return True


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    """From WATCHDOG_USEC, which WATCHDOG_PID may address to another process (sd_watchdog_enabled(3))."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        return None
    return int(text) / _US_PER_S
