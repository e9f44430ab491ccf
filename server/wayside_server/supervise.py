"""Running roles: one process until it is told to stop, or several of them, kept alive."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from wayside_server.errors import ConfigError
from wayside_shared.errors import EXIT_CONFIG

log = structlog.get_logger(__name__)

BACKOFF_BASE_S = 0.2
BACKOFF_CAP_S = 10.0
STEADY_S = 30.0
"""A role that has run for this long was well: its next restart is quick again."""
STOP_TIMEOUT_S = 15.0
"""Longer than a role takes to end its open answers; then it is killed, which loses nothing."""


async def until_stopped(work: Coroutine[Any, Any, None], *, supervised: bool) -> None:
    """Runs `work` until it ends, or SIGTERM or SIGINT comes, or the supervisor is gone; then cancels it and waits.

    Args:
        work: must end soon when cancelled.
        supervised: also stop when standard input, a pipe that the supervisor holds, is closed.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    watch = loop.create_task(_cancel_at_end_of_input(task)) if supervised else None
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")
    finally:
        if watch is not None:
            watch.cancel()


@asynccontextmanager
async def all_or_none() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup out of which a ConfigError comes alone, as the one line that it is.

    Raises:
        ConfigError: the first that a task raised; the other tasks were cancelled.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        found = errors.subgroup(ConfigError)
        raise (errors if found is None else found.exceptions[0]) from None


async def keep_running(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> None:
    """Keeps one process for each of `commands` running, until cancelled; then ends them all.

    Args:
        commands: module and arguments of each.
        environment: variables that they get beside those of this process.

    Raises:
        ConfigError: a process ended with EXIT_CONFIG; it has said why, and a restart would not help.
    """
    async with all_or_none() as group:
        for command in commands:
            group.create_task(_keep_one(command, environment))


async def _keep_one(command: Sequence[str], environment: Mapping[str, str]) -> None:
    loop = asyncio.get_running_loop()
    name = " ".join(command[1:])
    failures = 0
    while True:
        started = loop.time()
        code = await _run_once(command, environment)
        if code == EXIT_CONFIG:
            raise ConfigError(f"{name} cannot run; its message is above")
        failures = 0 if loop.time() - started > STEADY_S else failures + 1
        pause_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** (failures - 1)) if failures else BACKOFF_BASE_S
        log.error("a role ended, starting it again", role=name, code=code, pause_s=pause_s)
        await asyncio.sleep(pause_s)


async def _run_once(command: Sequence[str], environment: Mapping[str, str]) -> int:
    # The pipe is never written to; its end tells the child that this process is gone, even by SIGKILL.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command,
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **environment},
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                log.warning("a role did not stop in time", role=" ".join(command[1:]))
                process.kill()
                await process.wait()


async def _cancel_at_end_of_input(task: "asyncio.Future[None]") -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        await reader.read()
        task.cancel()
    finally:
        transport.close()
