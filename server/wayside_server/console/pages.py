"""The operator's pages: sign-in, devices, one device, the API's documentation."""

import hashlib
import hmac
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from wayside_server.console.view import UNIT_SIGNS, ago, bar, unit_text, utc_text, value_text
from wayside_server.domain.access import SESSION_COOKIE, Access, Permission, Session, requires
from wayside_server.domain.reading import Reading
from wayside_server.errors import NotFoundError, UnauthorizedError

STATIC = Path(__file__).parent / "static"
PAGE = 100
_TEMPLATES = Path(__file__).parent / "templates"


def console_router(reading: Reading, access: Access) -> APIRouter:
    """Every page of the console. Serve `STATIC` below /static beside it."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    _add_sign_in(router, access)
    _add_pages(router, reading)
    return router


def csrf_token(session: str) -> str:
    """What a form must send along: only a page that was made for this session knows it."""
    return hmac.new(session.encode(), b"wayside console form", hashlib.sha256).hexdigest()


def _add_sign_in(router: APIRouter, access: Access) -> None:
    @router.get("/sign-in")
    @requires(Permission.PUBLIC)
    async def show_sign_in(request: Request) -> Response:
        return _page(request, "sign_in.html", refused=False)

    @router.post("/sign-in")
    @requires(Permission.PUBLIC)
    async def sign_in(request: Request, key: Annotated[str, Form(max_length=200)]) -> Response:
        try:
            session = await access.sign_in(key.strip())
        except UnauthorizedError:
            return _page(request, "sign_in.html", status=401, refused=True)
        return _begin(RedirectResponse("/", 303), session)

    @router.get("/login/{token}")
    @requires(Permission.PUBLIC)
    async def follow_link(request: Request, token: str) -> Response:
        try:
            session = await access.redeem(token)
        except UnauthorizedError as error:
            return _page(request, "refused.html", status=401, reason=str(error))
        # A page, not a redirect: a SameSite=Strict cookie is not sent on a redirect that began at another site.
        return _begin(_page(request, "signed_in.html"), session)

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
    async def device_list(search: str, after: str) -> dict[str, Any]:
        found = await reading.devices(after=after, search=search, limit=PAGE + 1)
        page = found[:PAGE]
        return {
            "devices": page,
            "accounts": await reading.accounts(page),
            "search": search,
            "after": after,
            "more": page[-1].name if len(found) > PAGE else None,
        }

    @router.get("/")
    @requires(Permission.READ)
    async def show_devices(
        request: Request, search: Annotated[str, Query(max_length=63)] = "", after: Annotated[str, Query()] = ""
    ) -> Response:
        return _page(request, "devices.html", **await device_list(search, after))

    @router.get("/devices")
    @requires(Permission.READ)
    async def show_device_table(
        request: Request, search: Annotated[str, Query(max_length=63)] = "", after: Annotated[str, Query()] = ""
    ) -> Response:
        return _page(request, "device_table.html", **await device_list(search, after))

    @router.get("/devices/{name}")
    @requires(Permission.READ)
    async def show_device(request: Request, name: str) -> Response:
        try:
            device = await reading.device(name)
        except NotFoundError as error:
            return _page(request, "refused.html", status=404, reason=str(error))
        account, latest = await reading.account(name), await reading.latest(name)
        return _page(request, "device.html", device=device, account=account, latest=latest)

    @router.get("/devices/{name}/now")
    @requires(Permission.READ)
    async def show_device_now(request: Request, name: str) -> Response:
        device, account, latest = await reading.device(name), await reading.account(name), await reading.latest(name)
        return _page(request, "device_now.html", device=device, account=account, latest=latest)

    @router.get("/docs")
    @requires(Permission.READ)
    async def show_docs(request: Request) -> Response:
        return _page(request, "docs.html")


def _make_environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["grouped"] = lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    environment.filters["value_text"] = value_text
    environment.filters["unit_text"] = unit_text
    environment.filters["utc_text"] = utc_text
    environment.globals["unit_signs"] = UNIT_SIGNS
    environment.globals["bar"] = bar
    return environment


_environment = _make_environment()


def _page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    session = request.cookies.get(SESSION_COOKIE, "")
    now = datetime.now(UTC)
    text = _environment.get_template(template).render(
        **values,
        principal=request.state.principal,
        csrf=csrf_token(session),
        ago=lambda moment: ago(moment, now),
    )
    return HTMLResponse(text, status)


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
