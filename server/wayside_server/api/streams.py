"""Answers that are sent piece by piece."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, TypeAlias, TypeVar

from fastapi import HTTPException
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from wayside_server.errors import UnauthorizedError

Pieces: TypeAlias = AsyncGenerator[str, None] | AsyncGenerator[bytes, None]

RETRY_S: Final = 10
ALLOWED_S: Final = 1.5
"""How long an answer goes on before it is asked again whether its reader may have it."""
Piece = TypeVar("Piece", str, bytes)


class Slots:
    """How many such answers run at once: so many in all, and of one tenant no more than half of them.

    Args:
        most: in all.
        what: they are, for whoever is refused: "exports".
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._taken: Counter[int | None] = Counter()

    def take(self, tenant_id: int | None) -> Callable[[], None]:
        """Takes one for a tenant; the answer gives it back, once.

        Raises:
            HTTPException: 429, when all are taken or half of them by this tenant.
        """
        if self._taken.total() >= self._most or self._taken[tenant_id] >= self._most // 2:
            detail = f"{self._taken[tenant_id]} {self._what} of this tenant are running, too many to begin another now"
            raise HTTPException(429, f"{detail}; try again when one has ended", {"Retry-After": str(RETRY_S)})
        self._taken[tenant_id] += 1

        def give_back() -> None:
            self._taken[tenant_id] -= 1

        return give_back


class ClosingStream(StreamingResponse):
    """A streamed answer whose source is closed when the client leaves, and not when memory is next collected.

    Args:
        pieces: the body; whatever it holds is let go by closing it.
        media_type: of the body.
        headers: besides the usual.
        ended: called once it is over.
    """

    def __init__(
        self, pieces: Pieces, media_type: str, headers: Mapping[str, str], ended: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            try:
                await self._pieces.aclose()
            finally:
                self._ended()


async def while_allowed(
    pieces: AsyncGenerator[Piece, None], allowed: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[Piece, None]:
    """`pieces`, for as long as their reader may have them: keys are revoked and sessions end meanwhile.

    Raises:
        UnauthorizedError: it may no more. What was sent of a document breaks off, so that nobody takes it for all.
    """
    asked_s = time.monotonic()
    async with aclosing(pieces):
        async for piece in pieces:
            if time.monotonic() - asked_s >= ALLOWED_S:
                if not await allowed():
                    raise UnauthorizedError("the key was revoked, or the session has ended")
                asked_s = time.monotonic()
            yield piece
