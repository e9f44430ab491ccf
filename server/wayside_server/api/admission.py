"""What is settled before a request has a route: whether its address may ask now, and how large its body may be."""

from math import ceil

from fastapi import HTTPException, Request
from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wayside_server.api.problems import answer_with
from wayside_server.domain.addresses import network_of
from wayside_server.domain.rates import Rates, Share

LIMITED = Counter("wayside_api_limited", "Requests refused because too many came, by whose they were.", ["share"])
TOO_LARGE = Counter("wayside_api_bodies_too_large", "Requests refused because their bodies are too large.")

MAX_BODY_BYTES = 64 * 1024
"""Forms and orders take a few kilobytes; a route that takes more says so with `read_body`. The body of a route that
declares what it looks like is read before anybody knows who asks."""
_BOUND = "wayside.body"


class Admission:
    """Counts a request for its address, known route or not, and bounds its body, before either is looked at.

    Args:
        app: what answers.
        rates: how often each may ask.
    """

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            admit(self._rates, Share.ADDRESS, share_of_address(scope))
        except HTTPException as error:
            refusal = answer_with(Request(scope), error.status_code, str(error.detail), error.headers or {})
            await refusal(scope, receive, send)
            return
        bound = _Bound(scope, receive, send)
        scope[_BOUND] = bound
        await self._app(scope, bound.receive, bound.send)


class _Bound:
    """The body of a request, which is not read beyond `most` bytes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.most = MAX_BODY_BYTES
        self._declared = _content_length(scope)
        self._taken = 0
        self._answered = False
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        """As the server gives it.

        Raises:
            HTTPException: 413, the body is too large, or says that it will be.
        """
        if self._declared > self.most and not self._answered:
            raise self._too_large()
        message = await self._receive()
        if message["type"] == "http.request":
            self._taken += len(message.get("body", b""))
            if self._taken > self.most:
                if self._answered:
                    # Whoever listens for the end of a stream meets one, and no failure that nobody expects there.
                    return {"type": "http.disconnect"}
                raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        self._answered = True
        await self._send(message)

    def _too_large(self) -> HTTPException:
        TOO_LARGE.inc()
        return HTTPException(413, f"the body is larger than {self.most} bytes")


def allow_body(request: Request, most: int) -> None:
    """Lets the body of `request`, which has not been read, have `most` bytes."""
    bound: _Bound = request.scope[_BOUND]
    bound.most = most


def share_of_address(scope: Scope) -> str:
    """As whose the request counts among addresses."""
    client = scope.get("client")
    return network_of(client[0]) if client else ""


def admit(rates: Rates, share: Share, name: str) -> None:
    """Counts a request of `name`.

    Raises:
        HTTPException: 429, too many came.
    """
    wait_s = rates.take(share, name)
    if wait_s > 0:
        LIMITED.labels(share.value).inc()
        again_s = ceil(wait_s)
        detail = f"too many requests of this {share.value}; try again in {again_s} s, and see GET /api/v1/limits"
        raise HTTPException(429, detail, {"Retry-After": str(again_s)})


def _content_length(scope: Scope) -> int:
    given = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(given) if given.isdigit() else 0
