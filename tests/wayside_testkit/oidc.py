"""A little OpenID Connect provider with real keys, over TLS, that can be told to misbehave."""

import asyncio
import base64
import hashlib
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID = "wayside"
SECRET = "the client's own secret"


class Provider:
    """One provider. `claims` is what it says of whoever signs in; the rest is how it misbehaves.

    `change` overrides claims of the ID token, `header` its header; `key` signs, when it is not the one that it shows.
    """

    def __init__(self) -> None:
        self.issuer = ""
        self.claims: dict[str, Any] = {"sub": "0042", "preferred_username": "greta", "name": "Greta", "groups": ["ops"]}
        self.change: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.shown = RSAKey.generate_key(2048, {"kid": "one"})
        self.key = self.shown
        self._codes: dict[str, dict[str, str]] = {}

    def roll(self) -> None:
        """Signs with a new key from now on, and shows it."""
        self.shown = self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)})

    def app(self) -> Starlette:
        """Its web service."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _metadata(self, _: Request) -> Response:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse({"issuer": self.issuer} | {name: f"{self.issuer}/{path}" for name, path in paths.items()})

    async def _keys(self, _: Request) -> Response:
        unknown = {"kty": "brick", "kid": "zero"}
        return JSONResponse({"keys": [unknown, self.shown.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self._codes.pop(form.get("code", ""), None)
        basic = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        if asked is None or request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_grant"}, 400)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if challenge.decode() != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        told = {name: value for name, value in {**claims, **self.claims, **self.change}.items() if value is not None}
        return JSONResponse({"id_token": self._signed(told), "access_token": "x", "token_type": "Bearer"})

    def _signed(self, claims: dict[str, Any]) -> str:
        header = {"alg": self.algorithm, "kid": self.shown.kid}
        if self.algorithm == "none":
            unsigned = jwt.encode({"alg": "RS256"}, claims, self.key).split(".")[1]
            head = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').rstrip(b"=").decode()
            return f"{head}.{unsigned}."
        return jwt.encode(header, claims, self.key)


@asynccontextmanager
async def provide(provider: Provider, certificate: Path, key: Path) -> AsyncIterator[None]:
    """Serves `provider` over TLS on 127.0.0.1 while the context is open, and tells it its issuer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        provider.issuer = f"https://localhost:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            provider.app(), log_level="warning", lifespan="off", ssl_certfile=certificate, ssl_keyfile=key, ws="none"
        )
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(server.serve(sockets=[listening]))
            while not server.started and not running.done():  # noqa: ASYNC110 - uvicorn tells by a flag only
                await asyncio.sleep(0.005)
            try:
                yield
            finally:
                server.should_exit = True
