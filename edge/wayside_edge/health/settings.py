"""Settings of the agent's log, of what it measures of itself, and of its watchdogs."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from wayside_shared.settings import setting

MIB = 1024 * 1024
_MODULE_LEVEL = re.compile(r"\s*([A-Za-z_][\w.]*)\s*=\s*(\w+)\s*")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})")


class LogLevel(Enum):
    """How much the agent says."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The level as `logging` counts it."""
        return _NUMBERS[self]


_NUMBERS = {LogLevel.DEBUG: 10, LogLevel.INFO: 20, LogLevel.WARNING: 30, LogLevel.ERROR: 40}


class SendLevel(Enum):
    """Which lines are copied to the server."""

    OFF = "off"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The level as `logging` counts it; above all others when nothing is sent."""
        return 1_000 if self is SendLevel.OFF else LogLevel(self.value).number


class LogFormat(Enum):
    """How a line looks."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`[log]`."""

    level: LogLevel = setting("Least level to log.", LogLevel.INFO)
    levels: list[str] = setting(
        "Levels of single modules and of what is below them, such as wayside_edge.uplink = debug.", factory=list
    )
    format: LogFormat = setting(
        "How lines look: text for people, JSON, or auto: with the marks of the journal under systemd, else text.",
        LogFormat.AUTO,
    )
    file: Path | None = setting("A file to log to as well; none logs to standard error alone.", None)
    file_mb: int = setting("Size at which the file is put aside and a new one begun, in MiB.", 2, minimum=1)
    total_mb: int = setting("Most that the file and those put aside may take, in MiB.", 10, minimum=2)
    send: SendLevel = setting("Least level of the lines that are copied to the server, of those logged.", SendLevel.OFF)

    def __post_init__(self) -> None:
        self.by_module()
        if self.total_mb < 2 * self.file_mb:
            raise ValueError(f"total_mb = {self.total_mb}: must be at least twice file_mb, for one file put aside")

    def by_module(self) -> Mapping[str, LogLevel]:
        """`levels`, read.

        Raises:
            ValueError: one is no module with its level.
        """
        found: dict[str, LogLevel] = {}
        for text in self.levels:
            match = _MODULE_LEVEL.fullmatch(text)
            if match is None or match[2] not in [level.value for level in LogLevel]:
                one_of = ", ".join(level.value for level in LogLevel)
                raise ValueError(f"levels: {text!r} must be MODULE = LEVEL, the level one of {one_of}")
            found[match[1]] = LogLevel(match[2])
        return found


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """`[health]`."""

    interval_s: float = setting(
        "Time from one measurement of the agent and its board to the next, in seconds; 0 measures nothing.",
        60.0,
        minimum=0.0,
        maximum=86_400.0,
    )
    prometheus: str | None = setting(
        "Address of this machine at which Prometheus can read these measurements, such as 127.0.0.1:9469; none serves"
        " none.",
        None,
    )
    socket: Path | None = setting(
        "Socket that wayside-edge status asks; none stands for RUNTIME_DIRECTORY/agent.sock under systemd, and else for"
        " one beside the outbox.",
        None,
    )

    def __post_init__(self) -> None:
        if 0 < self.interval_s < 1:
            raise ValueError(f"interval_s = {self.interval_s:g}: must be 0, or at least 1")
        if self.prometheus is not None:
            self.address()

    def address(self) -> tuple[str, int]:
        """Host and port of `prometheus`.

        Raises:
            ValueError: it is no address.
        """
        match = _ADDRESS.fullmatch(self.prometheus or "")
        if match is None or not 0 <= int(match[2]) <= 65_535:
            raise ValueError(f"prometheus = {self.prometheus!r}: must be HOST:PORT, such as 127.0.0.1:9469")
        host = match[1].strip("[]")
        if not _is_own(host):
            fix = "must be of this machine, such as 127.0.0.1:9469, for it has no password and no TLS"
            raise ValueError(f"prometheus = {self.prometheus!r}: {fix}; let a proxy with both stand before it")
        return host, int(match[2])


def _is_own(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """`[watchdog]`: what looks after the agent besides systemd, which needs no setting."""

    device: str = setting(
        "The board's watchdog: a device such as /dev/watchdog; auto, which takes that one where init itself started the"
        " agent, systemd does not watch it and nobody else has the device; or off.",
        "auto",
        pattern=r"auto|off|/[^\0]+",
    )
    timeout_s: int = setting(
        "After how long without a sign of life the watchdog resets the board, in seconds, as far as its hardware"
        " allows: 15 s on a Raspberry Pi.",
        14,
        minimum=1,
        maximum=3600,
    )
    stall_s: float = setting(
        "How long the agent's event loop may stand still before the agent ends itself, to be started anew, in seconds.",
        15.0,
        minimum=0.1,
        maximum=3600.0,
    )
