"""When something is new, as it is committed."""

from contextlib import AbstractContextManager
from typing import Protocol


class Signal(Protocol):
    """Set when something may be new; the one who waits clears it before looking."""

    async def wait(self) -> object:
        """Returns once it is set."""

    def clear(self) -> None:
        """Unsets it."""


class Live(Protocol):
    """Tells that there are new samples, and nothing of them: those are asked of `Reading`, which knows whose they are.

    Signals coalesce, so that a slow reader costs no memory and misses nothing.
    """

    async def run(self) -> None:
        """Listens until cancelled; the database may come and go meanwhile."""

    def follow(self, device_id: int) -> AbstractContextManager[Signal]:
        """A signal that is set whenever samples of this device were committed, while the context is open."""
