"""The page Enrol: tokens, and devices that wait to be let in."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from wayside_server.console.forms import Csrf, FormRoute, check_form, people_only
from wayside_server.console.render import page
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.caller import Caller, caller_of
from wayside_server.errors import ConfigError, NotFoundError
from wayside_server.identity.claims import GIVE_LIFE
from wayside_server.identity.office import EnrolmentOffice
from wayside_server.identity.tokens import MAX_LABEL, TokenOrder

TOKENS = 50
WAITING = 100
LAST_TOKEN = (1 << 31) - 1
LIVES = {"1": "an hour", "24": "a day", "168": "a week", "720": "30 days"}
IMPORT = "import_devices_of_file_api_v1_devices_import_post"
"""The operation that takes a file of devices, as the page API has it in its address."""
NO_CLAIM: Mapping[str, str] = MappingProxyType({"code": "", "name": "", "group": ""})
NO_ORDER: Mapping[str, str] = MappingProxyType({"uses": "1", "name": "", "group": "", "label": "", "hours": "24"})
"""What the two forms hold at first."""

Text = Annotated[str, Form(max_length=MAX_LABEL)]
Ticked = Annotated[str, Form(max_length=3)]
"""What a checkbox sends; nothing when it is not ticked."""
Number = Annotated[int, Path(ge=0, le=LAST_TOKEN)]


def enrolling_router(office: EnrolmentOffice, install_line: Callable[[str], str]) -> APIRouter:
    """The page, and what its forms do.

    Args:
        office: the services of enrolment.
        install_line: what to type on a device to install the agent and enrol it with a token.
    """
    router = APIRouter(
        route_class=FormRoute,
        include_in_schema=False,
        default_response_class=HTMLResponse,
        dependencies=[Depends(people_only)],
    )
    desk = _Desk(office, install_line)
    _add_tokens(router, desk)
    _add_waiting(router, desk)
    return router


class _Desk:
    """Shows the page, and does what its forms ask for."""

    def __init__(self, office: EnrolmentOffice, install_line: Callable[[str], str]) -> None:
        self.office = office
        self.install_line = install_line

    async def show(self, request: Request, *, before: int = LAST_TOKEN, made: str = "", **values: Any) -> Response:
        """The page; `values` are `reason`, `said`, and what was typed into `claim` or `order`."""
        office, caller = self.office, _caller(request)
        tokens = await office.tokens.listed(caller, before_id=before, limit=TOKENS + 1)
        waiting = await office.claims.listed(caller, limit=WAITING + 1)
        now = office.now()
        return page(
            request,
            "enrol.html",
            status=422 if values.get("reason") else 200,
            tokens=[(token, token.state(now)) for token in tokens[:TOKENS]],
            more=tokens[TOKENS - 1].token_id if len(tokens) > TOKENS else None,
            waiting=waiting[:WAITING],
            more_wait=len(waiting) > WAITING,
            lists_new=await office.claims.lists_unclaimed(caller),
            refused_days=GIVE_LIFE.days,
            lives=LIVES,
            import_id=IMPORT,
            made=made,
            install=self.install_line(made),
            **{"reason": "", "said": "", "claim": NO_CLAIM, "order": NO_ORDER, **values},
        )

    async def attempt(
        self,
        request: Request,
        csrf: str,
        act: Callable[[Caller], Awaitable[str | None]],
        claim: Mapping[str, str] = NO_CLAIM,
    ) -> Response:
        """What a form asks for; `act` gives the name of a device that is let in, `claim` stays in its form."""
        check_form(request, csrf)
        try:
            did = await act(_caller(request))
        except (ConfigError, NotFoundError) as error:
            return await self.show(request, reason=str(error), claim=claim)
        return RedirectResponse(f"/enrol?did={did}" if did else "/enrol", 303)


def _add_tokens(router: APIRouter, desk: _Desk) -> None:
    @router.get("/enrol")
    @requires(Permission.MANAGE)
    async def show_enrol(
        request: Request,
        before: Annotated[int, Query(ge=0, le=LAST_TOKEN)] = LAST_TOKEN,
        did: Annotated[str, Query(pattern="^[a-z0-9-]{0,63}$")] = "",
    ) -> Response:
        return await desk.show(request, before=before, said=did)

    @router.post("/enrol/tokens")
    @requires(Permission.MANAGE)
    async def make_token(
        request: Request,
        csrf: Csrf,
        hours: Annotated[int, Form(ge=1, le=720)],
        uses: Annotated[str, Form(max_length=5)] = "1",
        name: Text = "",
        group: Text = "",
        label: Text = "",
        replace: Ticked = "",
    ) -> Response:
        check_form(request, csrf)
        try:
            wanted = dataclasses.replace(_order(name, group, label, uses, hours), replace=bool(replace))
            token = await desk.office.tokens.create(wanted, _caller(request))
        except ConfigError as error:
            order = {"uses": uses, "name": name, "group": group, "label": label, "hours": str(hours)}
            return await desk.show(request, reason=str(error), order=order)
        # Shown in the answer to the form and never again, so it is in no address and no history.
        return await desk.show(request, made=str(token))

    @router.post("/enrol/tokens/{number}/revoke")
    @requires(Permission.MANAGE)
    async def revoke_token(request: Request, number: Number, csrf: Csrf) -> Response:
        return await desk.attempt(request, csrf, lambda caller: desk.office.tokens.revoke(number, caller))


def _add_waiting(router: APIRouter, desk: _Desk) -> None:
    @router.post("/enrol/claims")
    @requires(Permission.MANAGE)
    async def claim(
        request: Request, csrf: Csrf, code: Text, group: Text = "", name: Text = "", replace: Ticked = ""
    ) -> Response:
        wanted = group.strip() or None, name.strip() or None
        typed, ticked = {"code": code, "name": name, "group": group}, bool(replace)
        return await desk.attempt(
            request, csrf, lambda caller: desk.office.claim(code, *wanted, caller, replace=ticked), claim=typed
        )

    @router.post("/enrol/waiting/{number}/approve")
    @requires(Permission.MANAGE)
    async def approve(request: Request, number: Number, csrf: Csrf) -> Response:
        return await desk.attempt(request, csrf, lambda caller: desk.office.claims.approve(number, caller))

    @router.post("/enrol/waiting/{number}/refuse")
    @requires(Permission.MANAGE)
    async def refuse(request: Request, number: Number, csrf: Csrf) -> Response:
        return await desk.attempt(request, csrf, lambda caller: desk.office.claims.refuse(number, caller))


def _order(name: str, group: str, label: str, uses: str, hours: int) -> TokenOrder:
    """What the form asks for: a name is one device's, or what many devices' names begin with.

    Raises:
        ConfigError: the number of devices is none.
    """
    if not uses.isascii() or not uses.isdigit():
        raise ConfigError("write how many devices as a number")
    count, name = int(uses), name.strip()
    one = count == 1 and not name.endswith("-")
    return TokenOrder(
        life=timedelta(hours=hours),
        name=name or None if one else None,
        prefix=None if one else name or None,
        group=group.strip() or None,
        uses=count,
        label=label.strip(),
    )


def _caller(request: Request) -> Caller:
    return caller_of(request.state.principal, request.client.host if request.client else None)
