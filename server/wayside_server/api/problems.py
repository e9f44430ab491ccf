"""Errors as `application/problem+json` (RFC 9457): one sentence that names the fix."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from wayside_server.api.schema import MEDIA_TYPE
from wayside_server.errors import NotFoundError, StorageError, UnauthorizedError

RETRY_AFTER_S = 5
SIGN_IN = "/sign-in"


def problem(status: int, detail: str, *, instance: str | None = None, **headers: str) -> JSONResponse:
    """The answer for an error; `instance` is the URI of this occurrence (RFC 9457 section 3.1.5)."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if instance is not None:
        body["instance"] = instance
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Makes every error of `app` such an answer."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(NotFoundError, _handler(404))
    app.add_exception_handler(StorageError, _handler(503, retry_after=True))
    app.add_exception_handler(UnauthorizedError, _unauthorized)


def _handler(status: int, *, retry_after: bool = False) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_request: Request, error: Exception) -> Response:
        headers = {"Retry-After": str(RETRY_AFTER_S)} if retry_after else {}
        return problem(status, str(error), **headers)

    return answer


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), **dict(error.headers or {}))


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in error.errors()]
    return problem(422, "; ".join(parts)[:1000])


async def _unauthorized(request: Request, error: Exception) -> Response:
    if "text/html" in request.headers.get("accept", "") and request.method == "GET":
        return RedirectResponse(SIGN_IN, 303)
    # The header's values are Latin-1, the message is for the body.
    return problem(401, str(error), **{"WWW-Authenticate": 'Bearer realm="wayside"'})
