"""The host's end of the serial line to PID 1 of the board (`guest/init.py`)."""

import asyncio
import itertools
import json
import socket
from typing import Any


class GuestError(Exception):
    """A call that failed in the guest.

    Args:
        kind: name of the exception's class.
        text: its message.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class Line:
    """Calls to the guest. Every boot says hello; `boots` counts them.

    Args:
        end: our end of the line.
    """

    def __init__(self, end: socket.socket) -> None:
        self.boots = 0
        self._end = end
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._hello = asyncio.Event()
        end.setblocking(False)

    async def call(self, function: str, arguments: dict[str, Any]) -> Any:
        """Call `module:function` in the guest and return what it returns, as JSON has it.

        Raises:
            GuestError: it failed there.
        """
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "call": function, "arguments": arguments}
        try:
            await asyncio.get_running_loop().sock_sendall(self._end, json.dumps(message).encode() + b"\n")
            return await self._waiting[number]
        finally:
            del self._waiting[number]

    async def booted(self, boots: int) -> None:
        """Return when the guest has said hello for the `boots`-th time."""
        while self.boots < boots:
            await self._hello.wait()

    async def run(self) -> None:
        """Take what the guest says, until it goes."""
        kept = b""
        while data := await asyncio.get_running_loop().sock_recv(self._end, 65536):
            *lines, kept = (kept + data).split(b"\n")
            for text in lines:
                start = text.find(b"{")  # behind what a reset left half said
                if start >= 0:
                    self._take(json.loads(text[start:]))

    def _take(self, message: dict[str, Any]) -> None:
        if "hello" in message:
            self.boots += 1
            self._hello.set()
            self._hello = asyncio.Event()
            return
        waiting = self._waiting.get(message["id"])
        if waiting is None or waiting.done():
            return
        if "error" in message:
            waiting.set_exception(GuestError(message["kind"], message["error"]))
        else:
            waiting.set_result(message["result"])
