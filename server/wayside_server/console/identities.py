"""Certificates by their end, who a device is, and its revocation."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from wayside_server.console.forms import Csrf, FormRoute, check_form, people_only
from wayside_server.console.render import page
from wayside_server.domain.access import Permission, Principal, requires
from wayside_server.domain.certificates import Certificate, Certificates
from wayside_server.domain.cursor import CursorError, decode_cursor, encode_cursor
from wayside_server.domain.moments import from_us, to_us
from wayside_server.errors import ConfigError
from wayside_server.identity.crl import Reason
from wayside_server.identity.revocation import Revocations

ROWS = 50
QUESTION = "certificates page"
REASONS = (
    (Reason.UNSPECIFIED, "No particular reason"),
    (Reason.KEY_COMPROMISE, "Its key may be known to others: it was lost, stolen or copied"),
    (Reason.CESSATION, "It is out of use"),
    (Reason.HOLD, "For the time being: its certificates are good again when it is restored"),
)


def identities_router(certificates: Certificates, revocations: Revocations) -> APIRouter:
    """The page of certificates, the part of a device's page about its identity, and what changes it."""
    router = APIRouter(
        route_class=FormRoute,
        include_in_schema=False,
        default_response_class=HTMLResponse,
        dependencies=[Depends(people_only)],
    )
    _add_certificates(router, certificates)
    _add_changes(router, certificates, revocations)
    return router


def _add_certificates(router: APIRouter, certificates: Certificates) -> None:
    @router.get("/certificates")
    @requires(Permission.READ)
    async def show_certificates(request: Request, after: Annotated[str, Query(max_length=512)] = "") -> Response:
        place = _place(after) if after else None
        found = await certificates.certificates(_principal(request).tenant_id, after=place, limit=ROWS + 1)
        shown, last = found[:ROWS], found[ROWS - 1] if len(found) > ROWS else None
        more = None if last is None else encode_cursor([to_us(last.not_after), last.device_id], QUESTION)
        now = datetime.now(UTC)
        rows = [(one, _percent(one, now), one.standing(now).value) for one in shown]
        return page(request, "certificates.html", rows=rows, more=more)

    @router.get("/devices/{name}/identity")
    @requires(Permission.READ)
    async def show_identity(request: Request, name: str) -> Response:
        principal, now = _principal(request), datetime.now(UTC)
        identity = await certificates.identity(principal.tenant_id, name)
        certificate = identity.certificate
        return page(
            request,
            "device_identity.html",
            identity=identity,
            certificate=certificate,
            percent=0 if certificate is None else _percent(certificate, now),
            standing="" if certificate is None else certificate.standing(now).value,
            may_manage=Permission.MANAGE in principal.permissions,
        )


def _add_changes(router: APIRouter, certificates: Certificates, revocations: Revocations) -> None:
    @router.get("/devices/{name}/revoke")
    @requires(Permission.MANAGE)
    async def ask_to_revoke(request: Request, name: str) -> Response:
        identity = await certificates.identity(_principal(request).tenant_id, name)
        reasons = [(reason.value, meaning) for reason, meaning in REASONS]
        return page(request, "device_revoke.html", name=identity.device, reasons=reasons)

    @router.post("/devices/{name}/revoke")
    @requires(Permission.MANAGE)
    async def revoke(request: Request, name: str, csrf: Csrf, reason: Annotated[Reason, Form()]) -> Response:
        check_form(request, csrf)
        await revocations.revoke(name, _principal(request), reason, _address(request))
        return RedirectResponse(f"/devices/{name}", 303)

    @router.get("/devices/{name}/restore")
    @requires(Permission.MANAGE)
    async def ask_to_restore(request: Request, name: str) -> Response:
        identity = await certificates.identity(_principal(request).tenant_id, name)
        return page(request, "device_restore.html", name=identity.device)

    @router.post("/devices/{name}/restore")
    @requires(Permission.MANAGE)
    async def restore(request: Request, name: str, csrf: Csrf) -> Response:
        check_form(request, csrf)
        try:
            await revocations.restore(name, _principal(request), _address(request))
        except ConfigError as error:
            return page(request, "refused.html", status=422, reason=str(error))
        return RedirectResponse(f"/devices/{name}", 303)


def _principal(request: Request) -> Principal:
    principal = request.state.principal
    assert isinstance(principal, Principal), "the gate has established who asks"
    return principal


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None


def _percent(certificate: Certificate, now: datetime) -> int:
    return round(100 * certificate.life_used(now))


def _place(after: str) -> tuple[datetime, int]:
    try:
        end_us, number = decode_cursor(after, QUESTION, int, int)
        return from_us(int(end_us)), int(number)
    except (CursorError, OverflowError) as error:
        raise HTTPException(400, "after: leads nowhere; open the page Certificates again") from error
