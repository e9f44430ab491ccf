"""A simulated GPIO controller: lines with levels, changes with time stamps, pulses, debouncing, a bounded buffer."""

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from wayside_shared.settings import Table, from_table, setting

NS_PER_S: Final = 1_000_000_000
BUFFER: Final = 1024
"""Changes kept for a line, as the kernel does; then the oldest go."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """One line."""

    line: str = setting("Its number or name.", sample="17")
    level: bool = setting("Whether it is high when nothing here drives it.", False)
    pulses_hz: float = setting("Pulses in a second; 0 for a level that stays.", 0.0, minimum=0.0, maximum=1e5)


@dataclass(frozen=True, slots=True)
class GpioBoardSettings:
    """Settings of a bus of kind `simulated-gpio`."""

    lines: list[LineSettings] = setting("The lines.")


class SimulatedLine:
    """What a line is connected to.

    Args:
        level: the level from outside; None when nothing drives it.
        pulses_hz: square waves from outside instead.
        begun_ns: when they begin.
    """

    def __init__(self, level: bool | None = None, pulses_hz: float = 0.0, begun_ns: int = 0) -> None:
        self.level = level
        self.changes: deque[tuple[bool, int]] = deque(maxlen=BUFFER)
        self.dropped = 0
        self.debounce_ns = 0
        self.wanted: str | None = None
        self.taken = False
        self.output = False
        self._half_ns = round(NS_PER_S / pulses_hz / 2) if pulses_hz else 0
        self._halves = 0
        self._begun_ns = begun_ns
        self._unsettled: tuple[bool, int] | None = None

    def change(self, level: bool, at_ns: int) -> None:
        """Something outside drives the line to `level`."""
        self.settle(at_ns)
        if level == self.level:
            self._unsettled = None
            return
        if self.debounce_ns:
            self._unsettled = (level, at_ns)
        else:
            self._keep(level, at_ns)

    def settle(self, now_ns: int) -> None:
        """Let everything happen that was due by now."""
        while self._half_ns and self._begun_ns + (self._halves + 1) * self._half_ns <= now_ns:
            self._halves += 1
            self._keep(self._halves % 2 == 1, self._begun_ns + self._halves * self._half_ns)
        if self._unsettled is not None and now_ns - self._unsettled[1] >= self.debounce_ns:
            (level, at_ns), self._unsettled = self._unsettled, None
            self._keep(level, at_ns + self.debounce_ns)

    def _keep(self, level: bool, at_ns: int) -> None:
        self.level = level
        if self.wanted in ("both", "rising" if level else "falling"):
            self.dropped += len(self.changes) == BUFFER
            self.changes.append((level, at_ns))


class SimulatedGpio:
    """A GPIO controller. It raises the OSErrors that Linux raises.

    Args:
        lines: by number or name.
        monotonic_ns: the clock of the changes.
    """

    def __init__(self, lines: Mapping[str, SimulatedLine], monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.lines = dict(lines)
        self.fault: int | None = None
        """Error number that everything ends with while it is set."""
        self._monotonic_ns = monotonic_ns

    def drive(self, line: str, high: bool) -> None:
        """Drive a line from outside."""
        self.lines[line].change(high, self._monotonic_ns())

    def input(self, line: str, pull: str, debounce_s: float, edges: str | None) -> "SimulatedInput":
        """Take a line as an input.

        Raises:
            OSError: ENOENT when there is no such line, EBUSY when it is taken.
        """
        found = self._take(line)
        found.output = False
        found.debounce_ns = round(debounce_s * NS_PER_S)
        found.settle(self._monotonic_ns())
        if found.level is None:
            found.level = pull == "up"
        found.changes.clear()
        found.dropped = 0
        found.wanted = edges
        return SimulatedInput(self, found)

    def output(self, line: str, high: bool) -> "SimulatedOutput":
        """Take a line as an output; raises likewise."""
        found = self._take(line)
        found.output = True
        found.level = high
        return SimulatedOutput(self, found)

    def check(self) -> int:
        """The time now.

        Raises:
            OSError: the fault that is set.
        """
        if self.fault is not None:
            raise OSError(self.fault, os.strerror(self.fault))
        return self._monotonic_ns()

    def _take(self, line: str) -> SimulatedLine:
        self.check()
        found = self.lines.get(line)
        if found is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if found.taken:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        found.taken = True
        return found


class SimulatedInput:
    """A line that was taken as an input."""

    def __init__(self, controller: SimulatedGpio, line: SimulatedLine) -> None:
        self._controller = controller
        self._line = line

    def high(self) -> bool:
        """Whether its level is high."""
        self._line.settle(self._controller.check())
        return bool(self._line.level)

    def take(self) -> tuple[list[tuple[bool, int]], int]:
        """The changes since the last call, and how many were dropped."""
        self._line.settle(self._controller.check())
        changes, dropped = list(self._line.changes), self._line.dropped
        self._line.changes.clear()
        self._line.dropped = 0
        return changes, dropped

    def close(self) -> None:
        """Give it back."""
        self._line.taken = False
        self._line.wanted = None


class SimulatedOutput:
    """A line that was taken as an output; it keeps its level when it is given back."""

    def __init__(self, controller: SimulatedGpio, line: SimulatedLine) -> None:
        self._controller = controller
        self._line = line

    def drive(self, high: bool) -> None:
        """Drive it."""
        self._controller.check()
        self._line.level = high

    def high(self) -> bool:
        """Its level."""
        self._controller.check()
        return bool(self._line.level)

    def close(self) -> None:
        """Give it back."""
        self._line.taken = False


class GpioBoardKind:
    """A bus kind, as the agent finds it among the entry points `wayside.buses`."""

    family = "gpio"
    settings = GpioBoardSettings

    def __call__(self, settings: Mapping[str, object]) -> SimulatedGpio:
        """The controller that a configuration's `[[bus]]` table describes.

        Raises:
            ConfigError: a setting is wrong.
        """
        board = from_table(GpioBoardSettings, Table(settings))
        now_ns = time.monotonic_ns()
        return SimulatedGpio({each.line: SimulatedLine(each.level, each.pulses_hz, now_ns) for each in board.lines})


open_gpio = GpioBoardKind()
