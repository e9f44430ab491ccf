"""Requests that come through proxies."""

from starlette.types import ASGIApp, Receive, Scope, Send

from wayside_server.domain.addresses import Networks, client_behind, is_within

_HEADER = b"x-forwarded-for"


class ForwardedFor:
    """Takes for the client of a request whom a trusted proxy names; what others say is left standing and not believed.

    Args:
        app: what answers.
        proxies: the ones to trust.
    """

    def __init__(self, app: ASGIApp, proxies: Networks) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        client = scope.get("client")
        if scope["type"] == "http" and client and is_within(client[0], self._proxies):
            given = b",".join(value for name, value in scope["headers"] if name == _HEADER).decode("latin-1")
            rest = [(name, value) for name, value in scope["headers"] if name != _HEADER]
            scope = {**scope, "client": (client_behind(client[0], given, self._proxies), 0), "headers": rest}
        await self._app(scope, receive, send)
