"""The operator's listings: incidents, refusals and a device's dead letters."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response

from wayside_server.console.render import page
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.cursor import CursorError, decode_cursor, encode_cursor
from wayside_server.domain.reading import DEAD_LETTER_HEAD_BYTES, Reading
from wayside_server.errors import NotFoundError
from wayside_shared.device_log import LEVELS

ROWS = 50
LAST_ID = (1 << 63) - 1
"""Before it lies every row: where a listing by falling number begins."""

Before = Annotated[int, Query(ge=0, le=LAST_ID)]


def add_listings(router: APIRouter, reading: Reading) -> None:
    """Adds their pages to `router`."""

    @router.get("/incidents")
    @requires(Permission.READ)
    async def show_incidents(request: Request, before: Before = LAST_ID) -> Response:
        own = reading.within(request.state.principal)
        found = await own.incidents(None, before_id=before, limit=ROWS + 1)
        more = found[ROWS - 1].id if len(found) > ROWS else None
        return page(request, "incidents.html", incidents=found[:ROWS], more=more)

    @router.get("/refused")
    @requires(Permission.READ)
    async def show_refusals(request: Request, after: Annotated[str, Query(max_length=512)] = "") -> Response:
        own = reading.within(request.state.principal)
        found = await own.refusals(before=_day_and_kind(after) if after else None, limit=ROWS + 1)
        last = found[:ROWS][-1] if len(found) > ROWS else None
        more = None if last is None else encode_cursor([last.day.isoformat(), last.kind], "refused")
        return page(request, "refused_list.html", refusals=found[:ROWS], more=more)

    @router.get("/devices/{name}/dead-letters")
    @requires(Permission.READ)
    async def show_dead_letters(request: Request, name: str, before: Before = LAST_ID) -> Response:
        own = reading.within(request.state.principal)
        try:
            found = await own.dead_letters(name, before_id=before, limit=ROWS + 1)
        except NotFoundError as error:
            return page(request, "refused.html", status=404, reason=str(error))
        more = found[ROWS - 1].id if len(found) > ROWS else None
        return page(
            request,
            "dead_letters.html",
            name=name,
            letters=found[:ROWS],
            more=more,
            head_bytes=DEAD_LETTER_HEAD_BYTES,
        )


def add_log(router: APIRouter, reading: Reading) -> None:
    """Adds the page of a device's log to `router`."""

    @router.get("/devices/{name}/log")
    @requires(Permission.READ)
    async def show_log(
        request: Request,
        name: str,
        before: Before = LAST_ID,
        level: Annotated[str, Query(pattern="^(debug|info|warning|error)$")] = "debug",
    ) -> Response:
        own = reading.within(request.state.principal)
        try:
            found = await own.log(name, level=LEVELS[level], before_id=before, limit=ROWS + 1)
        except NotFoundError as error:
            return page(request, "refused.html", status=404, reason=str(error))
        more = found[ROWS - 1].id if len(found) > ROWS else None
        names = {number: text for text, number in LEVELS.items()}
        return page(request, "log.html", name=name, lines=found[:ROWS], more=more, level=level, levels=names)


def _day_and_kind(place: str) -> tuple[date, str]:
    try:
        day, kind = decode_cursor(place, "refused", str, str)
        return date.fromisoformat(str(day)), str(kind)
    except (CursorError, ValueError) as error:
        raise HTTPException(400, "after: leads nowhere; open the page Refused again") from error
