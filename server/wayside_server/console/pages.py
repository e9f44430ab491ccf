"""The operator's pages: devices, one device, the API's documentation, and those of other modules."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from wayside_server.console.account import add_account
from wayside_server.console.entrance import add_entrance
from wayside_server.console.forms import FormRoute, people_only
from wayside_server.console.keys import add_keys
from wayside_server.console.listings import LAST_ID, add_listings, add_log
from wayside_server.console.people import add_people
from wayside_server.console.render import page
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.reading import Reading, TenantReading
from wayside_server.domain.tenants import shares
from wayside_server.errors import NotFoundError
from wayside_server.identity.desk import Desk

STATIC = Path(__file__).parent / "static"
PAGE = 100
SHOWN_INCIDENTS = 5
SHOWN_SERIES = 100
"""On one page, which is asked for every two seconds."""

SeriesPage = Annotated[int, Query(ge=1, le=10_000)]
"""On the page of a device, which is about what it measures."""


def console_router(reading: Reading, desk: Desk) -> APIRouter:
    """Every page of the console. Serve `STATIC` below /static beside it."""
    router = APIRouter(
        route_class=FormRoute,
        include_in_schema=False,
        default_response_class=HTMLResponse,
        dependencies=[Depends(people_only)],
    )
    add_entrance(router, desk)
    add_account(router, desk)
    add_people(router, desk)
    add_keys(router, desk)
    _add_pages(router, reading)
    add_listings(router, reading)
    add_log(router, reading)
    return router


def _add_pages(router: APIRouter, reading: Reading) -> None:
    async def device_list(request: Request, search: str, after: str) -> dict[str, Any]:
        own = reading.within(request.state.principal)
        found = await own.devices(after=after, search=search, limit=PAGE + 1)
        shown = found[:PAGE]
        return {
            "devices": shown,
            "accounts": await own.accounts(shown),
            "search": search,
            "after": after,
            "more": shown[-1].name if len(found) > PAGE else None,
        }

    async def device_now(own: TenantReading, name: str, series: int) -> dict[str, Any]:
        latest = await own.latest(name, skip=(series - 1) * SHOWN_SERIES, limit=SHOWN_SERIES + 1)
        return {
            "account": await own.account(name),
            "latest": latest[:SHOWN_SERIES],
            "series": series,
            "more_series": len(latest) > SHOWN_SERIES,
        }

    @router.get("/")
    @requires(Permission.READ)
    async def show_devices(
        request: Request, search: Annotated[str, Query(max_length=63)] = "", after: Annotated[str, Query()] = ""
    ) -> Response:
        return page(request, "devices.html", **await device_list(request, search, after))

    @router.get("/devices")
    @requires(Permission.READ)
    async def show_device_table(
        request: Request, search: Annotated[str, Query(max_length=63)] = "", after: Annotated[str, Query()] = ""
    ) -> Response:
        # htmx wants the part that it replaces; who follows a link wants a page.
        template = "device_table.html" if "hx-request" in request.headers else "devices.html"
        return page(request, template, **await device_list(request, search, after))

    @router.get("/devices/{name}")
    @requires(Permission.READ)
    async def show_device(request: Request, name: str, series: SeriesPage = 1) -> Response:
        own = reading.within(request.state.principal)
        try:
            device = await own.device(name)
        except NotFoundError as error:
            return page(request, "refused.html", status=404, reason=str(error))
        incidents = await own.incidents(name, before_id=LAST_ID, limit=SHOWN_INCIDENTS)
        now = await device_now(own, name, series)
        return page(request, "device.html", device=device, incidents=incidents, **now)

    @router.get("/devices/{name}/now")
    @requires(Permission.READ)
    async def show_device_now(request: Request, name: str, series: SeriesPage = 1) -> Response:
        own = reading.within(request.state.principal)
        device = await own.device(name)
        return page(request, "device_now.html", device=device, **await device_now(own, name, series))

    @router.get("/usage")
    @requires(Permission.READ)
    async def show_usage(request: Request) -> Response:
        return page(request, "usage.html", tenant=await reading.within(request.state.principal).usage(), shares=shares)

    @router.get("/docs")
    @requires(Permission.READ)
    async def show_docs(request: Request) -> Response:
        return page(request, "docs.html")
