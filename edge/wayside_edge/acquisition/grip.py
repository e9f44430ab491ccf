"""Who is in the code of a driver, since when, and whether anybody still waits for it."""

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
    what the driver gives, should it ever come back, belongs to nobody.

    The call under way is what is in a list. Who takes it out has decided: each method is one step of a list, which
    Python does not divide, and a quarter of the time that a lock takes.
    """

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: list[Held] = []

    @property
    def held(self) -> Held | None:
        """The call under way."""
        return next(iter(self._calls[:1]), None)

    def take(self, sensor: str, deadline_s: float, now_ns: int) -> None:
        """A call begins."""
        self._calls.append(Held(sensor, deadline_s, now_ns))

    def let_go(self) -> None:
        """It has ended.

        Raises:
            GivenUpError: too late.
        """
        try:
            self._calls.pop()
        except IndexError:
            raise GivenUpError from None

    def give_up(self, held: Held) -> bool:
        """Wait no longer for the call `held`; whether it was still under way."""
        try:
            self._calls.remove(held)
        except ValueError:
            return False
        return True
