"""What systemd is to a service: a socket that hears it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

DEADLINE_S = 20.0


class FakeSystemd:
    """Hears what a process says by sd_notify(3).

    Args:
        path: where its socket goes.
        watchdog_s: how long it waits for signs of life.
    """

    def __init__(self, path: Path, watchdog_s: float) -> None:
        self.environment: Mapping[str, str] = {
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }
        self.heard: list[tuple[float, str]] = []
        """(time of the loop, line)."""
        self._more = asyncio.Condition()
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.setblocking(False)
        self._end.bind(str(path))

    async def listen(self) -> None:
        """Hear, until cancelled."""
        loop = asyncio.get_running_loop()
        with self._end:
            while True:
                lines = (await loop.sock_recv(self._end, 4096)).decode().splitlines()
                async with self._more:
                    self.heard += [(loop.time(), line) for line in lines]
                    self._more.notify_all()

    def count(self, line: str) -> int:
        """How often it has heard what begins so."""
        return sum(said.startswith(line) for _, said in self.heard)

    async def hears(self, line: str, times: int = 1) -> None:
        """Returns once it has heard that often what begins so."""
        await self._until(lambda: self.count(line) >= times)

    async def hears_nothing(self, line: str, seconds: float) -> None:
        """Returns after `seconds` in which it did not hear what begins so.

        Raises:
            AssertionError: it did.
        """
        before = self.count(line)
        try:
            async with asyncio.timeout(seconds), self._more:
                await self._more.wait_for(lambda: self.count(line) > before)
        except TimeoutError:
            return
        raise AssertionError(f"{line} came")

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S), self._more:
            await self._more.wait_for(condition)


@asynccontextmanager
async def fake_systemd(path: Path, watchdog_s: float) -> AsyncIterator[FakeSystemd]:
    """One that hears while the block runs."""
    systemd = FakeSystemd(path, watchdog_s)
    listening = asyncio.create_task(systemd.listen())
    try:
        yield systemd
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
