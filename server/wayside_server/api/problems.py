"""Errors as `application/problem+json` (RFC 9457): one sentence that names the fix."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from wayside_server.api.schema import MEDIA_TYPE
from wayside_server.domain.access import DeviceRefusedError, Principal
from wayside_server.domain.tenants import NAME_PATTERN, NAME_RULE
from wayside_server.errors import NotFoundError, StorageError, ThrottledError, UnauthorizedError
from wayside_server.identity.names import GROUP_PATTERN, GROUP_RULE
from wayside_shared.identifiers import DEVICE_ID_PATTERN, DEVICE_ID_RULE

_RULES: Final = {DEVICE_ID_PATTERN: DEVICE_ID_RULE, GROUP_PATTERN: GROUP_RULE, NAME_PATTERN: NAME_RULE}
RETRY_AFTER_S = 5
SIGN_IN = "/sign-in"


def problem(status: int, detail: str, *, instance: str | None = None, **headers: str) -> JSONResponse:
    """The answer for an error; `instance` is the URI of this occurrence (RFC 9457 section 3.1.5)."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if instance is not None:
        body["instance"] = instance
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


ErrorPage: TypeAlias = Callable[[Request, int, str], Response]
"""Makes the page for a person from the request, the status and the sentence."""
Recognise: TypeAlias = Callable[[Request], Awaitable[Principal | None]]


async def _nobody(_request: Request) -> Principal | None:
    return None


def install_problems(app: FastAPI, error_page: ErrorPage | None = None, recognise: Recognise = _nobody) -> None:
    """Makes every error of `app` such an answer.

    Args:
        app: whose.
        error_page: what a browser gets in its place outside the API.
        recognise: who asks for what is no route, so that the page is theirs.
    """
    app.state.error_page = error_page
    app.state.recognise = recognise
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(NotFoundError, _handler(404))
    app.add_exception_handler(StorageError, _handler(503, retry_after=True))
    app.add_exception_handler(UnauthorizedError, _unauthorized)
    app.add_exception_handler(DeviceRefusedError, _handler(403))
    app.add_exception_handler(ThrottledError, _throttled)


def _handler(status: int, *, retry_after: bool = False) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        return await _answer(request, status, str(error), {"Retry-After": str(RETRY_AFTER_S)} if retry_after else {})

    return answer


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if detail == HTTPStatus(error.status_code).phrase:
        detail = _fix(request, error.status_code, headers) or detail
    return await _answer(request, error.status_code, detail, headers)


def _fix(request: Request, status: int, headers: Mapping[str, str]) -> str | None:
    """What to do where the framework says no more than the status."""
    if status == 404:
        nothing = f"there is nothing at {request.url.path[:100]}"
        return nothing if _gets_page(request) else f"{nothing}; the API is below /api/v1, and /docs describes it"
    if status == 405:
        return f"{request.method[:20]} does not go with this path; use {headers.get('Allow') or 'GET'}"
    return None


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(str(part) for part in item['loc'][1:])}: {_in_words(item)}" for item in error.errors()]
    return await _answer(request, 422, "; ".join(parts)[:1000], {})


def _in_words(item: Mapping[str, Any]) -> str:
    """What is wrong with a part of a request; rules for names as people read them."""
    pattern = item.get("ctx", {}).get("pattern")
    return _RULES.get(pattern) or str(item["msg"])


async def _throttled(request: Request, error: Exception) -> Response:
    assert isinstance(error, ThrottledError)
    return await _answer(request, 429, str(error), {"Retry-After": str(error.retry_after_s)})


async def _unauthorized(request: Request, error: Exception) -> Response:
    if _shows_pages(request) and request.method == "POST" and not request.url.path.startswith("/api/"):
        return RedirectResponse(SIGN_IN, 303)
    if _is_browser(request):
        url = request.url
        wanted = url.path + (f"?{url.query}" if url.query else "")
        return RedirectResponse(SIGN_IN if wanted == "/" else f"{SIGN_IN}?{urlencode({'next': wanted})}", 303)
    # The header's values are Latin-1, the message is for the body.
    return problem(401, str(error), **{"WWW-Authenticate": 'Bearer realm="wayside"'})


async def _answer(request: Request, status: int, detail: str, headers: Mapping[str, str]) -> Response:
    if _gets_page(request) and not hasattr(request.state, "principal"):
        # No route, no gate: nobody has asked who that is.
        request.state.principal = await request.app.state.recognise(request)
    return answer_with(request, status, detail, headers)


def answer_with(request: Request, status: int, detail: str, headers: Mapping[str, str]) -> Response:
    """The problem; outside the API, for a browser, the error page: for nobody, unless the gate has said who asks."""
    if not _gets_page(request):
        return problem(status, detail, **headers)
    if not hasattr(request.state, "principal"):
        request.state.principal = None
    error_page: ErrorPage = request.app.state.error_page
    page = error_page(request, status, detail)
    page.headers.update(headers)
    return page


def _gets_page(request: Request) -> bool:
    pages = request.app.state.error_page is not None and _shows_pages(request)
    return pages and not request.url.path.startswith("/api/")


def _is_browser(request: Request) -> bool:
    return _shows_pages(request) and request.method == "GET"


def _shows_pages(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
