"""The process of one stage, as the agent sees it: started, asked, killed when it does not answer."""

import asyncio
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from wayside_edge.compute.serving import StageError, one_line
from wayside_edge.compute.settings import StageKind
from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode
from wayside_shared.runtimes import missing_in
from wayside_shared.stage_worker import (
    LENGTH,
    MAX_FRAME_BYTES,
    MAX_LINE_BYTES,
    Done,
    Failed,
    Failure,
    Load,
    Message,
    Process,
    decode_frame,
    encode_frame,
)

log = logging.getLogger(__name__)

START_S: Final = 30.0
"""From the start of the process until the file is loaded: an interpreter with NumPy takes 2 s on a slow board, and
compiling a module of a megabyte some seconds more."""

PATIENCE: Final = 1.75
"""Deadlines that a worker is given to answer: it keeps its own, and what does not is dead before twice of it."""

GRACE_S: Final = 0.2
"""Beside that, for a machine that is busy; the smallest deadlines would not leave a scheduler time."""

ENDING_S: Final = 0.5
"""How long one that closed its pipes is given to end by itself and say why; no longer than it had left to answer, but
for `LAST_WORDS_S`."""
LAST_WORDS_S: Final = 0.05

END_S: Final = 2.0
LAST_LINES: Final = 8


Command = Callable[[StageKind], Sequence[str]]
"""Gives the program that is the worker of a kind of stage."""


def command_of(kind: StageKind) -> Sequence[str]:
    """The program that is the worker of such a stage."""
    return sys.executable, "-m", f"wayside_edge.compute.{kind.value}"


class Worker:
    """A running worker with its file loaded; `start` makes one. Not for two tasks at once.

    Args:
        name: of the stage, for the log.
        process: with pipes for all three streams.
        deadline_s: what a call may take.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, deadline_s: float) -> None:
        self.pid = process.pid
        self._name = name
        self._process = process
        self._handle = -1
        with suppress(ProcessLookupError):  # it may have ended at once
            self._handle = os.pidfd_open(process.pid)
        self._patience_s = deadline_s * PATIENCE + GRACE_S * min(deadline_s, 1.0)
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, name: str, command: Sequence[str], load: Load) -> tuple["Worker", Done]:
        """A worker that has taken `load`, and what it said to it.

        Args:
            name: of the stage, for the log.
            command: the program; see `command_of`.
            load: its first message.

        Raises:
            StageError: it could not be started, or refuses.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(),
                start_new_session=True,  # a Ctrl-C at the terminal is for the agent, which ends its workers itself
                limit=MAX_FRAME_BYTES,
            )
        except OSError as error:
            raise StageError(Failure.CRASH, f"its process could not be started: {error}") from error
        worker = cls(name, process, load.limits.deadline_ms / 1000)
        return worker, await worker._ask(load, START_S)

    async def process(self, block: bytes, clock: str) -> Done:
        """What comes of `block`, on the clock `clock`.

        Raises:
            StageError: nothing did; the worker is gone, and another must be started.
        """
        return await self._ask(Process(block, clock), self._patience_s)

    async def close(self) -> None:
        """End it: by the end of its input, or else by force."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """End it by force; returns once it is gone, and what it said was read."""
        if self._process.returncode is None and self._handle >= 0:
            # Not Process.kill: that may reap the child itself, and asyncio then never learns how it ended.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        await self._process.wait()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        with suppress(asyncio.CancelledError):
            await self._listening

    async def _ask(self, message: Message, timeout_s: float) -> Done:
        until_s = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._exchange(message)
        except TimeoutError as error:
            await self.kill()
            raise StageError(Failure.DEADLINE, f"killed after {timeout_s:.3g} s without an answer") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise StageError(Failure.CRASH, await self._ending(until_s)) from error
        except RejectedError as error:
            await self.kill()
            raise StageError(Failure.OUTPUT, error.detail) from error
        except asyncio.CancelledError:
            await asyncio.shield(self.kill())
            raise
        if isinstance(answer, Done):
            return _cleaned(answer)
        await self.kill()
        if isinstance(answer, Failed):
            raise StageError(answer.failure, answer.detail)
        raise StageError(Failure.OUTPUT, "its worker answered out of turn")

    async def _exchange(self, message: Message) -> Message:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(encode_frame(message))
        await self._process.stdin.drain()
        (size,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
        if size > MAX_FRAME_BYTES:
            raise RejectedError(RejectCode.TOO_LARGE, f"its answer would have {size} bytes")
        return decode_frame(await self._process.stdout.readexactly(size))

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # longer than the buffer; it was thrown away
                continue
            if not line:
                return
            text = one_line(line.decode(errors="replace"))
            self._last.append(text)
            log.debug("stage %s: %s", self._name, text)

    async def _ending(self, until_s: float) -> str:
        """How it ended, once it has; `until_s` is when it would have had to answer."""
        left_s = until_s - asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(left_s, LAST_WORDS_S), ENDING_S)):
                await self._process.wait()
        await self.kill()
        code = self._process.returncode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
        missing = missing_in(self._last)
        if missing is not None:
            return missing
        # Of a traceback the last line that is not of the code.
        said = next((line for line in reversed(self._last) if line.strip(" ^~")), "")
        return f"it ended {how}" + (f": {said}" if said else "")


def _cleaned(done: Done) -> Done:
    """What a worker says that means no harm is as it was; anything may come from one that was taken over."""
    if not done.events and not done.log:
        return done
    lines = [(min(max(level, logging.DEBUG), logging.ERROR), _printable(line)) for level, line in done.log]
    return replace(done, events=[_printable(event) for event in done.events], log=lines)


def _printable(line: str) -> str:
    return line if line.isprintable() and len(line) <= MAX_LINE_BYTES else one_line(line, MAX_LINE_BYTES)


def _environment() -> dict[str, str]:
    """What a worker needs to find its libraries, and nothing that it could give away."""
    kept = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")
    # One thread: a model that spreads over all cores would take them from the sensors.
    return {name: os.environ[name] for name in kept if name in os.environ} | {"OPENBLAS_NUM_THREADS": "1"}
