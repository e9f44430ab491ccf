"""Answers questions over a socket of this machine: one line of JSON in, one line of JSON out."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from wayside_edge.hal import local_socket

CLIENTS: Final = 8
"""Questions at a time: people at a board and their watches; whoever comes on top is told to try again."""
WAITING: Final = 64
"""Who has connected and asked nothing yet; those who come on top are sent away."""
QUESTION_BYTES: Final = 4 * 1024
DEADLINE_S: Final = 5.0
"""For a question, and for its answer to be taken."""

BUSY: Final = {"error": "too many ask at once"}

Answer: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class LocalServer:
    """The server behind `wayside-edge status`.

    Args:
        path: where its socket is.
        answer: gives the answer to a question; a ValueError of its is told to whoever asked.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self._answer = answer
        self._clients = self._asking = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the socket cannot be made, or another agent has it.
        """
        listening = local_socket.listen(self.path, WAITING)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=QUESTION_BYTES)

    def stop(self) -> None:
        """Listen no more, and take the socket away."""
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            async with asyncio.timeout(DEADLINE_S):
                told = await self._reply(reader) if self._clients <= WAITING else BUSY
                writer.write(json.dumps(told, default=str).encode() + b"\n")
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # whoever does not ask, or does not listen, gets nothing
        finally:
            self._clients -= 1
            writer.transport.abort()

    async def _one_of_few(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._asking == CLIENTS:
            return BUSY
        self._asking += 1
        try:
            return await self._answer(question)
        finally:
            self._asking -= 1

    async def _reply(self, reader: asyncio.StreamReader) -> Mapping[str, Any]:
        try:
            question = json.loads(await reader.readuntil(b"\n"))
            if type(question) is not dict:
                return {"error": "a question is a JSON object in one line"}
            return await self._one_of_few(question)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, RecursionError):
            return {"error": "a question is a JSON object in one line"}
        except ValueError as error:
            return {"error": str(error)[:400]}
