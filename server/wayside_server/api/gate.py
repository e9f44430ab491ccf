"""Lets a request through when its route's declared permission is met."""

import difflib
from collections.abc import Awaitable, Callable, Collection, Iterable
from math import ceil
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.routing import APIRoute
from prometheus_client import Counter

from wayside_server.api.schema import query_parameters
from wayside_server.domain.access import SESSION_COOKIE, Access, Permission, Principal, required
from wayside_server.domain.rates import Rates, Share
from wayside_server.errors import UnauthorizedError

LIMITED = Counter("wayside_api_limited", "Requests refused because too many came, by whose they were.", ["share"])

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def make_gate(access: Access, metrics_hosts: Collection[str], rates: Rates) -> Callable[[Request], Awaitable[None]]:
    """A dependency for every route: it leaves the caller in `request.state.principal`, None on public routes.

    Args:
        access: establishes who asks.
        metrics_hosts: addresses that may read the metrics without a key.
        rates: how often each may ask.
    """

    async def gate(request: Request) -> None:
        permission = required(request.scope["route"].endpoint)
        request.state.principal = None
        await _admit(rates, Share.ADDRESS, request.client.host if request.client else "")
        if permission is None:
            raise HTTPException(403, "this route declares no permission, so nobody may use it; report it as a bug")
        if "%00" in request.scope["raw_path"].decode("latin-1") or b"%00" in request.scope["query_string"]:
            # No name here holds one, and PostgreSQL can compare nothing with it.
            raise HTTPException(422, "a NUL (%00) stands in no name; leave it out")
        _refuse_foreign_pages(request)
        if permission is Permission.PUBLIC:
            return
        if permission is Permission.METRICS and request.client and request.client.host in metrics_hosts:
            return
        principal = request.state.principal = await _establish(access, request)
        if permission not in principal.permissions:
            raise HTTPException(403, f"this needs the permission '{permission.value}', which {principal.label} has not")
        await _admit(rates, Share.KEY, principal.actor)
        if principal.tenant_id is not None:
            await _admit(rates, Share.TENANT, str(principal.tenant_id))

    return gate


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


async def _establish(access: Access, request: Request) -> Principal:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer":
            raise UnauthorizedError("send the API key as: Authorization: Bearer <key>")
        return await access.authenticate(token.strip())
    session = request.cookies.get(SESSION_COOKIE)
    if session is None:
        raise UnauthorizedError("no API key and no session; send the header Authorization: Bearer <key>")
    return await access.resume(session)


def _refuse_foreign_pages(request: Request) -> None:
    """A browser says which page a request comes from; one from elsewhere changes nothing here."""
    if request.method in _SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "the request comes from a page of another site; open the console itself")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "the request comes from a page of another site; open the console itself")
