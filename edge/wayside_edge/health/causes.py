"""How the run before this one ended: a small file that a run writes when it begins, ends or hangs."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Final

VERSION: Final = 1
MOST_BYTES: Final = 64 * 1024
"""A file that is longer is not ours."""


class State(Enum):
    """How far a run has come."""

    RUNNING = "running"
    STOPPED = "stopped"
    CRASHED = "crashed"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of a run.

    Args:
        boot_id: the boot that it belongs to, in hexadecimal digits.
        state: how far it came.
        why: what ended it, where it could say so.
        hangs: runs of this boot in a row, up to this one, that hung.
    """

    boot_id: str
    state: State = State.RUNNING
    why: str = ""
    hangs: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run before ended.

    Args:
        text: for a person; begins with `stopped`, `crashed`, `hung`, `killed`, `rebooted` or `unknown`.
        clean: whether somebody wanted it.
    """

    text: str
    clean: bool


def judge(before: Run, boot_id: str, resets: Sequence[str], stacks: str) -> Ending:
    """What to say of the run `before`.

    Args:
        before: as its file has it.
        boot_id: of the running boot.
        resets: why the board was reset, as far as the hardware tells.
        stacks: the file with the stacks of its threads; empty when there is none.
    """
    where = f"; stacks of its threads are in {stacks}" if stacks else ""
    why = f": {before.why}" if before.why else ""
    if before.boot_id == boot_id:
        match before.state:
            case State.STOPPED:
                return Ending("stopped", clean=True)
            case State.CRASHED | State.HUNG:
                return Ending(f"{before.state.value}{why}{where}", clean=False)
            case State.RUNNING:
                return Ending(f"killed: it ended without a word{where}", clean=False)
    because = f" ({'; '.join(resets)})" if resets else ""
    match before.state:
        case State.STOPPED:
            return Ending(f"rebooted after a clean stop{because}", clean=True)
        case State.RUNNING:
            return Ending(f"rebooted or power was cut while the agent ran{because}{where}", clean=False)
        case State.CRASHED | State.HUNG:
            return Ending(f"rebooted after the agent {before.state.value}{why}{because}{where}", clean=False)


class RunRecord:
    """The file of this run, and that with the stacks of its threads.

    Building it does nothing. Writing may wait for the disk.

    Args:
        path: where it goes; the stacks go beside it, those of the run before into `….last`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stacks_path = path.with_suffix(".stacks")
        self._run: Run | None = None
        self.stacks: BinaryIO | None = None
        """Open while the run is: what has to be written when the disk may hang."""

    @property
    def stacks_path(self) -> Path:
        """Where the stacks of this run go."""
        return self._stacks_path

    @property
    def hangs(self) -> int:
        """Runs of this boot in a row that hung; this one too, once it has."""
        return 0 if self._run is None else self._run.hangs

    def begin(self, boot_id: str, resets: Sequence[str]) -> Ending | None:
        """Take note that a run begins, and say how the one before ended; None when there was none.

        Raises:
            OSError: the disk does not take it.
        """
        before, damaged = self._read()
        stacks = self._keep_stacks()
        again = before is not None and before.state is State.HUNG and before.boot_id == boot_id
        hangs = before.hangs if before is not None and again else 0
        self._run = Run(boot_id, hangs=hangs)
        self._write()
        self.stacks = self._stacks_path.open("wb", buffering=0)
        if before is not None:
            return judge(before, boot_id, resets, stacks)
        return Ending("unknown: the record of the run before is damaged", clean=False) if damaged else None

    def hung(self, why: str) -> None:
        """It hangs, and is going to end for it."""
        if self._run is not None:
            self._end(replace(self._run, state=State.HUNG, why=why, hangs=self._run.hangs + 1))

    def back(self) -> None:
        """What hung goes on."""
        if self._run is not None:
            self._end(replace(self._run, state=State.RUNNING, why="", hangs=max(self._run.hangs - 1, 0)))

    def crashed(self, why: str) -> None:
        """A mistake ends it."""
        if self._run is not None:
            self._end(replace(self._run, state=State.CRASHED, why=why))

    def stopped(self) -> None:
        """It ends as it was asked to."""
        if self._run is not None:
            self._end(replace(self._run, state=State.STOPPED))

    def close(self) -> None:
        """The stacks are of no more use when there are none."""
        stacks, self.stacks = self.stacks, None
        if stacks is not None:
            with suppress(OSError):
                if not os.fstat(stacks.fileno()).st_size:
                    self._stacks_path.unlink(missing_ok=True)
            stacks.close()

    def _end(self, run: Run) -> None:
        self._run = run
        # Whoever reads it next can do without: how a run ended must never keep it from ending.
        with suppress(OSError):
            self._write()

    def _read(self) -> tuple[Run | None, bool]:
        """The run before as its file has it, and whether there is one that cannot be read."""
        try:
            with self._path.open("rb") as file:
                return _run(file.read(MOST_BYTES)), False
        except FileNotFoundError:
            return None, False
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None, True

    def _write(self) -> None:
        assert self._run is not None
        fields = asdict(self._run) | {"state": self._run.state.value, "version": VERSION}
        draft = self._path.with_name(self._path.name + ".new")
        with draft.open("w", encoding="ascii") as file:
            json.dump(fields, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _keep_stacks(self) -> str:
        """Put what the run before left aside; its new place, or nothing."""
        with suppress(OSError):
            if self._stacks_path.stat().st_size:
                kept = self._stacks_path.with_name(self._stacks_path.name + ".last")
                self._stacks_path.replace(kept)
                return str(kept)
        return ""


def _run(content: bytes) -> Run:
    found: Mapping[str, Any] = json.loads(content)
    if found["version"] != VERSION:
        raise ValueError("written by another version")
    return Run(str(found["boot_id"]), State(found["state"]), str(found["why"]), int(found["hangs"]))
