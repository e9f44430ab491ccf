"""Lets a request through when its route's declared permission is met."""

import difflib
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from math import ceil
from typing import NoReturn
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.routing import APIRoute
from prometheus_client import Counter
from starlette.types import Scope

from wayside_server.api.schema import query_parameters
from wayside_server.domain.access import (
    SESSION_COOKIE,
    Access,
    DeviceAccess,
    Forbidden,
    Permission,
    Principal,
    required,
)
from wayside_server.domain.rates import Rates, Share
from wayside_server.errors import UnauthorizedError

LIMITED = Counter("wayside_api_limited", "Requests refused because too many came, by whose they were.", ["share"])

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def make_gate(
    access: Access,
    metrics_hosts: Collection[str],
    rates: Rates,
    devices: DeviceAccess | None = None,
    forbidden: Forbidden | None = None,
) -> Callable[[Request], Awaitable[None]]:
    """A dependency for every route: it leaves the caller in `request.state.principal`, None on public routes, and in
    `request.state.still_allowed` what asks again.

    Args:
        access: establishes who asks.
        metrics_hosts: addresses that may read the metrics without a key.
        rates: how often each may ask.
        devices: establishes devices; None lets none in.
        forbidden: notes who has not the permission; None notes nobody.
    """

    async def gate(request: Request) -> None:
        await let_in(request)
        if "%00" in request.scope["raw_path"].decode("latin-1") or b"%00" in request.scope["query_string"]:
            # No name here holds one, and PostgreSQL can compare nothing with it.
            raise HTTPException(422, "a NUL (%00) stands in no name; leave it out")

    async def let_in(request: Request) -> None:
        permission = required(request.scope["route"].endpoint)
        request.state.principal = None
        await _admit(rates, Share.ADDRESS, request.client.host if request.client else "")
        if permission is None:
            raise HTTPException(403, "this route declares no permission, so nobody may use it; report it as a bug")
        _refuse_foreign_pages(request)
        if permission is Permission.PUBLIC:
            return
        if permission is Permission.METRICS and request.client and request.client.host in metrics_hosts:
            return
        if permission is Permission.DEVICE:
            request.state.principal = await _establish_device(devices, request)
            return
        principal = request.state.principal = await _establish(access, request)
        request.state.still_allowed = partial(_still_allowed, access, request, permission)
        if permission not in principal.permissions:
            await _forbid(request, principal, permission, forbidden)
        await _admit(rates, Share.KEY, principal.actor)
        if principal.tenant_id is not None:
            await _admit(rates, Share.TENANT, str(principal.tenant_id))

    return gate


async def _forbid(request: Request, asker: Principal, needs: Permission, forbidden: Forbidden | None) -> NoReturn:
    if forbidden is not None:
        route = f"{request.method[:20]} {request.scope['route'].path}"
        await forbidden(asker, needs, route, request.client.host if request.client else None)
    raise HTTPException(403, asker.held or f"this needs the permission '{needs.value}', which {asker.label} has not")


async def _admit(rates: Rates, share: Share, name: str) -> None:
    wait_s = rates.take(share, name)
    if wait_s > 0:
        LIMITED.labels(share.value).inc()
        again_s = ceil(wait_s)
        detail = f"too many requests of this {share.value}; try again in {again_s} s, and see GET /api/v1/limits"
        raise HTTPException(429, detail, {"Retry-After": str(again_s)})


async def refuse_unknown_parameters(request: Request) -> None:
    """A dependency for every route: what would be ignored, because it is misspelt or not for this route, is refused."""
    allowed = query_parameters(request.app, request.scope["route"])
    if allowed is None:
        return
    for name in request.query_params:
        if name in allowed:
            continue
        near = difflib.get_close_matches(name, allowed, n=1)
        takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
        fix = f"did you mean {near[0]}?" if near else takes
        raise HTTPException(422, f"{name[:63]}: this route has no such parameter; {fix}")


def undeclared_routes(routers: Iterable[APIRouter]) -> list[str]:
    """The routes of `routers` that declare no permission; whatever the gate cannot see counts as one."""
    return [
        str(getattr(route, "path", route))
        for router in routers
        for route in router.routes
        if not isinstance(route, APIRoute) or required(route.endpoint) is None
    ]


async def _establish_device(devices: DeviceAccess | None, request: Request) -> Principal:
    """By the certificate on the connection alone: no header, key or session makes anybody a device."""
    certificate = client_certificate(request.scope)
    if certificate is None or devices is None:
        raise HTTPException(403, "this needs the device's own certificate on the TLS connection, and there is none")
    request.state.client_certificate = certificate
    return await devices.establish(certificate, request.client.host if request.client else None)


def client_certificate(scope: Scope) -> bytes | None:
    """The client's certificate (DER) on the connection of `scope`, which TLS has verified; None without one.

    The server's protocol class puts it there, as the ASGI extension `tls` has it.
    """
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
    return ssl.PEM_cert_to_DER_cert(chain[0]) if chain else None


async def _still_allowed(access: Access, request: Request, permission: Permission) -> bool:
    """For answers that never end: keys are revoked and sessions end while they run."""
    try:
        return permission in (await _establish(access, request, active=False)).permissions
    except UnauthorizedError:
        return False


async def _establish(access: Access, request: Request, *, active: bool = True) -> Principal:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer":
            raise UnauthorizedError("send the API key as: Authorization: Bearer <key>")
        return await access.authenticate(token.strip(), request.client.host if request.client else None)
    session = request.cookies.get(SESSION_COOKIE)
    if session is None:
        raise UnauthorizedError("no API key and no session; send the header Authorization: Bearer <key>")
    # What a page fetches by itself, again and again, is not its reader's doing (W3C Fetch Metadata, section 2.1).
    asked = request.headers.get("sec-fetch-dest", "document") == "document"
    return await access.resume(session, active=active and asked)


def _by_session(request: Request) -> bool:
    return "authorization" not in request.headers and SESSION_COOKIE in request.cookies


def _refuse_foreign_pages(request: Request) -> None:
    """A browser says which page a request comes from; one from elsewhere changes nothing here."""
    if request.method in _SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "the request comes from a page of another site; open the console itself")
    site = request.headers.get("sec-fetch-site")
    if origin is None and site is None and _by_session(request) and request.url.path.startswith("/api/"):
        # Forms of the console carry a token of their own; requests of the API have nothing but this.
        raise HTTPException(403, "with a session, send the header Origin too, as browsers do; programs use API keys")
    if site not in (None, "same-origin", "none"):
        raise HTTPException(403, "the request comes from a page of another site; open the console itself")
