"""GPIO: gpiozero with lgpio on a Raspberry Pi, libgpiod on other boards, or a simulated controller."""

import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from wayside_edge.errors import BusError
from wayside_edge.ports import Edge, EdgeKind, Edges, GpioInput, GpioOutput, Pull
from wayside_shared.settings import setting

MODEL: Final = Path("/proc/device-tree/model")
RASPBERRY_PI: Final = "Raspberry Pi"


class Backend(Enum):
    """Which library drives the lines."""

    AUTO = "auto"
    GPIOZERO = "gpiozero"
    GPIOD = "gpiod"


@dataclass(frozen=True, slots=True)
class GpioSettings:
    """Settings of a bus of kind `gpio`."""

    chip: str = setting(
        "For gpiod, the controller's device file or label, as gpiodetect shows them; gpiozero finds its own.",
        "/dev/gpiochip0",
    )
    backend: Backend = setting(
        "Library: gpiozero (with lgpio, names pins as a Raspberry Pi does), gpiod, or auto: gpiozero on a Raspberry Pi"
        " and gpiod elsewhere.",
        Backend.AUTO,
    )


class InputLine(Protocol):
    """An input of a controller, in its own levels."""

    def high(self) -> bool:
        """Whether the level is high.

        Raises:
            OSError: it cannot be read.
        """

    def take(self) -> tuple[list[tuple[bool, int]], int]:
        """Changes since the last call, as level and CLOCK_MONOTONIC in ns, and how many were lost; raises likewise."""

    def close(self) -> None:
        """Give it back."""


class OutputLine(Protocol):
    """An output of a controller, in its own levels."""

    def drive(self, high: bool) -> None:
        """Drive it.

        Raises:
            OSError: it cannot be driven.
        """

    def high(self) -> bool:
        """What it is driven to; raises likewise."""

    def close(self) -> None:
        """Give it back, as it is."""


class Controller(Protocol):
    """What a GPIO library or a simulated board gives."""

    def input(self, line: str, pull: str, debounce_s: float, edges: str | None) -> InputLine:
        """Take a line as an input.

        Args:
            line: number or name.
            pull: `up`, `down` or `none`.
            debounce_s: seconds, or 0.
            edges: `rising`, `falling`, `both` or None, of the level.

        Raises:
            OSError: ENOENT when there is no such line, EBUSY when it is taken.
        """

    def output(self, line: str, high: bool) -> OutputLine:
        """Take a line as an output that is at this level from the first moment; raises likewise."""


class Gpio:
    """A `GpioBus` over a `Controller`.

    Args:
        name: of the bus, for messages.
        opener: opens the controller; called when a line is taken, and again after it failed.
        monotonic_ns: the clock of the edges.
    """

    def __init__(
        self, name: str, opener: Callable[[], Controller], monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._name = name
        self._opener = opener
        self._controller: Controller | None = None
        self.now_ns = monotonic_ns

    def input(self, line: str, *, active_low: bool, pull: Pull, debounce_s: float, edges: EdgeKind | None) -> GpioInput:
        """See `GpioBus`."""
        where = f"bus {self._name}, line {line}"
        level = None if edges is None else (_TURNED[edges.value] if active_low else edges.value)
        try:
            return _Input(where, self._open().input(line, pull.value, debounce_s, level), active_low)
        except OSError as error:
            raise self._error(where, error) from error

    def output(self, line: str, *, active_low: bool, initial: bool, safe: bool) -> GpioOutput:
        """See `GpioBus`."""
        where = f"bus {self._name}, line {line}"
        try:
            return _Output(where, self._open().output(line, initial != active_low), active_low, safe)
        except OSError as error:
            raise self._error(where, error) from error

    def _open(self) -> Controller:
        if self._controller is None:
            self._controller = self._opener()
        return self._controller

    def _error(self, where: str, error: OSError) -> BusError:
        if error.errno == errno.ENODEV:
            self._controller = None
        return _error(where, error)


_TURNED: Final[Mapping[str, str]] = {"rising": "falling", "falling": "rising", "both": "both"}
_FIXES: Final[Mapping[int, str]] = {
    errno.EBUSY: "something else has it: another sensor, an overlay or a program; gpioinfo shows which",
    errno.ENOENT: "there is no such controller or line: gpiodetect and gpioinfo list them; correct 'chip' or 'line'",
    errno.EINVAL: "the controller cannot do that with this line: correct 'line', 'pull' or 'debounce_s'",
    errno.EACCES: "permission denied: add this user to the group that owns the device (usually gpio)",
    errno.EPERM: "permission denied: add this user to the group that owns the device (usually gpio)",
    errno.ENODEV: "the controller is gone: is its cable plugged in?",
}


def _error(where: str, error: OSError) -> BusError:
    return BusError(f"{where}: {_FIXES.get(error.errno or 0, 'the controller failed')} ({error})")


class _Input:
    """A `GpioInput`."""

    def __init__(self, where: str, line: InputLine, active_low: bool) -> None:
        self._where = where
        self._line = line
        self._active_low = active_low

    def active(self) -> bool:
        try:
            return self._line.high() != self._active_low
        except OSError as error:
            raise _error(self._where, error) from error

    def edges(self) -> Edges:
        try:
            kept, lost = self._line.take()
        except OSError as error:
            raise _error(self._where, error) from error
        return Edges([Edge(high != self._active_low, at_ns) for high, at_ns in kept], lost)

    def close(self) -> None:
        self._line.close()


class _Output:
    """A `GpioOutput`."""

    def __init__(self, where: str, line: OutputLine, active_low: bool, safe: bool) -> None:
        self._where = where
        self._line = line
        self._active_low = active_low
        self._safe = safe

    def set(self, active: bool) -> None:
        try:
            self._line.drive(active != self._active_low)
        except OSError as error:
            raise _error(self._where, error) from error

    def active(self) -> bool:
        try:
            return self._line.high() != self._active_low
        except OSError as error:
            raise _error(self._where, error) from error

    def close(self) -> None:
        try:
            self._line.drive(self._safe != self._active_low)
        except OSError:  # its controller is gone, and with it the means to drive it
            return
        finally:
            self._line.close()


def controller(settings: GpioSettings, model: Path = MODEL) -> Controller:
    """The controller that `settings` mean on this board.

    Raises:
        OSError: it is not there now.
    """
    backend = settings.backend
    if backend is Backend.AUTO:
        backend = Backend.GPIOZERO if _is_raspberry_pi(model) else Backend.GPIOD
    if backend is Backend.GPIOZERO:
        from wayside_edge.hal.gpio_zero import open_gpiozero

        return open_gpiozero()
    from wayside_edge.hal.gpio_chip import GpiodController

    return GpiodController(settings.chip)


def _is_raspberry_pi(model: Path) -> bool:
    try:
        return model.read_text(encoding="utf-8").startswith(RASPBERRY_PI)
    except OSError:  # boards without a device tree, as every PC
        return False
