"""The page Keys: the API keys of the tenant."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response

from wayside_server.console.forms import Csrf, Word, check_form, principal_of, see, visitor_of
from wayside_server.console.render import page
from wayside_server.domain.access import SCOPES, Permission, requires
from wayside_server.errors import ConfigError
from wayside_server.identity.desk import Desk
from wayside_server.identity.keys import KEY_LIFE, MAX_KEY_LIFE, scopes_of

MEANINGS: Mapping[Permission, str] = MappingProxyType(
    {
        Permission.READ: "devices, telemetry, incidents, refusals and certificates",
        Permission.OPERATE: "act on devices; no route asks for it yet",
        Permission.MANAGE: "make enrolment tokens, let devices in, revoke and restore them",
        Permission.ADMINISTER: "the audit log, and making and revoking keys",
        Permission.METRICS: "the server's own figures at /metrics",
        Permission.INSTALL: "make tenants, and see those of the whole installation",
    }
)
"""What each scope opens."""


def add_keys(router: APIRouter, desk: Desk) -> None:
    """Adds it to `router`."""

    async def shown(request: Request, status: int = 200, **values: Any) -> Response:
        principal = principal_of(request)
        if principal.tenant_id is None:
            raise HTTPException(403, "choose a tenant first, on the page Account")
        return page(
            request,
            "keys.html",
            status=status,
            keys=await desk.keys.list(principal.tenant_id),
            scopes=[(scope.value, MEANINGS[scope]) for scope in SCOPES if scope in principal.permissions],
            days=KEY_LIFE.days,
            most_days=MAX_KEY_LIFE.days,
            **{"reason": None, "made": None, "label": "", "chosen": [Permission.READ.value], **values},
        )

    @router.get("/keys")
    @requires(Permission.ADMINISTER)
    async def show_keys(request: Request) -> Response:
        return await shown(request)

    @router.post("/keys")
    @requires(Permission.ADMINISTER)
    async def create_key(
        request: Request,
        csrf: Csrf,
        label: Word,
        days: Annotated[int, Form(ge=1, le=MAX_KEY_LIFE.days)] = KEY_LIFE.days,
        scope: Annotated[list[str], Form()] = [],  # noqa: B006
    ) -> Response:
        check_form(request, csrf)
        try:
            scopes = scopes_of(scope)
            made, _ = await desk.keys.create_for(
                principal_of(request), label, timedelta(days=days), scopes, visitor_of(request).address
            )
        except ConfigError as error:
            return await shown(request, 422, reason=str(error), label=label, chosen=scope)
        return await shown(request, 201, made=made)

    @router.post("/keys/{prefix}/revoke")
    @requires(Permission.ADMINISTER)
    async def revoke_key(request: Request, prefix: str, csrf: Csrf) -> Response:
        check_form(request, csrf)
        by = principal_of(request)
        await desk.keys.revoke(prefix, tenant_id=by.tenant_id, actor=by.actor, address=visitor_of(request).address)
        return see("/keys")
