"""An OpenID Connect provider (OpenID Connect Core 1.0): the authorization code flow with PKCE, and what it proves.

authlib knows the protocol's rules, joserfc the signatures, httpx the way there.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, import_key

from wayside_server.errors import ConfigError, TransientError, UnauthorizedError
from wayside_server.identity.home import Home
from wayside_server.identity.oidc_settings import OidcSettings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384")
"""Signatures with a public key only: `none` proves nothing, and HS256 would make the client's secret a signing key."""
TIMEOUT_S = 10.0
"""Somebody waits before an empty page meanwhile."""
KNOWN_FOR_S = 3600.0
"""A provider's addresses and keys are asked for again after this, and at once for a key that is not known."""
KEYS_AGAIN_S = 30.0
"""But not more often, whatever is sent to us."""
LEEWAY_S = 60
"""The provider's clock may be off by this (RFC 7519 section 4.1.4 allows a few minutes)."""
MAX_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that is on its way through the provider.

    Args:
        url: where to send the browser.
        state: what comes back with the answer.
        nonce: what the token must hold.
        verifier: what proves to the provider that the code is ours (RFC 7636).
    """

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class _Known:
    metadata: Mapping[str, Any]
    keys: KeySet
    at_s: float


class OidcProvider:
    """Asks one provider who somebody is. Building reads no file and asks nobody.

    Args:
        settings: the provider; it has an issuer.
        home: the installation, beside which relative files are looked for.
        redirect_uri: where it sends browsers back.
        now: the time, aware.
    """

    def __init__(self, settings: OidcSettings, home: Home, redirect_uri: str, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._home = home
        self._redirect_uri = redirect_uri
        self._now = now
        self._known: _Known | None = None
        self._lock = asyncio.Lock()

    async def begin(self, state: str, nonce: str, verifier: str) -> Begun:
        """A sign-in; the three texts are random, and come back with the answer.

        Raises:
            TransientError: the provider does not answer.
            ConfigError: it answers with what no provider would, or a file is missing.
        """
        known = await self._discover()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = str(known.metadata["authorization_endpoint"])
        url = f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"
        return Begun(url, state, nonce, verifier)

    async def finish(self, code: str, begun_nonce: str, verifier: str) -> Mapping[str, Any]:
        """What the provider says of whom it sent back.

        Args:
            code: from its answer.
            begun_nonce: of the sign-in that was begun.
            verifier: likewise.

        Returns:
            The claims of the ID token, verified; `sub` is a text.

        Raises:
            UnauthorizedError: it takes not the code, or its token is not good; the message says why.
            TransientError: it does not answer.
        """
        known = await self._discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self._settings.client_id,
            "code_verifier": verifier,
        }
        secret = self._secret()
        auth = httpx.USE_CLIENT_DEFAULT if secret is None else httpx.BasicAuth(self._settings.client_id, secret)
        async with self._client() as client:
            answer = await _ask(client.post(str(known.metadata["token_endpoint"]), data=form, auth=auth))
        if answer.status_code != 200:
            raise UnauthorizedError(f"the provider takes not its own code (status {answer.status_code}); sign in again")
        token = _object(answer).get("id_token")
        if not isinstance(token, str):
            raise UnauthorizedError("the provider sent no ID token; is the scope openid among oidc.scopes?")
        return await self._verify(token, begun_nonce)

    async def _verify(self, token: str, nonce: str) -> Mapping[str, Any]:
        known = await self._discover()
        try:
            return self._claims(token, nonce, known)
        except (JoseError, ValueError) as error:
            again = await self._discover(fresh=True)
            if again is known:
                raise UnauthorizedError(f"the provider's ID token is not good: {_why(error)}") from error
        try:
            return self._claims(token, nonce, again)
        except (JoseError, ValueError) as error:
            raise UnauthorizedError(f"the provider's ID token is not good: {_why(error)}") from error

    def _claims(self, token: str, nonce: str, known: _Known) -> Mapping[str, Any]:
        decoded = jwt.decode(token, known.keys, algorithms=list(ALGORITHMS))
        client_id = self._settings.client_id
        options = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "aud": {"essential": True, "value": client_id},
            "sub": {"essential": True},
        }
        claims = CodeIDToken(decoded.claims, decoded.header, options, {"nonce": nonce, "client_id": client_id})
        claims.validate(now=int(self._now().timestamp()), leeway=LEEWAY_S)
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise ValueError("sub is no text")
        return dict(claims)

    async def _discover(self, *, fresh: bool = False) -> _Known:
        async with self._lock:
            at_s = asyncio.get_running_loop().time()
            keep_s = KEYS_AGAIN_S if fresh else KNOWN_FOR_S
            if self._known is None or at_s - self._known.at_s >= keep_s:
                async with self._client() as client:
                    url = get_well_known_url(self._settings.issuer, external=True)
                    metadata = self._checked(_object(await _ask(client.get(url))))
                    keys = _object(await _ask(client.get(str(metadata["jwks_uri"]))))
                self._known = _Known(metadata, _key_set(keys), at_s)
            return self._known

    def _checked(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        metadata = OpenIDProviderMetadata(found)
        try:
            for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"):
                getattr(metadata, f"validate_{name}")()
        except ValueError as error:
            raise ConfigError(f"oidc.issuer {self._settings.issuer}: {error}") from error
        if metadata["issuer"] != self._settings.issuer:
            raise ConfigError(f"oidc.issuer is {self._settings.issuer}, but it calls itself {metadata['issuer']}")
        return found

    def _client(self) -> httpx.AsyncClient:
        # No redirects: the addresses are the provider's own, and a redirected secret is a lost one.
        return httpx.AsyncClient(verify=self._trust(), timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    def _trust(self) -> ssl.SSLContext:
        file = self._settings.ca_file
        try:
            return ssl.create_default_context(cafile=None if file is None else str(self._home.path / file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"oidc.ca_file {file}: {error.strerror or error}") from error

    def _secret(self) -> str | None:
        file = self._settings.secret_file
        if file is None:
            return None
        try:
            return (self._home.path / file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"oidc.secret_file {file} cannot be read") from error


async def _ask(asking: Any) -> httpx.Response:
    try:
        answer: httpx.Response = await asking
    except httpx.HTTPError as error:
        raise TransientError(f"the OpenID Connect provider does not answer: {type(error).__name__}") from error
    if answer.status_code >= 500:
        raise TransientError(f"the OpenID Connect provider fails with status {answer.status_code}")
    if len(answer.content) > MAX_ANSWER_BYTES:
        raise TransientError("the OpenID Connect provider answers with more than 1 MB")
    return answer


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError as error:
        raise TransientError(f"{answer.request.url.host} answered with no JSON, status {answer.status_code}") from error
    if not isinstance(found, dict):
        raise TransientError(f"{answer.request.url.host} answered with no JSON object, status {answer.status_code}")
    return found


def _key_set(found: Mapping[str, Any]) -> KeySet:
    keys = []
    for one in found.get("keys") or []:
        # Providers show keys for other purposes beside, of kinds that nobody here knows.
        with suppress(JoseError, KeyError, TypeError, ValueError):
            keys.append(import_key(one))
    if not keys:
        raise TransientError("the OpenID Connect provider shows no keys that can be used")
    return KeySet(keys)


def _why(error: Exception) -> str:
    return getattr(error, "description", "") or str(error) or type(error).__name__
