"""What is new, as it is committed."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from wayside_server.domain.reading import Sample


class Signal(Protocol):
    """Set when something may be new; the one who waits clears it before looking."""

    async def wait(self) -> object:
        """Returns once it is set."""

    def clear(self) -> None:
        """Unsets it."""


class Live(Protocol):
    """Tells of new samples. Signals coalesce, so that a slow reader costs no memory and misses nothing."""

    async def run(self) -> None:
        """Listens until cancelled; the database may come and go meanwhile."""

    def follow(self, device_id: int) -> AbstractContextManager[Signal]:
        """A signal that is set whenever samples of this device were committed, while the context is open."""

    async def newer(self, marks: Mapping[int, int]) -> Sequence[Sample]:
        """Samples behind the marks (UTC microseconds by series id), in order of time; more may remain.

        Samples that share the last time are never parted.
        """
