"""What happens to every request and answer, around the routes."""

import secrets

import structlog
from prometheus_client import Counter
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wayside_server.api.problems import problem
from wayside_server.errors import UnauthorizedError

log = structlog.get_logger(__name__)

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Under no-referrer browsers send `Origin: null` with forms, which the gate could not tell from a foreign page.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "strict-transport-security": "max-age=31536000",
}

LEFT = Counter("wayside_api_clients_left", "Requests whose clients left before they had sent all of them.")
ONE_TIME = "/login/"


class SecurityHeaders:
    """Adds the headers that every answer carries; what holds data is not cached."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name.encode(), value.encode()) for name, value in _headers_for(scope).items()]
        cached = b"no-cache" if scope["path"].startswith("/static/") else b"no-store"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                more = [*headers, (b"cache-control", cached)]
                message["headers"] = [*message["headers"], *((n, v) for n, v in more if n not in given)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _headers_for(scope: Scope) -> dict[str, str]:
    """Without HSTS on `localhost`: it holds for every port there, so that for a year the browser would take no other
    program on that machine without TLS."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").partition(b":")[0]
    left_out = ["strict-transport-security"] if host == b"localhost" else []
    return {name: value for name, value in SECURITY_HEADERS.items() if name not in left_out}


class HeadAsGet:
    """Answers HEAD as GET, without the body (RFC 9110 section 9.3.2); a stream ends with its head."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        # A one-time link is spent by GET; programs that look at links with HEAD must not spend it.
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith(ONE_TIME):
            await self._app(scope, receive, send)
            return
        answered = False

        async def send_head(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered = True

        async def receive_until_answered() -> Message:
            return {"type": "http.disconnect"} if answered else await receive()

        await self._app({**scope, "method": "GET"}, receive_until_answered, send_head)


class Mishaps:
    """Answers a failure that nobody expected with an id, under which the log has its traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            # Nobody is left to answer, and nothing has failed here.
            LEFT.inc()
            log.debug("a client left within its request", method=scope["method"], path=scope["path"])
        except UnauthorizedError as error:
            # Before an answer has begun, the routes tell it themselves.
            log.warning("an answer was broken off", method=scope["method"], path=scope["path"], reason=str(error))
            raise
        except Exception:
            number = secrets.token_hex(8)
            log.exception("a request failed", id=number, method=scope["method"], path=scope["path"])
            if begun:
                # The connection must break off, or the client would take a part for the whole.
                raise
            detail = f"the server failed at this; its log has the reason under the id {number}"
            await problem(500, detail, instance=f"urn:wayside:failure:{number}")(scope, receive, send)
