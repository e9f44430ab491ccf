"""GPIO lines, as drivers see them: levels are logical, so active is True whichever voltage that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Pull(Enum):
    """What holds a line that nothing drives."""

    UP = "up"
    DOWN = "down"
    NONE = "none"


class EdgeKind(Enum):
    """Which changes of a line count."""

    RISING = "rising"
    """It became active."""
    FALLING = "falling"
    """It became inactive."""
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Edge:
    """A change of a line.

    Args:
        active: what it changed to.
        at_ns: when, by CLOCK_MONOTONIC, in nanoseconds; the kernel's interrupt took the time.
    """

    active: bool
    at_ns: int


@dataclass(frozen=True, slots=True)
class Edges:
    """What happened on a line since it was asked before.

    Args:
        kept: the changes, oldest first.
        lost: how many came before them that nobody could keep.
    """

    kept: Sequence[Edge]
    lost: int = 0


class GpioInput(Protocol):
    """A line that something else drives."""

    def active(self) -> bool:
        """Whether it is active now.

        Raises:
            BusError: it cannot be read.
        """

    def edges(self) -> Edges:
        """The changes since the last call; raises as `active`."""

    def close(self) -> None:
        """Give the line back; never raises."""


class GpioOutput(Protocol):
    """A line that is driven here."""

    def set(self, active: bool) -> None:
        """Drive it.

        Raises:
            BusError: it cannot be driven.
        """

    def active(self) -> bool:
        """What it is driven to; raises as `set`."""

    def close(self) -> None:
        """Drive it to its safe state and give it back; never raises."""


class GpioBus(Protocol):
    """The lines of a GPIO controller."""

    def input(self, line: str, *, active_low: bool, pull: Pull, debounce_s: float, edges: EdgeKind | None) -> GpioInput:
        """Take a line as an input.

        Args:
            line: its number or name.
            active_low: whether a low level is active.
            pull: what holds it.
            debounce_s: how long a change must last to count, in seconds; 0 for any.
            edges: which changes to keep; None for none.

        Raises:
            BusError: it is not there, or something else has it.
        """

    def output(self, line: str, *, active_low: bool, initial: bool, safe: bool) -> GpioOutput:
        """Take a line as an output that is `initial` from the first moment on, and `safe` once it is closed.

        Raises:
            BusError: it is not there, or something else has it.
        """

    def now_ns(self) -> int:
        """The time by the clock of the edges, in nanoseconds."""
