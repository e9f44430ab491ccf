"""Starting the workers of a stage, and not waiting for one that is not wanted any more."""

import asyncio

from wayside_edge.compute.serving import StageError
from wayside_edge.compute.settings import StageSettings
from wayside_edge.compute.state import StateStore
from wayside_edge.compute.worker import Command, Worker
from wayside_shared.stage_worker import Done, Failure, Load


class SupersededError(StageError):
    """A worker was ended before it had begun, because the stage gets other settings."""


class Beginning:
    """Starts workers, one at a time.

    Args:
        command: the programs of workers.
        store: has the cache of what was compiled.
    """

    def __init__(self, command: Command, store: StateStore) -> None:
        self._command = command
        self._store = store
        self._starting: asyncio.Task[tuple[Worker, Done]] | None = None
        self._superseded = False

    @property
    def under_way(self) -> bool:
        """Whether a worker is being started."""
        return self._starting is not None

    async def start(self, settings: StageSettings, state: bytes) -> tuple[Worker, Done]:
        """A worker of `settings` that goes on from `state`, and what it said to that.

        Raises:
            StageError: it could not be started, or refuses.
            SupersededError: `supersede` was called meanwhile.
        """
        self._superseded = False
        starting = Worker.start(settings.name, self._command(settings.kind), self._load(settings, state))
        self._starting = asyncio.create_task(starting)
        try:
            return await self._starting
        except asyncio.CancelledError:
            if self._superseded:
                raise SupersededError(Failure.CRASH, "other settings came before it had begun") from None
            raise
        finally:
            self._starting = None

    def supersede(self) -> None:
        """End the worker that is being started, if there is one."""
        if self._starting is not None:
            self._superseded = True
            self._starting.cancel()

    def _load(self, settings: StageSettings, state: bytes) -> Load:
        self._store.prepare()
        return Load(
            str(settings.file),
            settings.sha256,
            settings.limits,
            tuple(settings.inputs),
            dict(settings.settings.values),
            state or None,
            str(self._store.cache),
        )
