"""Errors as `application/problem+json` (RFC 9457): one sentence that names the fix."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from wayside_server.api.schema import MEDIA_TYPE
from wayside_server.domain.access import DeviceRefusedError
from wayside_server.errors import NotFoundError, StorageError, ThrottledError, UnauthorizedError

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


def install_problems(app: FastAPI, error_page: ErrorPage | None = None) -> None:
    """Makes every error of `app` such an answer; outside the API a browser gets `error_page` in its place."""
    app.state.error_page = error_page
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(NotFoundError, _handler(404))
    app.add_exception_handler(StorageError, _handler(503, retry_after=True))
    app.add_exception_handler(UnauthorizedError, _unauthorized)
    app.add_exception_handler(DeviceRefusedError, _handler(403))
    app.add_exception_handler(ThrottledError, _throttled)


def _handler(status: int, *, retry_after: bool = False) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        return answer_with(request, status, str(error), {"Retry-After": str(RETRY_AFTER_S)} if retry_after else {})

    return answer


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if detail == HTTPStatus(error.status_code).phrase:
        detail = _fix(request, error.status_code, headers) or detail
    return answer_with(request, error.status_code, detail, headers)


def _fix(request: Request, status: int, headers: Mapping[str, str]) -> str | None:
    """What to do where the framework says no more than the status."""
    if status == 404:
        return f"there is nothing at {request.url.path[:100]}; the API is below /api/v1, and /docs describes it"
    if status == 405:
        return f"{request.method[:20]} does not go with this path; use {headers.get('Allow') or 'GET'}"
    return None


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in error.errors()]
    return answer_with(request, 422, "; ".join(parts)[:1000], {})


async def _throttled(request: Request, error: Exception) -> Response:
    assert isinstance(error, ThrottledError)
    return answer_with(request, 429, str(error), {"Retry-After": str(error.retry_after_s)})


async def _unauthorized(request: Request, error: Exception) -> Response:
    if _shows_pages(request) and request.method == "POST" and not request.url.path.startswith("/api/"):
        return RedirectResponse(SIGN_IN, 303)
    if _is_browser(request):
        url = request.url
        wanted = url.path + (f"?{url.query}" if url.query else "")
        return RedirectResponse(SIGN_IN if wanted == "/" else f"{SIGN_IN}?{urlencode({'next': wanted})}", 303)
    # The header's values are Latin-1, the message is for the body.
    return problem(401, str(error), **{"WWW-Authenticate": 'Bearer realm="wayside"'})


def answer_with(request: Request, status: int, detail: str, headers: Mapping[str, str]) -> Response:
    """The problem; outside the API, for a browser, the error page."""
    error_page: ErrorPage | None = request.app.state.error_page
    if error_page is None or not _shows_pages(request) or request.url.path.startswith("/api/"):
        return problem(status, detail, **headers)
    page = error_page(request, status, detail)
    page.headers.update(headers)
    return page


def _is_browser(request: Request) -> bool:
    return _shows_pages(request) and request.method == "GET"


def _shows_pages(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
