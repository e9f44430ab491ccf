"""HTTP/1.1 typed by hand, as clients send it that no library would be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Args:
        status: its number; 0 when the connection ended before one came.
        headers: by name in lower case.
        body: all of it.
    """

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> bool:
        """Whether `data` could be handed over: the other side has not hung up as far as is known."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return False
        return not self._writer.is_closing()

    async def answer(self) -> Answer:
        """The next answer, whose length is told by Content-Length."""
        async with asyncio.timeout(ANSWER_S):
            try:
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.splitlines()
                pairs = (line.split(": ", 1) for line in lines[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await self._reader.readexactly(int(headers.get("content-length", "0")))
            except (asyncio.IncompleteReadError, OSError):
                return Answer(0, {}, b"")
        return Answer(int(lines[0].split()[1]), headers, body)

    async def closed(self) -> bool:
        """Whether the other side hangs up, after whatever it still sends."""
        async with asyncio.timeout(ANSWER_S):
            with suppress(OSError):
                while await self._reader.read(65_536):
                    pass
        return True


@asynccontextmanager
async def connected(base: str, host: str = "127.0.0.1") -> AsyncIterator[Line]:
    """A connection to the server at the URL `base`."""
    reader, writer = await asyncio.open_connection(host, urlsplit(base).port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def head(method: str, path: str, *more: str) -> bytes:
    """The head of a request, with the header lines `more`."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *more, "", ""]).encode()
