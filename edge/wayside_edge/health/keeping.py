"""Keeps one task of the event loop going: restarted alone when it crashes or shows no life."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from wayside_edge.errors import ConfigError
from wayside_edge.health.events import Event, Journal, PartFailed, PartQuarantined, PartRestarted
from wayside_edge.health.recovery import Again, Recovery
from wayside_edge.health.supervisor import Pulse, Supervisor

CANCEL_S: Final = 10.0
"""How long a task that shows no life may take to end once it is cancelled; what it waits for then is a thread."""
ABANDONED: Final = 3
"""Tasks that did not end, each with what it holds; with one more the agent is ended, and begins without them."""


class Keeper:
    """Keeps tasks.

    Args:
        supervisor: watches their pulses.
        journal: takes the events.
        clock_s: seconds of a clock that never jumps.
    """

    def __init__(self, supervisor: Supervisor, journal: Journal, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._supervisor = supervisor
        self._journal = journal
        self._clock_s = clock_s
        self._abandoned: set[asyncio.Future[None]] = set()

    async def keep(self, part: str, work: Callable[[Pulse], Awaitable[None]], deadline_s: float) -> None:
        """Run `work`, again and again, until it returns or this is cancelled.

        Args:
            part: its name in events.
            work: gets the pulse by which it shows life; called for each start.
            deadline_s: how long it may go without a beat.

        Raises:
            ConfigError: the work says that a person must act.
        """
        pulse = self._supervisor.watch(part, deadline_s)
        recovery = Recovery(self._clock_s())
        while True:
            cause = await self._run_once(pulse, work)
            if cause is None:
                return
            again = recovery.failed(self._clock_s())
            self._journal.emit(_failed(part, cause, again))
            await asyncio.sleep(again.pause_s)
            self._journal.emit(PartRestarted(part))

    async def _run_once(self, pulse: Pulse, work: Callable[[Pulse], Awaitable[None]]) -> str | None:
        """Why it has to be begun anew; None when it returned."""
        alarm = asyncio.Event()
        pulse.alarm = alarm.set
        task = asyncio.ensure_future(work(pulse))
        alarmed = asyncio.ensure_future(alarm.wait())
        try:
            await asyncio.wait({task, alarmed}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return _cause(task)
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_S)
            if not task.done():
                self._abandon(task, pulse.part)
            return f"it has shown no life for {pulse.deadline_s:g} s"
        finally:
            pulse.rest()
            alarmed.cancel()
            if not task.done() and task not in self._abandoned:
                task.cancel()
                await asyncio.wait({task})

    def _abandon(self, task: asyncio.Future[None], part: str) -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        if len(self._abandoned) > ABANDONED:
            self._supervisor.give_up(f"{len(self._abandoned)} tasks that were given up do not end, the last is {part}")


def _cause(task: asyncio.Future[None]) -> str | None:
    """Why a task that is done has failed; None when it has not.

    Raises:
        ConfigError: a person must act.
    """
    if task.cancelled():
        return "it was cancelled"
    error = task.exception()
    if error is None:
        return None
    if isinstance(error, ConfigError) or not isinstance(error, Exception):
        raise error
    if isinstance(error, ExceptionGroup) and error.subgroup(ConfigError) is not None:
        raise error
    return _innermost(error)


def _innermost(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _failed(part: str, cause: str, again: Again) -> Event:
    if again.quarantined:
        return PartQuarantined(part, cause, again.pause_s)
    return PartFailed(part, cause, again.pause_s)
