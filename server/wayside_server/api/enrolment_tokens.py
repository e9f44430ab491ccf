"""Enrolment tokens, over HTTPS: made, listed, revoked."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from wayside_server.api.bodies import caller, understood
from wayside_server.api.paging import Cursor, Limit, next_link, read_place
from wayside_server.api.schema import problems
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.moments import to_text
from wayside_server.identity.names import GROUP_PATTERN, PREFIX_PATTERN
from wayside_server.identity.office import EnrolmentOffice
from wayside_server.identity.tokens import MAX_LABEL, MAX_LIFE, MAX_USES, TokenOrder, TokenRecord
from wayside_shared.identifiers import DEVICE_ID_PATTERN

LAST_TOKEN = (1 << 31) - 1
"""Numbers of tokens are integers of PostgreSQL."""
MAX_HOURS = MAX_LIFE.total_seconds() / 3600
TIME = "RFC 3339, UTC"


class TokenRequest(BaseModel):
    """What a token is to be good for."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(
        default=None, description="the device's name; for one device only", pattern=DEVICE_ID_PATTERN
    )
    prefix: str | None = Field(
        default=None,
        description=f"devices are named this and a number; with the hyphen at its end it matches `{PREFIX_PATTERN}`."
        " Without name and prefix the server makes names up",
        max_length=57,
    )
    group: str | None = Field(default=None, description="of the devices; made when missing", pattern=GROUP_PATTERN)
    uses: int = Field(default=1, description="how many devices", ge=1, le=MAX_USES)
    hours: float | None = Field(
        default=None, description="how long it is good; null for `enrolment.token_hours`", gt=0, le=MAX_HOURS
    )
    label: str = Field(default="", description="what people call it", max_length=MAX_LABEL)
    replace: bool = Field(
        default=False, description="whether the name may be an enrolled device's, whose board is then locked out"
    )


class TokenAnswer(BaseModel):
    """A token, without its secret, which nobody knows any more."""

    id: int
    state: str = Field(description="good, used, expired or revoked")
    name: str | None
    prefix: str | None
    group: str | None
    uses: int = Field(description="devices that it has let in")
    max_uses: int = Field(description="devices that it may let in")
    label: str
    created_by: str
    created_at: str = Field(description=TIME)
    expires_at: str = Field(description=TIME)
    revoked_at: str | None = Field(description=TIME)


class NewTokenAnswer(BaseModel):
    """A new token; it is shown here and nowhere else."""

    token: str
    expires_at: str = Field(description=TIME)
    install: str = Field(description="what to type on a device to install the agent and enrol it")


class TokenPage(BaseModel):
    """Tokens, the latest first."""

    tokens: list[TokenAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


def tokens_router(office: EnrolmentOffice, *, install_line: Callable[[str], str], default_life: timedelta) -> APIRouter:
    """The routes below /api/v1/enrolment-tokens.

    Args:
        office: the services of enrolment.
        install_line: what to type on a device to install the agent and enrol it with a token.
        default_life: how long a token is good when nothing else is asked for.
    """
    router = APIRouter(prefix="/api/v1/enrolment-tokens", tags=["enrolment"])

    @router.get("")
    @requires(Permission.MANAGE)
    async def list_enrolment_tokens(request: Request, limit: Limit = 100, cursor: Cursor = None) -> TokenPage:
        """Enrolment tokens, the latest first."""
        question = "enrolment-tokens"
        before_id = LAST_TOKEN if cursor is None else int(read_place(cursor, question, int)[0])
        found = await office.tokens.listed(caller(request), before_id=before_id, limit=limit + 1)
        page = found[:limit]
        onward = next_link(request, [page[-1].token_id], question) if len(found) > limit else None
        now = office.now()
        return TokenPage(tokens=[_answer(record, record.state(now)) for record in page], next=onward)

    @router.post("", status_code=201)
    @requires(Permission.MANAGE)
    async def create_enrolment_token(request: Request, order: TokenRequest) -> NewTokenAnswer:
        """A new enrolment token. Whoever has it lets devices in: send it by a way that others cannot read."""
        life = default_life if order.hours is None else timedelta(hours=order.hours)
        with understood():
            token = await office.tokens.create(
                TokenOrder(life, order.name, order.prefix, order.group, order.uses, order.label, order.replace),
                caller(request),
            )
        expires_at = to_text(office.now() + life)
        return NewTokenAnswer(token=str(token), expires_at=expires_at, install=install_line(str(token)))

    @router.delete("/{token}", status_code=204, responses=problems({404: "There is no such token."}))
    @requires(Permission.MANAGE)
    async def revoke_enrolment_token(
        request: Request, token: Annotated[int, Path(ge=0, le=LAST_TOKEN, description="`id` in the listing")]
    ) -> None:
        """Ends an enrolment token; the devices that it let in stay."""
        await office.tokens.revoke(token, caller(request))

    return router


def _answer(record: TokenRecord, state: str) -> TokenAnswer:
    return TokenAnswer(
        id=record.token_id,
        state=state,
        name=record.name,
        prefix=record.prefix,
        group=record.group,
        uses=record.uses,
        max_uses=record.max_uses,
        label=record.label,
        created_by=record.created_by,
        created_at=to_text(record.created_at),
        expires_at=to_text(record.expires_at),
        revoked_at=None if record.revoked_at is None else to_text(record.revoked_at),
    )
