"""A virtual board: a real Linux kernel whose buses are answered by simulated chips, switched on, reset and cut off.

Which kernel and which machine is the business of a `Backend`; everything else is here.
"""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from board.line import Line

SLOW = 5.0
"""Deadlines are this many times what a quiet machine needs: a shared one has been three times slower for minutes."""
BOOT_S = 12.0 * SLOW
CALL_S = 6.0 * SLOW
INIT = Path(__file__).parent / "guest" / "init.py"
INTERPRETER = Path(sys.executable).resolve()
SEARCH_PATH = ":".join(path for path in sys.path if path)
GUEST_DATA = "/run/data"
"""Where the disk is mounted in the guest."""


class BoardError(Exception):
    """The board did not do what a board does; the message ends with the last lines of its console."""


@dataclass(slots=True)
class Started:
    """A machine that has been switched on.

    Args:
        process: its leader; the whole process group is the machine.
        line: our end of its control line.
    """

    process: asyncio.subprocess.Process
    line: socket.socket


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the machine is to have.

    Args:
        folder: an existing folder of its own.
        disk: image of its disk, or None.
        network: whether it has one.
    """

    folder: Path
    disk: Path | None = None
    network: bool = False


@dataclass(frozen=True, slots=True)
class Chips:
    """What is on the buses: `chips` of a bus of kind `simulated`, and of one of kind `simulated-spi`."""

    i2c: Sequence[Mapping[str, object]] = ()
    spi: Sequence[Mapping[str, object]] = ()


NO_CHIPS = Chips()


class Backend(Protocol):
    """A way to run a kernel."""

    interface: str
    """Its network interface."""
    device: str
    """Its disk."""
    module: Path
    """The board's module for its kernel."""

    async def start(self, wanted: Wanted) -> Started:
        """Switch a machine on."""

    async def cable(self, plugged: bool) -> None:
        """Pull the network cable, or plug it in."""

    async def stopped(self) -> None:
        """The machine is off: let go of what only it needed."""


@dataclass(slots=True)
class Console:
    """The lines of the board's console."""

    lines: list[str] = field(default_factory=list)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, stream: asyncio.StreamReader) -> None:
        """Read `stream` to its end."""
        async for line in stream:
            self.lines.append(line.decode(errors="replace").rstrip())
            self._grown.set()
            self._grown = asyncio.Event()

    async def line(self, pattern: str, start: int = 0) -> str:
        """The first line from number `start` on that `pattern` is found in, as soon as there is one."""
        while True:
            for line in self.lines[start:]:
                if re.search(pattern, line):
                    return line
            start = len(self.lines)
            await self._grown.wait()

    def end(self) -> str:
        """Its last lines."""
        return "\n".join(self.lines[-40:])


class Board:
    """One board.

    Args:
        backend: its machine.
        wanted: what it has.
        chips: what is on its buses.
    """

    def __init__(self, backend: Backend, wanted: Wanted, chips: Chips = NO_CHIPS) -> None:
        self.console = Console()
        self.backend = backend
        self._wanted = wanted
        self._chips = chips
        self._machine: Started | None = None
        self._line: Line | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def power_on(self) -> float:
        """Switch it on; returns the seconds until it is ready for work, its buses too."""
        assert self._machine is None, "it is on"
        began = time.monotonic()
        self._machine = machine = await self.backend.start(self._wanted)
        self._line = line = Line(machine.line)
        assert machine.process.stdout is not None
        self._tasks = [
            asyncio.create_task(self.console.take(machine.process.stdout)),
            asyncio.create_task(line.run()),
        ]
        await self._booted(1)
        return time.monotonic() - began

    async def power_cut(self) -> None:
        """Take its supply away: memory and every write that was not flushed to the disk are gone."""
        if self._machine is None:
            return
        machine, self._machine = self._machine, None
        with suppress(ProcessLookupError):
            os.killpg(machine.process.pid, signal.SIGKILL)
        await machine.process.wait()
        await self._tasks[0]  # what it had said on its console
        self._tasks[1].cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        machine.line.close()
        await self.backend.stopped()

    async def reset(self) -> float:
        """Wait for a reset that is on its way, and the boot after it; returns the seconds that took."""
        began = time.monotonic()
        assert self._line is not None
        await self._booted(self._line.boots + 1)
        return time.monotonic() - began

    async def call(self, function: str, timeout_s: float = CALL_S, **arguments: Any) -> Any:
        """Call a function of `board.guest` on the board (`system:read`) and return what it returns.

        Raises:
            GuestError: it failed.
            BoardError: no answer in time.
        """
        assert self._line is not None, "it is off"
        try:
            async with asyncio.timeout(timeout_s):
                return await self._line.call(f"board.guest.{function}", arguments)
        except TimeoutError as error:
            raise BoardError(f"no answer to {function} in {timeout_s} s\n{self.console.end()}") from error

    async def start(self, command: Sequence[str], log: str, environment: Mapping[str, str] | None = None) -> int:
        """Start a program on the board; its process id there."""
        pid: int = await self.call("system:start", command=list(command), log=log, environment=environment)
        return pid

    async def _booted(self, boots: int) -> None:
        assert self._line is not None
        try:
            async with asyncio.timeout(BOOT_S):
                await self._line.booted(boots)
        except TimeoutError as error:
            raise BoardError(f"it does not boot\n{self.console.end()}") from error
        await self.call("system:load_module", path=str(self.backend.module), options="timeout_ms=300")
        await self.call("chips:plug", i2c={"chips": self._chips.i2c}, spi={"chips": self._chips.spi})
        if self._wanted.disk is not None:
            await self.call("system:mount", device=self.backend.device, folder=GUEST_DATA)
        if self._wanted.network:
            await self.call("system:network", interface=self.backend.interface)


@asynccontextmanager
async def running(backend: Backend, wanted: Wanted, chips: Chips = NO_CHIPS) -> AsyncIterator[Board]:
    """A board that is on within the block."""
    board = Board(backend, wanted, chips)
    try:
        await board.power_on()
        yield board
    finally:
        await board.power_cut()
