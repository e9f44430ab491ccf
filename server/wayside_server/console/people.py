"""The page People: who belongs to the tenant, as what, and who is invited."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Form, HTTPException, Request, Response

from wayside_server.console.forms import Csrf, Word, check_form, principal_of, see, visitor_of
from wayside_server.console.render import page
from wayside_server.domain.access import Permission, Role, requires
from wayside_server.errors import ConfigError, NotFoundError
from wayside_server.identity.desk import Desk

Shown: TypeAlias = Callable[..., Awaitable[Response]]
RoleName: TypeAlias = Annotated[str, Form(pattern="^(viewer|operator|engineer|admin)$")]


def add_people(router: APIRouter, desk: Desk) -> None:
    """Adds it to `router`."""

    async def shown(request: Request, status: int = 200, **values: Any) -> Response:
        tenant_id = principal_of(request).tenant_id
        if tenant_id is None:
            raise HTTPException(403, "choose a tenant first, on the page Account")
        return page(
            request,
            "people.html",
            status=status,
            members=await desk.accounts.members(tenant_id),
            invitations=await desk.accounts.invitations(tenant_id),
            require_second_factor=await desk.accounts.required_second_factor(tenant_id),
            roles=list(Role),
            **{"reason": None, "link": None, **values},
        )

    @router.get("/people")
    @requires(Permission.ADMINISTER)
    async def show_people(request: Request) -> Response:
        return await shown(request)

    @router.post("/people/invitations")
    @requires(Permission.ADMINISTER)
    async def invite(request: Request, csrf: Csrf, role: RoleName, label: Word) -> Response:
        check_form(request, csrf)
        try:
            token = await desk.accounts.invite(principal_of(request), Role[role.upper()], label, visitor_of(request))
        except ConfigError as error:
            return await shown(request, 422, reason=str(error))
        return await shown(request, 201, link=f"{desk.base}/invitation/{token}")

    @router.post("/people/invitations/{number}/withdraw")
    @requires(Permission.ADMINISTER)
    async def withdraw(request: Request, number: int, csrf: Csrf) -> Response:
        check_form(request, csrf)
        await desk.accounts.withdraw(principal_of(request), number, visitor_of(request))
        return see("/people")

    _add_changes(router, desk, shown)


def _add_changes(router: APIRouter, desk: Desk, shown: Shown) -> None:
    @router.post("/people/second-factor")
    @requires(Permission.ADMINISTER)
    async def require_second_factor(request: Request, csrf: Csrf, wanted: Annotated[bool, Form()]) -> Response:
        check_form(request, csrf)
        visitor = visitor_of(request)
        await desk.accounts.require_second_factor(principal_of(request), wanted=wanted, visitor=visitor)
        return see("/people")

    @router.post("/people/members/{name}")
    @requires(Permission.ADMINISTER)
    async def change(
        request: Request,
        name: str,
        csrf: Csrf,
        act: Annotated[str, Form(pattern="^(viewer|operator|engineer|admin|remove|disable|enable)$")],
    ) -> Response:
        check_form(request, csrf)
        by, visitor = principal_of(request), visitor_of(request)
        try:
            if act in ("disable", "enable"):
                await desk.accounts.set_member_disabled(by, name, visitor, disabled=act == "disable")
            else:
                role = None if act == "remove" else Role[act.upper()]
                await desk.accounts.set_role(by, name, role, visitor)
        except (ConfigError, NotFoundError) as error:
            return await shown(request, 422, reason=str(error))
        return see("/people")
