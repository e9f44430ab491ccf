"""Pages made from templates."""

import hashlib
import hmac
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from wayside_server.console.view import (
    UNIT_SIGNS,
    ago,
    bar,
    hex_lines,
    kind_text,
    lasting,
    quality_text,
    section_of,
    sentence,
    sign_text,
    stopped,
    utc_text,
    value_text,
)
from wayside_server.domain.access import SESSION_COOKIE, Principal
from wayside_server.domain.refusals import MEANINGS

_TEMPLATES = Path(__file__).parent / "templates"
_NAVIGATION = (
    (
        ("/", "Devices", "read"),
        ("/enrol", "Enrol", "manage"),
        ("/certificates", "Certificates", "read"),
        ("/incidents", "Incidents", "read"),
        ("/refused", "Refused", "read"),
    ),
    (
        ("/people", "People", "administer"),
        ("/keys", "Keys", "administer"),
        ("/audit", "Audit", "administer"),
        ("/usage", "Usage", "read"),
    ),
    (("/docs", "API", "read"),),
)
"""Path, name and permission of each page: what is about devices, what is about the tenant, and what is for programs."""


def csrf_token(session: str) -> str:
    """What a form must send along: only a page that was made for this session knows it."""
    return hmac.new(session.encode(), b"wayside console form", hashlib.sha256).hexdigest()


def _make_environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["grouped"] = lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    environment.filters["value_text"] = value_text
    environment.filters["sign_text"] = sign_text
    environment.filters["stopped"] = stopped
    environment.filters["sentence"] = sentence
    environment.filters["utc_text"] = utc_text
    environment.globals["unit_signs"] = UNIT_SIGNS
    environment.globals["bar"] = bar
    environment.filters["hex_lines"] = hex_lines
    environment.filters["kind_text"] = kind_text
    environment.filters["quality_text"] = quality_text
    environment.tests["of_agent"] = lambda name: name.startswith("agent.")
    environment.globals["refusal_meanings"] = MEANINGS
    environment.globals["groups"] = _NAVIGATION
    return environment


_environment = _make_environment()


def page(
    request: Request, template: str, *, status: int = 200, session: str | None = None, **values: Any
) -> HTMLResponse:
    """`template` with `values`, for whoever asks.

    Args:
        request: what is answered.
        template: its file.
        status: of the answer.
        session: token of the session that the page's forms belong to, when it begins with this answer.
        values: what the template shows.
    """
    session = request.cookies.get(SESSION_COOKIE, "") if session is None else session
    now = datetime.now(UTC)
    warnings = getattr(request.app.state, "warnings", None)
    text = _environment.get_template(template).render(
        **values,
        # No route, no gate: nobody has asked who that is.
        principal=getattr(request.state, "principal", None),
        may=_may(request),
        path=request.url.path,
        section=section_of(request.url.path),
        csrf=csrf_token(session),
        now=now,
        # What is wrong with the installation as a whole, sentences without their full stop; the application knows.
        warnings=[] if warnings is None else warnings(),
        ago=lambda moment: ago(moment, now),
        lasting=lambda moment: lasting(moment, now),
    )
    return HTMLResponse(text, status)


def _may(request: Request) -> frozenset[str]:
    principal: Principal | None = getattr(request.state, "principal", None)
    return frozenset() if principal is None else frozenset(one.value for one in principal.permissions)


def error_page(request: Request, status: int, reason: str) -> HTMLResponse:
    """The page that says why a request failed; `reason` is a sentence without its full stop."""
    return page(request, "refused.html", status=status, reason=reason)
