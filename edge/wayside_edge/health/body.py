"""What the agent tells of itself: its own series, its answers to `wayside-edge status`, and its page for Prometheus."""

import asyncio
import errno
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from wayside_edge.errors import BusError, OutboxError
from wayside_edge.hal.clock import SystemClock
from wayside_edge.health import measure
from wayside_edge.health.copy import LogCopy
from wayside_edge.health.events import Journal, StatusAway
from wayside_edge.health.local_server import LocalServer
from wayside_edge.health.logs import Logs
from wayside_edge.health.prometheus import MetricsServer, exposition
from wayside_edge.health.settings import HealthSettings, LogLevel, SendLevel
from wayside_edge.ports import IntakeState, LinkState, MeasureSource, OutboxAccount, Reading, SensorState, StageState
from wayside_shared.clock import NS_PER_MS, NS_PER_S
from wayside_shared.quality import Quality, label_of
from wayside_shared.settings import suggestion

log = logging.getLogger(__name__)

TICK_S: Final = 5.0
"""What was held back of repeats is said, and levels are taken back, this late at most."""
SAID_AFTER: Final = 2
"""Failures to listen: an agent that just ends, or that finds another one at its outbox, is no trouble of the status."""
OUTBOX_S: Final = 2.0
"""A disk that takes longer is left out of an answer: whoever asks wants to see the rest then all the more."""
MAX_MINUTES: Final = 7 * 24 * 60
MAX_LEVELS: Final = 100
CONFIGURED: Final = "default"
"""In the place of a level: what the configuration says."""
RUNTIME_SOCKET: Final = "agent.sock"


@dataclass(frozen=True, slots=True)
class Parts:
    """What is told of, and where it is told.

    Args:
        device: this device's name.
        agent: software and version.
        outbox: the outbox's file.
        clock: this machine's.
        journal: counts the events.
        logs: the log.
        copy: the log's copy for the server.
        intake: says what became of what was read.
        sensors: says how the sensors fare.
        stages: says how the stages fare.
        link: says how the link is.
        identity: says how the device's certificate is.
        account: says what the outbox holds; raises OutboxError.
        add: takes the agent's own readings, and the seconds between two calls.
    """

    device: str
    agent: str
    outbox: Path
    clock: SystemClock
    journal: Journal
    logs: Logs
    copy: LogCopy
    intake: Callable[[], IntakeState]
    sensors: Callable[[], Sequence[SensorState]]
    stages: Callable[[], Sequence[StageState]]
    link: Callable[[], LinkState]
    identity: Callable[[], Mapping[str, Any]]
    account: Callable[[], Awaitable[OutboxAccount]]
    add: Callable[[Sequence[Reading], float], None]


