"""The operator's pages: sign-in, devices, one device, the API's documentation."""

import hmac
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from wayside_server.console.listings import LAST_ID, add_listings, add_log
from wayside_server.console.render import csrf_token, page
from wayside_server.domain.access import SESSION_COOKIE, Access, Permission, Session, requires
from wayside_server.domain.reading import Reading, TenantReading
from wayside_server.domain.tenants import shares
from wayside_server.errors import NotFoundError, UnauthorizedError

STATIC = Path(__file__).parent / "static"
PAGE = 100
SHOWN_INCIDENTS = 5
SHOWN_SERIES = 100
"""On one page, which is asked for every two seconds."""

SeriesPage = Annotated[int, Query(ge=1, le=10_000)]
"""On the page of a device, which is about what it measures."""


MAX_NEXT = 2_000
Next = Annotated[str, Query(max_length=MAX_NEXT)]
"""Where to go after the sign-in."""


def console_router(reading: Reading, access: Access) -> APIRouter:
    """Every page of the console. Serve `STATIC` below /static beside it."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    _add_sign_in(router, access)
    _add_pages(router, reading)
    add_listings(router, reading)
    add_log(router, reading)
    return router


def _add_sign_in(router: APIRouter, access: Access) -> None:
    @router.get("/sign-in")
    @requires(Permission.PUBLIC)
    async def show_sign_in(request: Request, next: Next = "/") -> Response:  # noqa: A002
        return page(request, "sign_in.html", refused=False, next=_own_path(next))

    @router.post("/sign-in")
    @requires(Permission.PUBLIC)
    async def sign_in(
        request: Request,
        key: Annotated[str, Form(max_length=200)],
        next: Annotated[str, Form(max_length=MAX_NEXT)] = "/",  # noqa: A002
    ) -> Response:
        try:
            session = await access.sign_in(key.strip())
        except UnauthorizedError:
            return page(request, "sign_in.html", status=401, refused=True, next=_own_path(next))
        return _begin(RedirectResponse(_own_path(next), 303), session)

    @router.get("/login/{token}")
    @requires(Permission.PUBLIC)
    async def follow_link(request: Request, token: str) -> Response:
        try:
            session = await access.redeem(token)
        except UnauthorizedError as error:
            return page(request, "refused.html", status=401, reason=str(error))
        # A page, not a redirect: a SameSite=Strict cookie is not sent on a redirect that began at another site.
        return _begin(page(request, "signed_in.html"), session)

    @router.post("/sign-out")
    @requires(Permission.READ)
    async def sign_out(request: Request, csrf: Annotated[str, Form(max_length=100)]) -> Response:
        session = request.cookies.get(SESSION_COOKIE, "")
        if not hmac.compare_digest(csrf.encode(), csrf_token(session).encode()):
            raise HTTPException(403, "the form is out of date; reload the page and try again")
        await access.sign_out(session)
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(SESSION_COOKIE, secure=True, httponly=True, samesite="strict")
        return answer


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
        return page(request, "device_table.html", **await device_list(request, search, after))

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


def _own_path(wanted: str) -> str:
    """`wanted` if it is a path here, else the first page: a link must not lead through the sign-in to another site."""
    # Browsers take a backslash for a slash, and leave out tabs and line breaks.
    strange = any(not "!" <= sign <= "~" or sign == "\\" for sign in wanted)
    return "/" if strange or not wanted.startswith("/") or wanted.startswith("//") else wanted


def _begin(answer: Response, session: Session) -> Response:
    answer.set_cookie(
        SESSION_COOKIE,
        session.token,
        expires=session.expires_at,
        secure=True,
        httponly=True,
        samesite="strict",
        path="/",
    )
    return answer
