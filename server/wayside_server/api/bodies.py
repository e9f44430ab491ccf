"""Bodies that are read by hand, no further than they may be."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException, Request

from wayside_server.api.admission import allow_body
from wayside_server.domain.caller import Caller, caller_of
from wayside_server.errors import ConfigError


async def read_body(request: Request, most: int) -> bytes:
    """The body of at most `most` bytes; a larger one is answered with 413 and not read to its end."""
    allow_body(request, most)
    return await request.body()


@contextmanager
def understood() -> Iterator[None]:
    """Answers what breaks the rules of an order with 422."""
    try:
        yield
    except ConfigError as error:
        raise HTTPException(422, str(error)) from error


def caller(request: Request) -> Caller:
    """Who sent the request, on a route that needs somebody.

    Raises:
        NotFoundError: somebody who acts within no tenant.
    """
    return caller_of(request.state.principal, request.client.host if request.client else None)
