"""The way in: set-up of the first account, sign-in, second factor, links, invitations, single sign-on, sign-out."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from wayside_server.console.forms import (
    Csrf,
    Next,
    NextField,
    Secret,
    Word,
    begun,
    check_form,
    ended,
    own_path,
    see,
    visitor_of,
)
from wayside_server.console.render import page
from wayside_server.domain.access import SESSION_COOKIE, Permission, Session, requires
from wayside_server.errors import ConfigError, ThrottledError, TransientError, UnauthorizedError
from wayside_server.identity.accounts import Applicant
from wayside_server.identity.desk import Desk
from wayside_server.identity.people import Invitation, Method, NameTakenError
from wayside_server.identity.sessions import CODE_LIFE

OIDC_COOKIE = "__Host-wayside-oidc"
RETRY = "too many failed attempts; try again in {} s"


def add_entrance(router: APIRouter, desk: Desk) -> None:
    """Adds its pages to `router`."""
    _add_set_up(router, desk)
    _add_sign_in(router, desk)
    _add_code(router, desk)
    _add_invitations(router, desk)
    _add_oidc(router, desk)


def throttled(request: Request, error: ThrottledError, template: str, **values: Any) -> Response:
    """The form again, which may be sent later."""
    again = page(request, template, status=429, reason=RETRY.format(error.retry_after_s), **values)
    again.headers["Retry-After"] = str(error.retry_after_s)
    return again


async def _onward(desk: Desk, session: Session, wanted: str) -> Response:
    """Where somebody goes who has just come in: to what they must do first, or where they wanted to go."""
    if session.needs_code:
        return begun(see(f"/sign-in/code?{urlencode({'next': wanted})}"), session)
    held = (await desk.sessions.resume(session.token)).held
    return begun(see("/account" if held else wanted), session)


def _add_set_up(router: APIRouter, desk: Desk) -> None:
    @router.get("/set-up")
    @requires(Permission.PUBLIC)
    async def show_set_up(request: Request, code: str = "") -> Response:
        if await desk.accounts.claimed():
            return see("/sign-in")
        return page(request, "set_up.html", reason=None, code=code[:100], name="", display_name="")

    @router.post("/set-up")
    @requires(Permission.PUBLIC)
    async def set_up(
        request: Request, code: Secret, name: Word, passphrase: Secret, display_name: Word = ""
    ) -> Response:
        filled: dict[str, Any] = {"code": code, "name": name, "display_name": display_name}
        visitor = visitor_of(request)
        try:
            who = Applicant(name, display_name, passphrase)
            person = await desk.accounts.set_up(code, desk.setup_code(), who, visitor)
        except ThrottledError as error:
            return throttled(request, error, "set_up.html", **filled)
        except (UnauthorizedError, ConfigError, NameTakenError) as error:
            status = 401 if isinstance(error, UnauthorizedError) else 422
            return page(request, "set_up.html", status=status, reason=str(error), **filled)
        desk.forget_setup_code()
        return await _onward(desk, await desk.sessions.begin(person, Method.PASSPHRASE, visitor), "/")


def _add_sign_in(router: APIRouter, desk: Desk) -> None:
    label = None if desk.oidc is None else desk.oidc.label

    @router.get("/sign-in")
    @requires(Permission.PUBLIC)
    async def show_sign_in(request: Request, next: Next = "/") -> Response:  # noqa: A002
        if not await desk.accounts.claimed():
            return see("/set-up")
        return page(request, "sign_in.html", reason=None, next=own_path(next), name="", oidc=label)

    @router.post("/sign-in")
    @requires(Permission.PUBLIC)
    async def sign_in(request: Request, name: Word, passphrase: Secret, wanted: NextField = "/") -> Response:
        if not await desk.accounts.claimed():
            return see("/set-up")
        wanted = own_path(wanted)
        filled: dict[str, Any] = {"next": wanted, "name": name, "oidc": label}
        try:
            session = await desk.sessions.sign_in(name, passphrase, visitor_of(request))
        except UnauthorizedError as error:
            return page(request, "sign_in.html", status=401, reason=str(error), **filled)
        except ThrottledError as error:
            return throttled(request, error, "sign_in.html", **filled)
        return await _onward(desk, session, wanted)

    @router.get("/login/{token}")
    @requires(Permission.PUBLIC)
    async def follow_link(request: Request, token: str) -> Response:
        try:
            session = await desk.sessions.redeem(token, visitor_of(request))
        except UnauthorizedError as error:
            return page(request, "refused.html", status=401, reason=str(error))
        held = (await desk.sessions.resume(session.token)).held
        return begun(page(request, "signed_in.html", onward="/account" if held else "/"), session)

    @router.post("/sign-out")
    @requires(Permission.SELF)
    async def sign_out(request: Request, csrf: Csrf) -> Response:
        check_form(request, csrf)
        await desk.sessions.sign_out(request.cookies.get(SESSION_COOKIE, ""))
        return ended(see("/sign-in"))


def _add_code(router: APIRouter, desk: Desk) -> None:
    @router.get("/sign-in/code")
    @requires(Permission.PUBLIC)
    async def show_code(request: Request, next: Next = "/") -> Response:  # noqa: A002
        if await desk.sessions.waiting(visitor_of(request).session) is None:
            return see("/sign-in")
        minutes = int(CODE_LIFE.total_seconds() // 60)
        return page(request, "sign_in_code.html", reason=None, next=own_path(next), minutes=minutes)

    @router.post("/sign-in/code")
    @requires(Permission.PUBLIC)
    async def confirm(request: Request, code: Secret, csrf: Csrf, wanted: NextField = "/") -> Response:
        check_form(request, csrf)
        visitor, wanted = visitor_of(request), own_path(wanted)
        filled: dict[str, Any] = {"next": wanted, "minutes": int(CODE_LIFE.total_seconds() // 60)}
        try:
            session = await desk.sessions.confirm(code, visitor)
        except ThrottledError as error:
            return throttled(request, error, "sign_in_code.html", **filled)
        except UnauthorizedError as error:
            if await desk.sessions.waiting(visitor.session) is None:
                return ended(see("/sign-in"))
            return page(request, "sign_in_code.html", status=401, reason=str(error), **filled)
        return await _onward(desk, session, wanted)


def _add_invitations(router: APIRouter, desk: Desk) -> None:
    async def form(request: Request, token: str, status: int = 200, **filled: Any) -> Response:
        try:
            invitation: Invitation = await desk.accounts.invitation(token, visitor_of(request))
        except UnauthorizedError as error:
            return page(request, "refused.html", status=401, reason=str(error))
        try:
            me = await desk.sessions.open(visitor_of(request).session)
        except UnauthorizedError:
            me = None
        values: dict[str, Any] = {"name": "", "display_name": "", "reason": None, **filled}
        return page(request, "invitation.html", status=status, invitation=invitation, me=me, token=token, **values)

    @router.get("/invitation/{token}")
    @requires(Permission.PUBLIC)
    async def show_invitation(request: Request, token: str) -> Response:
        return await form(request, token)

    @router.post("/invitation/{token}")
    @requires(Permission.PUBLIC)
    async def accept(request: Request, token: str, name: Word, passphrase: Secret, display_name: Word = "") -> Response:
        visitor = visitor_of(request)
        try:
            person = await desk.accounts.accept(token, Applicant(name, display_name, passphrase), visitor)
        except (UnauthorizedError, ConfigError, NameTakenError) as error:
            return await form(request, token, 422, name=name, display_name=display_name, reason=str(error))
        except ThrottledError as error:
            reason = RETRY.format(error.retry_after_s)
            again = await form(request, token, 429, name=name, display_name=display_name, reason=reason)
            again.headers["Retry-After"] = str(error.retry_after_s)
            return again
        return await _onward(desk, await desk.sessions.begin(person, Method.PASSPHRASE, visitor), "/")

    @router.post("/invitation/{token}/join")
    @requires(Permission.SELF)
    async def join(request: Request, token: str, csrf: Csrf) -> Response:
        check_form(request, csrf)
        visitor = visitor_of(request)
        tenant_id = await desk.accounts.join(token, await desk.sessions.open(visitor.session), visitor)
        return await _onward(desk, await desk.sessions.choose(tenant_id, visitor), "/")


def _add_oidc(router: APIRouter, desk: Desk) -> None:
    if desk.oidc is None:
        return
    oidc = desk.oidc

    @router.get("/sign-in/oidc")
    @requires(Permission.PUBLIC)
    async def begin_oidc(request: Request, next: Next = "/") -> Response:  # noqa: A002
        if not await desk.accounts.claimed():
            return see("/set-up")
        try:
            url, kept = await oidc.begin(own_path(next))
        except (TransientError, ConfigError) as error:
            return page(request, "refused.html", status=502, reason=str(error))
        answer = see(url)
        # Lax, or it would not come along when the provider sends the browser back.
        answer.set_cookie(OIDC_COOKIE, kept, max_age=600, secure=True, httponly=True, samesite="lax", path="/")
        return answer

    @router.get("/sign-in/oidc/return")
    @requires(Permission.PUBLIC)
    async def finish_oidc(request: Request) -> Response:
        kept = request.cookies.get(OIDC_COOKIE, "")
        try:
            session, wanted = await oidc.finish(kept, request.query_params, visitor_of(request))
        except UnauthorizedError as error:
            return ended(page(request, "refused.html", status=401, reason=str(error)), OIDC_COOKIE)
        except (TransientError, ConfigError) as error:
            return ended(page(request, "refused.html", status=502, reason=str(error)), OIDC_COOKIE)
        return ended(await _onward(desk, session, own_path(wanted)), OIDC_COOKIE)
