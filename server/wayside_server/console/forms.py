"""What the console's forms have in common: their token, the session's cookie, and from where they come."""

import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeAlias

from fastapi import Form, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from wayside_server.console.render import csrf_token
from wayside_server.domain.access import SESSION_COOKIE, Principal, Session
from wayside_server.identity.sessions import Visitor

MAX_NEXT = 2_000
Next = Annotated[str, Query(max_length=MAX_NEXT)]
"""Where to go after the sign-in."""
NextField: TypeAlias = Annotated[str, Form(alias="next", max_length=MAX_NEXT)]
Csrf: TypeAlias = Annotated[str, Form(max_length=100)]
Word: TypeAlias = Annotated[str, Form(max_length=200)]
"""A short text."""
Secret: TypeAlias = Annotated[str, Form(max_length=1_000)]
"""A passphrase or a code: longer than any that is good, so that what is pasted by mistake is told like other ones."""

FORM_TYPE = "application/x-www-form-urlencoded"


class FormRoute(APIRoute):
    """A route of the console: what it takes is a form without files, as browsers send those of the console.

    The framework would write the files of any other to disk before it is known who sends them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework's, once the type is known."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_form(request: Request) -> Response:
            # A request without a type has an empty form, whatever its body is.
            given = request.headers.get("content-type", FORM_TYPE)
            if given.partition(";")[0].strip().lower() != FORM_TYPE:
                raise HTTPException(415, f"the console takes forms as {FORM_TYPE} and nothing else")
            return await handle(request)

        return handle_form


def people_only(request: Request) -> None:
    """A dependency of every route of the console: it is for sessions. A key, which knows no form's token, gets 403."""
    if "authorization" in request.headers:
        raise HTTPException(403, "the console is for people: sign in; programs use the API below /api/v1")


def check_form(request: Request, csrf: str) -> None:
    """Refuses a form that was not made for this session, 403."""
    session = request.cookies.get(SESSION_COOKIE, "")
    if not session or not hmac.compare_digest(csrf.encode("utf-8", "replace"), csrf_token(session).encode()):
        raise HTTPException(403, "the form is out of date; reload the page and try again")


def visitor_of(request: Request) -> Visitor:
    """From where `request` comes."""
    address = request.client.host if request.client else None
    return Visitor(address, request.headers.get("user-agent"), request.cookies.get(SESSION_COOKIE, ""))


def principal_of(request: Request) -> Principal:
    """Who asks; the gate has let them through."""
    principal: Principal = request.state.principal
    return principal


def begun(answer: Response, session: Session) -> Response:
    """`answer`, with the cookie of `session`."""
    answer.set_cookie(
        SESSION_COOKIE,
        session.token,
        expires=session.expires_at,
        secure=True,
        httponly=True,
        samesite="lax",
        path="/",
    )
    return answer


def ended(answer: Response, cookie: str = SESSION_COOKIE) -> Response:
    """`answer`, without the cookie."""
    answer.delete_cookie(cookie, secure=True, httponly=True, samesite="lax")
    return answer


def see(path: str) -> Response:
    """Leads on to a page, by GET."""
    return RedirectResponse(path, 303)


def own_path(wanted: str) -> str:
    """`wanted` if it is a path here, else the first page: a link must not lead through the sign-in to another site."""
    # Browsers take a backslash for a slash, and leave out tabs and line breaks.
    strange = any(not "!" <= sign <= "~" or sign == "\\" for sign in wanted)
    return "/" if strange or not wanted.startswith("/") or wanted.startswith("//") else wanted
