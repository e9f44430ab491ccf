"""The processes of a demo: started, kept running, ended, and none left behind."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wayside_shared.errors import EXIT_CONFIG, ConfigError, TransientError, WaysideError

STOP_S = 10.0
"""Longer than an agent drains and a server closes what is open; then it is killed, which loses nothing."""
LEFTOVER_S = 5.0
POLL_S = 0.02
PAUSE_S = 1.0
"""Before a process is started again: its port is free by then."""
MAX_STARTS = 10
PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h."""


class Child:
    """A long-running process.

    Args:
        name: what it is, for messages.
        command: program and arguments.
        log: file that takes all it says.
        note: told when it has ended unasked and is started again.
        held: descriptors that it keeps open as long as it lives.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, note: Callable[[str], None], held: Sequence[int] = ()
    ) -> None:
        self.name = name
        self.forgiven = False
        """Whether an end that nobody asked for is answered by a new start; while things are set up it is an error."""
        self._command = command
        self._log = log
        self._note = note
        self._held = held
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def keep(self) -> None:
        """Run it until `stop`.

        Raises:
            ConfigError: it says that a person must act.
            TransientError: it ended while things were set up, or again and again.
        """
        for _ in range(MAX_STARTS):
            await self._start()
            assert self._process is not None
            code = await self._process.wait()
            if self._stopping:
                return
            if not self.forgiven:
                break
            self._note(f"{self.name} {_ending(code)}; starting it again")
            await asyncio.sleep(PAUSE_S)
        raise _failure(f"{self.name} {_ending(code)}", code, _last_line(self._log))

    async def stop(self) -> None:
        """SIGTERM, then patience, then SIGKILL; stopping what does not run changes nothing."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            self._note(f"{self.name} did not stop within {STOP_S:g} s and was killed")
        finally:
            if process.returncode is None:
                process.kill()

    async def _start(self) -> None:
        with self._log.open("ab") as log:
            # Nothing is written to standard input: its end tells the server that the demo is gone.
            self._process = await asyncio.create_subprocess_exec(
                *_bound_to_us(), *self._command, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                start_new_session=True, pass_fds=self._held,
            )  # fmt: skip


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` of this installation."""
    return [sys.executable, "-m", module, *arguments]


async def output_of(command: Sequence[str]) -> str:
    """What a short command prints.

    Raises:
        ConfigError: it ended with EXIT_CONFIG; its own last line.
        TransientError: it failed otherwise.
    """
    process = await asyncio.create_subprocess_exec(
        *_bound_to_us(), *command, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    code = process.returncode or 0
    if code:
        lines = err.decode(errors="replace").strip().splitlines()
        raise _failure(f"{' '.join(command[2:4])} failed", code, lines[-1] if lines else "")
    return out.decode().strip()


def adopt_orphans() -> None:
    """From now on a process whose parent was killed becomes our child, so that `end_leftovers` finds it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_leftovers() -> None:
    """End every child that is left, those of killed children too. SIGINT is PostgreSQL's quick and clean stop."""
    for number in (signal.SIGINT, signal.SIGKILL):
        deadline = time.monotonic() + LEFTOVER_S
        told: set[int] = set()
        while (pids := _children()) and time.monotonic() < deadline:
            for pid in pids - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            told |= pids
            for pid in pids:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(POLL_S)


def _children() -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        # The name in brackets may hold anything; state and parent follow it (proc(5)).
        if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
            found.add(int(entry.name))
    return found


def _bound_to_us() -> list[str]:
    """A prefix that has the kernel end a child when this process is killed."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM"]


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _failure(what: str, code: int, said: str) -> WaysideError:
    kind = ConfigError if code == EXIT_CONFIG else TransientError
    reason = said.removeprefix("wayside-server: ").removeprefix("wayside-edge: ")
    return kind(f"{what}: {reason}" if reason else what)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
