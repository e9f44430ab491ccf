"""Pages of a listing: how long they are, and the link to the next one."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import HTTPException, Query, Request

from wayside_server.domain.cursor import CursorError, decode_cursor, encode_cursor
from wayside_server.domain.reading import MAX_PAGE

LAST_ID = (1 << 63) - 1
"""Before it lies every row: where a listing by falling number begins."""

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="most entries in a page")]
Cursor = Annotated[str | None, Query(max_length=512, description="from the `next` of the page before")]


def next_link(request: Request, place: Sequence[int | str], question: str) -> str:
    """The path and query of the page that begins at `place`."""
    url = request.url.include_query_params(cursor=encode_cursor(place, question))
    return f"{url.path}?{url.query}"


def read_place(cursor: str, question: str, *kinds: type) -> list[int | str]:
    """The place in `cursor`, whose parts are of `kinds`; 400 when it was made for another question."""
    try:
        return decode_cursor(cursor, question, *kinds)
    except CursorError as error:
        raise stale_cursor() from error


def stale_cursor() -> HTTPException:
    """The answer to a cursor that leads nowhere."""
    return HTTPException(400, "cursor: made for another listing or other filters; leave it out to start over")
