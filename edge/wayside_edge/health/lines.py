"""A line of the log, and how it looks in a terminal, in the journal and as JSON."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from wayside_shared.clock import NS_PER_MS, NS_PER_S
from wayside_shared.text import printable

LEVELS: Mapping[int, str] = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
_SYSLOG = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}
"""sd-daemon(3): the priorities of syslog."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, without secrets.

    Args:
        number: its number in this run of the agent.
        wall_ns: when, as the wall clock had it.
        boottime_ns: when, boot time.
        level: 10 (debug) to 50 (critical).
        module: who says it.
        text: what; a traceback stands below it.
        event: the event's name, when it is one.
        fields: the event's data.
    """

    number: int
    wall_ns: int
    boottime_ns: int
    level: int
    module: str
    text: str
    event: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def level_name(self) -> str:
        """The level in capitals."""
        return LEVELS[self.level]

    @property
    def size(self) -> int:
        """About how many characters it takes."""
        return len(self.text) + sum(len(str(value)) for value in self.fields.values())


def as_console(line: Line) -> str:
    """For a terminal, with the local time."""
    local = time.localtime(line.wall_ns // NS_PER_S)
    at = f"{time.strftime('%Y-%m-%d %H:%M:%S', local)},{line.wall_ns // NS_PER_MS % 1000:03d}"
    first, *more = rows(line.text)
    return "\n".join([f"{at} {line.level_name} {first}", *(f"    {row}" for row in more)])


def rows(text: str) -> list[str]:
    """The rows of a text that may have several, each as a terminal may be given it: none looks like a line of its own
    once it is indented."""
    return [printable(row.expandtabs()) for row in text.split("\n")]


def as_journal(line: Line) -> str:
    """For the journal, which stamps itself; each row of it has its priority."""
    return "\n".join(f"<{_SYSLOG[line.level]}>{row}" for row in rows(line.text))


def as_json(line: Line) -> str:
    """As one JSON object."""
    at = datetime.fromtimestamp(line.wall_ns // NS_PER_S, UTC)
    told: dict[str, Any] = {
        "time": f"{at:%Y-%m-%dT%H:%M:%S}.{line.wall_ns // NS_PER_MS % 1000:03d}Z",
        "level": line.level_name.lower(),
        "module": line.module,
        "message": line.text,
    }
    if line.event is not None:
        told["event"] = line.event
        told["data"] = dict(line.fields)
    return json.dumps(told, ensure_ascii=False, default=str)