class Health:
    """Measures and tells, for as long as it runs.

    Args:
        settings: `[health]`.
        parts: what is told of.
    """

    def __init__(self, settings: HealthSettings, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._began_ns = parts.clock.boottime_ns()
        self._board = measure.BoardMeasures(parts.outbox.parent)
        self._more: list[MeasureSource] = []
        self._said: set[str] = set()
        self._asked: asyncio.Future[OutboxAccount] | None = None

    def add_source(self, source: MeasureSource) -> None:
        """Measure what `source` gives too; each name may be given once."""
        self._more.append(source)

    async def run(self) -> None:
        """Measure and tell until cancelled."""
        local = LocalServer(socket_path(self._settings, self._parts.outbox), self._answer)
        metrics = self._build_metrics()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._open("the status", local.start))
                if metrics is not None:
                    tasks.create_task(self._open(f"{self._settings.prometheus} for Prometheus", metrics.start))
                tasks.create_task(self._tick())
                if self._settings.interval_s:
                    tasks.create_task(self._measure())
        finally:
            local.stop()
            if metrics is not None:
                metrics.stop()

    async def readings(self, board: MeasureSource) -> list[Reading]:
        """Everything that is measured, now; `board` measures the board."""
        parts = self._parts
        account = await self._account()
        return measure.gather(
            [
                board,
                lambda: measure.clock_readings(parts.clock),
                lambda: measure.link_readings(parts.link()),
                lambda: [] if account is None else measure.outbox_readings(account),
                lambda: measure.intake_readings(parts.intake(), parts.sensors()),
                lambda: measure.event_readings(parts.journal),
                *self._more,
            ],
            self._unanswered,
        )

    def _build_metrics(self) -> MetricsServer | None:
        if self._settings.prometheus is None:
            return None
        return MetricsServer(*self._settings.address(), self._exposition)

    async def _exposition(self) -> str:
        sources: list[SensorState | StageState] = [*self._parts.sensors(), *self._parts.stages()]
        return exposition(await self.readings(self._board.look), [(each.name, each.last) for each in sources])

    async def _open(self, what: str, start: Callable[[], Awaitable[object]]) -> None:
        """Returns once it listens. What fails again and again is said once; a missing folder the outbox tells."""
        failures = 0
        while True:
            try:
                await start()
            except OSError as error:
                failures += 1
                missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
                if failures == SAID_AFTER and not (missing and self._settings.socket is None):
                    self._parts.journal.emit(StatusAway(what, error.strerror or str(error)))
            else:
                return
            await asyncio.sleep(TICK_S)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._parts.logs.tick()

    async def _measure(self) -> None:
        self._board.begin()
        while True:
            await asyncio.sleep(self._settings.interval_s)
            self._parts.add(await self.readings(self._board), self._settings.interval_s)

    def _unanswered(self, error: BusError) -> None:
        if str(error) not in self._said:
            self._said.add(str(error))
            log.warning("not measured: %s", error)

    async def _account(self) -> OutboxAccount | None:
        # One question at a time, however many ask: behind a disk that hangs they would pile up.
        if self._asked is None or self._asked.done():
            self._asked = asyncio.ensure_future(self._parts.account())
            self._asked.add_done_callback(_heard)
        try:
            async with asyncio.timeout(OUTBOX_S):
                return await asyncio.shield(self._asked)
        except (OutboxError, TimeoutError):
            return None  # those who fill and empty it say what is wrong

    async def _answer(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        match question:
            case {"ask": "status"}:
                return await self._status()
            case {"ask": "log-level"} if "level" not in question:
                return self._log_state()
            case {"ask": "log-level", "module": str(module), "level": str(level)}:
                return self._set_level(module, level, question.get("minutes"))
            case {"ask": "log-send", "level": str(level)}:
                self._parts.copy.level = _level(SendLevel, level)
                log.info("lines from %s on are copied to the server", level)
                return {"send": level}
            case _:
                raise ValueError("known questions: status, log-level, log-send")

    def _set_level(self, module: str, level: str, minutes: object) -> Mapping[str, Any]:
        _check_module(module)
        if level == CONFIGURED:
            self._parts.logs.forget_level(module)
            log.info("the log of %s is at its level of the configuration", module or "all modules")
            return self._log_state()
        wanted = _level(LogLevel, level)
        if minutes is not None and not (isinstance(minutes, int | float) and 0 < minutes <= MAX_MINUTES):
            raise ValueError(f"minutes must be above 0, at most {MAX_MINUTES}")
        if module not in self._parts.logs.levels and len(self._parts.logs.levels) > MAX_LEVELS:
            raise ValueError(f"{MAX_LEVELS} modules have a level of their own already")
        for_s = None if minutes is None else float(minutes) * 60.0
        self._parts.logs.set_level(module, wanted, for_s)
        how_long = "" if minutes is None else f" for {float(minutes):g} minutes"
        log.info("the log of %s is at %s%s", module or "all modules", level, how_long)
        return self._log_state()

    def _log_state(self) -> dict[str, Any]:
        levels = {module: level.value for module, level in self._parts.logs.levels.items()}
        return {
            "level": levels.pop(""),
            "levels": levels,
            "send": self._parts.copy.level.value,
            "waiting": self._parts.copy.waiting,
        }

    async def _status(self) -> dict[str, Any]:
        parts, now_ns = self._parts, self._parts.clock.boottime_ns()
        account, intake, link = await self._account(), parts.intake(), parts.link()
        own = {reading.name: reading.value for reading in measure.gather([self._board.look], self._unanswered)}
        kept = parts.clock.discipline()
        return {
            "agent": parts.agent,
            "device": parts.device,
            "pid": os.getpid(),
            "outbox": str(parts.outbox),
            "uptime_s": (now_ns - self._began_ns) / NS_PER_S,
            "account": {
                **asdict(intake),
                "dropped": dict(parts.journal.dropped),
                "outbox": None if account is None else asdict(account),
            },
            "sensors": [_sensor(state, now_ns) for state in parts.sensors()],
            "stages": [_stage(state, now_ns) for state in parts.stages()],
            "link": {**asdict(link), "for_s": (now_ns - link.since_ns) / NS_PER_S, "rejected": link.rejected},
            "identity": dict(parts.identity()),
            "clock": {
                "synced": parts.clock.synced(),
                "offset_s": None if kept is None else kept.offset_s,
                "max_error_s": None if kept is None else kept.max_error_s,
            },
            "events": [
                {
                    "ago_s": max(time.time() - at_s, 0.0),
                    "level": logging.getLevelName(event.level),
                    "text": event.text(),
                }
                for at_s, event in list(parts.journal.recent)
            ],
            "board": own,
            "log": self._log_state(),
        }


def socket_path(settings: HealthSettings, outbox: Path) -> Path:
    """Where the agent's socket is: as configured, in the folder that systemd made for it, or beside the outbox."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if settings.socket is not None:
        return settings.socket
    return Path(runtime) / RUNTIME_SOCKET if runtime else outbox.with_suffix(".sock")


def _heard(asked: "asyncio.Future[OutboxAccount]") -> None:
    """What came when nobody waited any more is nobody's error."""
    if not asked.cancelled():
        asked.exception()


def _check_module(module: str) -> None:
    known = sorted(name for name in logging.Logger.manager.loggerDict if name.startswith("wayside"))
    if module and not any(name == module or name.startswith(f"{module}.") for name in known):
        raise ValueError(f"no part of the agent logs as {module[:100]!r}{suggestion(module, known)}")


def _level(kind: type[Any], text: str) -> Any:
    known = [each.value for each in kind]
    if text not in known:
        raise ValueError(f"level {text[:40]!r} must be one of {', '.join(known)}")
    return kind(text)


def _sensor(state: SensorState, now_ns: int) -> dict[str, Any]:
    return {
        "name": state.name,
        "reads": state.reads,
        "failed": state.failed,
        "missed": state.missed,
        "trouble": state.trouble,
        "late_ms": state.late_ns / NS_PER_MS,
        **_last(state, now_ns),
    }


def _stage(state: StageState, now_ns: int) -> dict[str, Any]:
    told = {name: value for name, value in asdict(state).items() if name not in ("last", "last_ns")}
    return told | _last(state, now_ns)


def _last(state: SensorState | StageState, now_ns: int) -> dict[str, Any]:
    return {
        "ago_s": (now_ns - state.last_ns) / NS_PER_S if state.last_ns else None,
        "last": [
            {
                "name": reading.name,
                "value": reading.value if reading.decimals is None else _rounded(reading),
                "unit": reading.unit,
                "quality": None if reading.quality is Quality.GOOD else label_of(int(reading.quality)),
            }
            for reading in measure.newest(state.last).values()
        ],
    }


def _rounded(reading: Reading) -> object:
    return round(reading.value, reading.decimals) if isinstance(reading.value, float) else reading.value
