"""What operators should see: who was refused, and what went wrong with devices."""

from datetime import date

from fastapi import APIRouter, Request

from wayside_server.api.answers import IncidentAnswer, IncidentPage, RefusalAnswer, RefusalPage
from wayside_server.api.asker import Asker
from wayside_server.api.paging import LAST_ID, Cursor, Limit, next_link, read_place, stale_cursor
from wayside_server.api.schema import DeviceName
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.reading import Reading


def watch_router(reading: Reading) -> APIRouter:
    """The routes /api/v1/refusals, /api/v1/incidents and the incidents of a device."""
    router = APIRouter(prefix="/api/v1", tags=["watch"])

    @router.get("/refusals")
    @requires(Permission.READ)
    async def list_refusals(request: Request, asker: Asker, limit: Limit = 100, cursor: Cursor = None) -> RefusalPage:
        """Who was not let in, counted by day and kind, the latest day first."""
        found = await reading.within(asker).refusals(before=_day_and_kind(cursor), limit=limit + 1)
        page = found[:limit]
        onward = None
        if len(found) > limit:
            onward = next_link(request, [page[-1].day.isoformat(), page[-1].kind], "refusals")
        return RefusalPage(refusals=[RefusalAnswer.of(refusal) for refusal in page], next=onward)

    @router.get("/incidents")
    @requires(Permission.READ)
    async def list_incidents(request: Request, asker: Asker, limit: Limit = 100, cursor: Cursor = None) -> IncidentPage:
        """Cloned or restored cards and servers behind their devices, newest first."""
        return await incidents(request, asker, None, limit, cursor)

    @router.get("/devices/{device}/incidents", tags=["devices"])
    @requires(Permission.READ)
    async def list_device_incidents(
        request: Request, asker: Asker, device: DeviceName, limit: Limit = 100, cursor: Cursor = None
    ) -> IncidentPage:
        """The incidents of one device, newest first."""
        return await incidents(request, asker, device, limit, cursor)

    async def incidents(
        request: Request, asker: Asker, device: str | None, limit: int, cursor: str | None
    ) -> IncidentPage:
        question = "incidents" if device is None else f"incidents {device}"
        before_id = LAST_ID if cursor is None else int(read_place(cursor, question, int)[0])
        found = await reading.within(asker).incidents(device, before_id=before_id, limit=limit + 1)
        page = found[:limit]
        onward = next_link(request, [page[-1].id], question) if len(found) > limit else None
        return IncidentPage(incidents=[IncidentAnswer.of(incident) for incident in page], next=onward)

    return router


def _day_and_kind(cursor: str | None) -> tuple[date, str] | None:
    if cursor is None:
        return None
    day, kind = read_place(cursor, "refusals", str, str)
    try:
        return date.fromisoformat(str(day)), str(kind)
    except ValueError as error:
        raise stale_cursor() from error
