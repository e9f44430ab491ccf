"""Lets a request through when its route's declared permission is met."""

import difflib
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import NoReturn
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.routing import APIRoute
from starlette.types import Scope

from wayside_server.api.admission import admit
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
from wayside_server.domain.addresses import address_of
from wayside_server.domain.rates import Rates, Share
from wayside_server.errors import StorageError, UnauthorizedError

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
        rates: how often each may ask; `Admission` has counted the address before.
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
        if permission is None:
            raise HTTPException(403, "this route declares no permission, so nobody may use it; report it as a bug")
        _refuse_foreign_pages(request)
        if permission is Permission.PUBLIC:
            return
        if permission is Permission.METRICS and _comes_from(request, metrics_hosts):
            return
        if permission is Permission.DEVICE:
            request.state.principal = await _establish_device(devices, request)
            return
        principal = request.state.principal = await _establish(access, request)
        request.state.still_allowed = partial(_still_allowed, access, request, permission)
        if permission not in principal.permissions:
            await _forbid(request, principal, permission, forbidden)
        admit(rates, Share.KEY, principal.actor)
        if principal.tenant_id is not None:
            admit(rates, Share.TENANT, str(principal.tenant_id))

    return gate


def _comes_from(request: Request, hosts: Collection[str]) -> bool:
    """Whether one of `hosts` itself asks. Behind a proxy that is not trusted, anybody could."""
    if request.client is None or any(name in request.headers for name in ("x-forwarded-for", "forwarded")):
        return False
    return str(address_of(request.client.host) or request.client.host) in hosts


async def _forbid(request: Request, asker: Principal, needs: Permission, forbidden: Forbidden | None) -> NoReturn:
    if forbidden is not None:
        route = f"{request.method[:20]} {request.scope['route'].path}"
        await forbidden(asker, needs, route, request.client.host if request.client else None)
    raise HTTPException(403, asker.held or f"this needs the permission '{needs.value}', which {asker.label} has not")


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


def make_recognise(access: Access) -> Callable[[Request], Awaitable[Principal | None]]:
    """Tells whose session a request comes with that no route takes, so no gate either; None for everybody else.

    Args:
        access: establishes who asks.
    """

    async def recognise(request: Request) -> Principal | None:
        if not _by_session(request):
            return None
        try:
            return await _establish(access, request, active=False)
        except (UnauthorizedError, StorageError):
            return None

    return recognise


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
    scheme, token = _credentials(request)
    if scheme:
        if scheme.lower() != "bearer":
            raise UnauthorizedError("send the API key as: Authorization: Bearer <key>")
        return await access.authenticate(token, request.client.host if request.client else None)
    session = request.cookies.get(SESSION_COOKIE)
    if session is None:
        raise UnauthorizedError("no API key and no session; send the header Authorization: Bearer <key>")
    # What a page fetches by itself, again and again, is not its reader's doing (W3C Fetch Metadata, section 2.1).
    asked = request.headers.get("sec-fetch-dest", "document") == "document"
    return await access.resume(session, active=active and asked)


def _credentials(request: Request) -> tuple[str, str]:
    """Scheme and token of the header Authorization; no scheme where it is empty or missing: then the session counts."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return scheme, token.strip()


def _by_session(request: Request) -> bool:
    return not _credentials(request)[0] and SESSION_COOKIE in request.cookies


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
