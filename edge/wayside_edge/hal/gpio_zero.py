"""GPIO of a Raspberry Pi through gpiozero, which knows the pins of each model."""

import errno
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

from gpiozero.exc import GPIOZeroError

KEPT: Final = 4096
"""Changes kept between two reads of a line: a bounded megabyte, and a second of what a Pi can follow."""
Faults: TypeAlias = tuple[type[Exception], ...]
FAULTS: Final[Faults] = (GPIOZeroError, ValueError)
PULLS: Final = {"up": "up", "down": "down", "none": "floating"}


def open_gpiozero() -> "ZeroController":
    """The controller over lgpio.

    Raises:
        OSError: this is no Raspberry Pi, or its device may not be opened.
    """
    import lgpio
    from gpiozero.pins.lgpio import LGPIOFactory

    try:
        return ZeroController(LGPIOFactory(), (*FAULTS, lgpio.error))
    except (GPIOZeroError, lgpio.error) as error:
        raise OSError(errno.ENOENT, f'{error}; on other boards say backend = "gpiod"') from error


class ZeroController:
    """A `Controller`.

    Args:
        factory: gpiozero's pin factory.
        faults: what it raises.
    """

    def __init__(self, factory: Any, faults: Faults = FAULTS) -> None:
        self._factory = factory
        self._faults = faults
        self._taken: set[object] = set()

    def input(self, line: str, pull: str, debounce_s: float, edges: str | None) -> "ZeroInput":
        """See `Controller`."""
        pin = self._pin(line)
        try:
            with _translated(self._faults):
                pin.input_with_pull(PULLS[pull])
                pin.bounce = debounce_s or None
                return ZeroInput(pin, edges, self._taken, self._faults)
        except OSError:
            self._taken.discard(pin)
            raise

    def output(self, line: str, high: bool) -> "ZeroOutput":
        """See `Controller`."""
        pin = self._pin(line)
        try:
            with _translated(self._faults):
                pin.output_with_state(int(high))
        except OSError:
            self._taken.discard(pin)
            raise
        return ZeroOutput(pin, self._taken, self._faults)

    def _pin(self, line: str) -> Any:
        with _translated(self._faults, errno.ENOENT):
            pin = self._factory.pin(int(line) if line.isdecimal() else line)
        if pin in self._taken:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._taken.add(pin)
        return pin


class ZeroInput:
    """An `InputLine`. lgpio's own thread calls `_changed`."""

    def __init__(self, pin: Any, edges: str | None, taken: set[object], faults: Faults) -> None:
        self._pin = pin
        self._taken = taken
        self._faults = faults
        self._changes: deque[tuple[bool, int]] = deque(maxlen=KEPT)
        self._seen = 0
        self._handed = 0
        if edges is not None:
            pin.edges = edges
            pin.when_changed = self._changed

    def high(self) -> bool:
        """See `InputLine`."""
        with _translated(self._faults):
            return bool(self._pin.state)

    def take(self) -> tuple[list[tuple[bool, int]], int]:
        """See `InputLine`. What lgpio itself could not keep, nobody knows."""
        # One at a time, so that what comes meanwhile is left for the next call and not counted twice.
        kept = [self._changes.popleft() for _ in range(len(self._changes))]
        seen = self._seen - len(self._changes)
        lost = max(seen - self._handed - len(kept), 0)
        self._handed += len(kept) + lost
        return kept, lost

    def close(self) -> None:
        """See `InputLine`."""
        with suppress(*self._faults):
            self._pin.when_changed = None
            self._pin.close()
        self._taken.discard(self._pin)

    def _changed(self, ticks: float, state: int) -> None:
        self._changes.append((bool(state), round(ticks * 1e9)))
        self._seen += 1


class ZeroOutput:
    """An `OutputLine`."""

    def __init__(self, pin: Any, taken: set[object], faults: Faults) -> None:
        self._pin = pin
        self._taken = taken
        self._faults = faults

    def drive(self, high: bool) -> None:
        """See `OutputLine`."""
        with _translated(self._faults):
            self._pin.state = int(high)

    def high(self) -> bool:
        """See `OutputLine`."""
        with _translated(self._faults):
            return bool(self._pin.state)

    def close(self) -> None:
        """See `OutputLine`. The pin stays an output: gpiozero's own way to close it makes it an input."""
        self._taken.discard(self._pin)


@contextmanager
def _translated(faults: Faults, number: int = errno.EINVAL) -> Iterator[None]:
    """Turn what gpiozero and lgpio raise into what the kernel would say."""
    try:
        yield
    except faults as error:
        raise OSError(errno.EBUSY if "busy" in str(error).lower() else number, str(error)) from error
