"""The processes that the laboratory kills: each can be started, found dead, and killed without warning."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Protocol

import psutil

from wayside_server.storage.embedded import EmbeddedPostgres

TESTS = Path(__file__).resolve().parent.parent
STOP_DEADLINE_S = 10.0


class Victim(Protocol):
    """Something to kill."""

    name: str
    kind: str

    def start(self) -> None:
        """Start it; it may not serve yet when this returns."""

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""

    def ended(self) -> int | None:
        """Its exit status when it has ended by itself, else None."""


class Program:
    """One process of ours.

    Args:
        kind: what it is, for the tally.
        name: its own.
        command: the program and its arguments.
        log: file that takes its output.
    """

    def __init__(self, kind: str, name: str, command: Sequence[str], log: Path) -> None:
        self.kind = kind
        self.name = name
        self.command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """See `Victim`."""
        path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    def kill(self) -> None:
        """See `Victim`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_DEADLINE_S)

    def ended(self) -> int | None:
        """See `Victim`."""
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        """The end of its output."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""


def module(*words: str) -> list[str]:
    """The command of one of the laboratory's own modules."""
    return [sys.executable, "-m", *words]


class Postgres:
    """PostgreSQL, killed whole, by its postmaster alone, or by one of its children.

    Args:
        server: not started.
        random: chooses the way.
    """

    kind = name = "postgresql"

    def __init__(self, server: EmbeddedPostgres, random: Random) -> None:
        self._server = server
        self._random = random

    def start(self) -> None:
        """See `Victim`."""
        self._server.start()

    def kill(self) -> None:
        """See `Victim`; when only a child dies, the postmaster recovers by itself."""
        pid = self._server.pid
        assert pid is not None, "PostgreSQL ended by itself"
        children = psutil.Process(pid).children()
        way = self._random.choice(("whole", "postmaster", "child"))
        if way == "child" and children:
            _kill(self._random.choice(children).pid)
            return
        _kill(pid)
        if way == "whole":
            for child in children:
                _kill(child.pid)
        while self._server.pid is not None:
            os.sched_yield()

    def ended(self) -> int | None:
        """See `Victim`."""
        return 1 if self._server.pid is None else None

    def stop(self) -> None:
        """Stop it after a checkpoint."""
        self._server.stop()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
