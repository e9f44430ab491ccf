"""How the agent asks the worker for certificates, which runs for one question."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

MOST_ANSWER: Final = 64 * 1024

Ask: TypeAlias = Callable[[Mapping[str, Any], float], Awaitable[Mapping[str, Any]]]
"""Takes a question and the seconds that it may take; gives an answer, `failed` when nothing else came of it."""


async def ask_worker(question: Mapping[str, Any], limit_s: float) -> Mapping[str, Any]:
    """What a worker of its own answers; one that fails is an answer too."""
    process = None
    try:
        async with asyncio.timeout(limit_s):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wayside_edge.identity.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, complaint = await process.communicate(json.dumps(question).encode())
    except TimeoutError:
        return {"failed": f"the server did not answer within {limit_s:.0f} s"}
    except OSError as error:
        return {"failed": f"no process could be started for it: {error.strerror}"}
    finally:
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        return dict(json.loads(out[:MOST_ANSWER]))
    except ValueError:
        lines = complaint.decode(errors="replace").strip().splitlines()
        return {"failed": f"the worker ended with status {process.returncode}: {lines[-1] if lines else 'no word'}"}
