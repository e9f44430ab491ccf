"""GPIO lines of the board through the kernel's character device."""

from collections.abc import Sequence
from datetime import timedelta

import gpiod
from gpiod.line import Bias, Direction, Edge, Value

CHIP = "/dev/gpiochip0"
_requests: list[gpiod.LineRequest] = []


def watch(line: int) -> None:
    """Take a line as an input with a pull-up, for its edges; once a boot."""
    settings = gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH, bias=Bias.PULL_UP)
    _requests.append(gpiod.request_lines(CHIP, consumer="test", config={line: settings}))


def edges(count: int, within_s: float) -> Sequence[tuple[str, int]]:
    """The next `count` edges, or fewer when they do not come in time: direction and CLOCK_MONOTONIC in ns."""
    found: list[tuple[str, int]] = []
    while len(found) < count and _requests[0].wait_edge_events(timedelta(seconds=within_s)):
        found += [
            (event.event_type.name.split("_")[0], event.timestamp_ns) for event in _requests[0].read_edge_events()
        ]
    return found


def output(line: int, level: int) -> None:
    """Drive a line, and let it go again."""
    settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value(level))
    gpiod.request_lines(CHIP, consumer="test", config={line: settings}).release()
