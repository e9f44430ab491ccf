"""The page Account: passphrase, second factor, sessions and the tenant to act in, each person's own."""

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Form, HTTPException, Request, Response

from wayside_server.console.entrance import RETRY
from wayside_server.console.forms import Csrf, Secret, begun, check_form, ended, see, visitor_of
from wayside_server.console.render import page
from wayside_server.domain.access import Permission, requires
from wayside_server.errors import ConfigError, NotFoundError, ThrottledError, UnauthorizedError
from wayside_server.identity.desk import Desk
from wayside_server.identity.people import Method, OpenSession
from wayside_server.identity.second_factor import address, picture

OldSecret: TypeAlias = Annotated[str, Form(max_length=1_000)]
"""Empty from who has none yet, or came in by a link."""


def add_account(router: APIRouter, desk: Desk) -> None:
    """Adds it to `router`."""
    shown = _Account(desk)

    @router.get("/account")
    @requires(Permission.SELF)
    async def show_account(request: Request) -> Response:
        return await shown.page(request)

    @router.post("/account/passphrase")
    @requires(Permission.SELF)
    async def change_passphrase(
        request: Request, csrf: Csrf, new: Secret, old: Annotated[str, Form()] = ""
    ) -> Response:
        check_form(request, csrf)
        visitor = visitor_of(request)
        try:
            await desk.accounts.change_passphrase(await shown.session(request), old, new, visitor)
        except (UnauthorizedError, ConfigError, ThrottledError) as error:
            return await shown.again(request, error)
        return begun(see("/account"), await desk.sessions.renew(visitor))

    @router.post("/account/tenant")
    @requires(Permission.SELF)
    async def choose_tenant(request: Request, csrf: Csrf, tenant: Annotated[int, Form(ge=1)]) -> Response:
        check_form(request, csrf)
        try:
            session = await desk.sessions.choose(tenant, visitor_of(request))
        except NotFoundError as error:
            return await shown.again(request, error)
        return begun(see("/account"), session)

    _add_second_factor(router, desk, shown)
    _add_sessions(router, desk, shown)


def _add_second_factor(router: APIRouter, desk: Desk, shown: "_Account") -> None:
    @router.get("/account/second-factor")
    @requires(Permission.SELF)
    async def show_second_factor(request: Request) -> Response:
        session = await shown.session(request)
        if session.second_factor:
            return see("/account")
        _, sealed = desk.factor.offer(session)
        return await shown.offer(request, session, sealed)

    @router.post("/account/second-factor")
    @requires(Permission.SELF)
    async def take_second_factor(
        request: Request, csrf: Csrf, sealed: Secret, code: Secret, passphrase: OldSecret = ""
    ) -> Response:
        check_form(request, csrf)
        session, visitor = await shown.session(request), visitor_of(request)
        try:
            await desk.accounts.prove(session, passphrase, visitor)
            codes = await desk.factor.take(session, sealed, code, visitor)
        except UnauthorizedError as error:
            return await shown.offer(request, session, sealed, str(error))
        except (ConfigError, ThrottledError) as error:
            return await shown.again(request, error)
        renewed = await desk.sessions.renew(visitor)
        return begun(page(request, "recovery_codes.html", session=renewed.token, codes=codes), renewed)

    @router.post("/account/second-factor/remove")
    @requires(Permission.SELF)
    async def drop_second_factor(request: Request, csrf: Csrf, code: Secret) -> Response:
        check_form(request, csrf)
        session, visitor = await shown.session(request), visitor_of(request)
        try:
            await desk.sessions.prove(code, visitor)
        except (UnauthorizedError, ThrottledError) as error:
            return await shown.again(request, error)
        await desk.factor.drop(session, visitor)
        return begun(see("/account"), await desk.sessions.renew(visitor))


def _add_sessions(router: APIRouter, desk: Desk, shown: "_Account") -> None:
    @router.post("/account/sessions/{number}/end")
    @requires(Permission.SELF)
    async def end_session(request: Request, number: int, csrf: Csrf) -> Response:
        check_form(request, csrf)
        await shown.session(request)
        await desk.sessions.end(number, visitor_of(request))
        return see("/account")

    @router.post("/account/sign-out-everywhere")
    @requires(Permission.SELF)
    async def sign_out_everywhere(request: Request, csrf: Csrf) -> Response:
        check_form(request, csrf)
        await shown.session(request)
        await desk.sessions.sign_out_everywhere(visitor_of(request))
        return ended(see("/sign-in"))


class _Account:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def session(self, request: Request) -> OpenSession:
        """The session of who asks; 403 for a key, which has no account."""
        if "authorization" in request.headers:
            raise HTTPException(403, "an API key has no account; sign in to the console as a person")
        return await self._desk.sessions.open(visitor_of(request).session)

    async def page(self, request: Request, status: int = 200, reason: str | None = None) -> Response:
        desk, session = self._desk, await self.session(request)
        person = await desk.accounts.person(session.name)
        return page(
            request,
            "account.html",
            status=status,
            reason=reason,
            me=session,
            person=person,
            ask_old=person.passphrase_hash is not None and session.method is not Method.LINK,
            sessions=await desk.sessions.list(session),
            places=await desk.sessions.places(session),
            recovery_left=await desk.factor.recovery_left(session),
        )

    async def again(self, request: Request, error: Exception) -> Response:
        """The page, with why it did not work."""
        if not isinstance(error, ThrottledError):
            return await self.page(request, 422, str(error))
        answer = await self.page(request, 429, RETRY.format(error.retry_after_s))
        answer.headers["Retry-After"] = str(error.retry_after_s)
        return answer

    async def offer(self, request: Request, session: OpenSession, sealed: str, reason: str | None = None) -> Response:
        """The picture for an authenticator, and the form for its first code."""
        secret = self._desk.factor.offered(session, sealed)
        text = address(secret, session.name, self._desk.host)
        ask = (await self._desk.accounts.person(session.name)).passphrase_hash is not None
        values: dict[str, Any] = {"sealed": sealed, "picture": picture(text), "address": text, "ask": ask}
        return page(request, "second_factor.html", status=422 if reason else 200, reason=reason, **values)
