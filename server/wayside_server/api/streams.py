"""Answers that are sent piece by piece."""

from collections.abc import AsyncGenerator, Mapping
from typing import TypeAlias

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

Pieces: TypeAlias = AsyncGenerator[str, None] | AsyncGenerator[bytes, None]


class ClosingStream(StreamingResponse):
    """A streamed answer whose source is closed when the client leaves, and not when memory is next collected.

    Args:
        pieces: the body; whatever it holds is let go by closing it.
        media_type: of the body.
        headers: besides the usual.
    """

    def __init__(self, pieces: Pieces, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._pieces.aclose()
