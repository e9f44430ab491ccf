"""GPIO through the kernel's character device, with libgpiod.

Source: Linux, Documentation/userspace-api/gpio/chardev.rst, and include/uapi/linux/gpio.h: gpio_v2_line_event has
`line_seqno`, which counts the events of a line, those too that found the buffer full.
"""

import errno
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import gpiod
from gpiod.line import Bias, Clock, Direction, Edge, Value

if TYPE_CHECKING:
    from gpiod.line_request import LineRequest
    from gpiod.line_settings import LineSettings

BUFFER: Final = 1024
"""Events that the kernel keeps for a line between reads: the most it allows (GPIO_V2_LINES_MAX * 16)."""
CONSUMER: Final = "wayside"
BIASES: Final = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "none": Bias.DISABLED}
EDGES: Final = {"rising": Edge.RISING, "falling": Edge.FALLING, "both": Edge.BOTH, None: Edge.NONE}
DEVICES: Final = Path("/dev")


class GpiodController:
    """A `Controller`.

    Args:
        chip: its device file or label.

    Raises:
        OSError: ENOENT: there is none of that name.
    """

    def __init__(self, chip: str) -> None:
        self._path = chip if chip.startswith("/") else _labelled(chip)
        if not Path(self._path).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)

    def input(self, line: str, pull: str, debounce_s: float, edges: str | None) -> "GpiodInput":
        """See `Controller`."""
        settings = gpiod.LineSettings(
            direction=Direction.INPUT,
            bias=BIASES[pull],
            edge_detection=EDGES[edges],
            debounce_period=timedelta(seconds=debounce_s),
            event_clock=Clock.MONOTONIC,
        )
        return GpiodInput(self._request(line, settings), edges is not None)

    def output(self, line: str, high: bool) -> "GpiodOutput":
        """See `Controller`."""
        settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=_value(high))
        return GpiodOutput(self._request(line, settings))

    def _request(self, line: str, settings: "LineSettings") -> "LineRequest":
        key = int(line) if line.isdecimal() else line
        try:
            return gpiod.request_lines(self._path, config={key: settings}, consumer=CONSUMER, event_buffer_size=BUFFER)
        except ValueError as error:  # a number beyond the last line, or an unknown name
            raise OSError(errno.ENOENT, str(error)) from error


class GpiodInput:
    """An `InputLine`."""

    def __init__(self, request: "LineRequest", has_edges: bool) -> None:
        self._request = request
        self._line = request.offsets[0]
        self._has_edges = has_edges
        self._last = 0

    def high(self) -> bool:
        """See `InputLine`."""
        return self._request.get_value(self._line) is Value.ACTIVE

    def take(self) -> tuple[list[tuple[bool, int]], int]:
        """See `InputLine`."""
        kept: list[tuple[bool, int]] = []
        lost = 0
        while self._has_edges and self._request.wait_edge_events(timedelta(0)):
            for event in self._request.read_edge_events():
                lost += event.line_seqno - self._last - 1
                self._last = event.line_seqno
                kept.append((event.event_type is event.Type.RISING_EDGE, event.timestamp_ns))
        return kept, lost

    def close(self) -> None:
        """See `InputLine`."""
        self._request.release()


class GpiodOutput:
    """An `OutputLine`. What a line does once it is given back, its controller decides; most keep its level."""

    def __init__(self, request: "LineRequest") -> None:
        self._request = request
        self._line = request.offsets[0]

    def drive(self, high: bool) -> None:
        """See `OutputLine`."""
        self._request.set_value(self._line, _value(high))

    def high(self) -> bool:
        """See `OutputLine`."""
        return self._request.get_value(self._line) is Value.ACTIVE

    def close(self) -> None:
        """See `OutputLine`."""
        self._request.release()


def _value(high: bool) -> Value:
    return Value.ACTIVE if high else Value.INACTIVE


def _labelled(label: str) -> str:
    for path in sorted(DEVICES.glob("gpiochip*")):
        with gpiod.Chip(str(path)) as chip:
            if chip.get_info().label == label:
                return str(path)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), label)
