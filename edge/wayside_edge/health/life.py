"""The life of an agent as one thing: what watches it, what keeps its tasks going, and what is known of its end."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from wayside_edge.errors import ConfigError
from wayside_edge.hal import watchdog
from wayside_edge.health.causes import Ending, RunRecord
from wayside_edge.health.events import Journal, RunBroken, RunStopped, RunUnrecorded
from wayside_edge.health.keeping import Keeper
from wayside_edge.health.settings import WatchdogSettings
from wayside_edge.health.supervisor import Supervisor
from wayside_edge.health.watcher import Watcher


class Life:
    """A context around the event loop of an agent: leaving it says how the agent ended.

    Args:
        settings: `[watchdog]`.
        file: where the record of this run goes, on the disk of the outbox.
        journal: takes the events.
        account: one line that says how the agent does; called in the event loop.
    """

    def __init__(self, settings: WatchdogSettings, file: Path, journal: Journal, account: Callable[[], str]) -> None:
        self.supervisor = Supervisor()
        self.keeper = Keeper(self.supervisor, journal)
        self._journal = journal
        self._record = RunRecord(file)
        self._watcher = Watcher(settings, self.supervisor, self._record, journal, account)

    def watch(self) -> None:
        """Begin to feed the watchdogs; call it in the event loop."""
        self._watcher.start()

    def stopping(self) -> None:
        """The agent has been asked to end."""
        self._watcher.stopping()

    async def begin_record(self, boot_id: str) -> Ending | None:
        """How the run before this one ended; None when there was none, or nobody knows. Call it once the outbox is this
        agent's: another agent's record is not to be touched."""
        resets = dict.fromkeys([*self._watcher.reset_causes(), *watchdog.reset_causes()])
        try:
            ending = await asyncio.to_thread(self._record.begin, boot_id, list(resets))
        except OSError as error:
            self._journal.emit(RunUnrecorded(str(error)))
            return None
        if ending is not None:
            self._journal.emit(RunStopped(ending.text) if ending.clean else RunBroken(ending.text))
        return ending

    def __enter__(self) -> "Life":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wanted = error is None or isinstance(error, KeyboardInterrupt | SystemExit)
        if wanted:
            self._record.stopped()
        else:
            self._record.crashed(f"{type(error).__name__}: {error}")
        # A mistake of the configuration waits for a person: the board must not be reset for it again and again.
        self._watcher.stop(disarm=wanted or _is_mistake(error))
        self._record.close()


def _is_mistake(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(ConfigError) is not None
    return isinstance(error, ConfigError)
