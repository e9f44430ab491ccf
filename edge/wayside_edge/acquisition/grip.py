"""Who is in the code of a driver, since when, and whether anybody still waits for it."""

import threading
from dataclasses import dataclass


class GivenUpError(BaseException):
    """A driver came back after it had been given up: its thread must end without touching anything that others use.

    No `Exception`: what catches the mistakes of drivers must not catch this.
    """


@dataclass(slots=True, eq=False)
class Held:
    """A call to a driver.

    Args:
        sensor: whose driver it is.
        deadline_s: what a read of it may take, in seconds.
        since_ns: boot time at which it began.
    """

    sensor: str
    deadline_s: float
    since_ns: int


class Grip:
    """Held by the thread of a lane while it is in a driver. Another thread may take it away for good: from then on
    what the driver gives, should it ever come back, belongs to nobody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given_up = False
        self.held: Held | None = None
        """The call under way."""

    def take(self, sensor: str, deadline_s: float, now_ns: int) -> None:
        """A call begins.

        Raises:
            GivenUpError: nobody waits for this thread any more.
        """
        with self._lock:
            self._check()
            self.held = Held(sensor, deadline_s, now_ns)

    def let_go(self) -> None:
        """It has ended.

        Raises:
            GivenUpError: too late.
        """
        with self._lock:
            self._check()
            self.held = None

    def give_up(self, held: Held) -> bool:
        """Wait no longer for the call `held`; whether it was still under way."""
        with self._lock:
            self._given_up = self._given_up or self.held is held
            return self._given_up

    def _check(self) -> None:
        if self._given_up:
            raise GivenUpError
