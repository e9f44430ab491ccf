"""Devices that wait for somebody's consent, over HTTPS: listed, claimed, approved, refused."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from wayside_server.api.bodies import caller, understood
from wayside_server.api.paging import LAST_ID, Cursor, Limit, next_link, read_place
from wayside_server.api.schema import problems
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.moments import to_text
from wayside_server.identity.names import GROUP_PATTERN
from wayside_server.identity.office import EnrolmentOffice
from wayside_server.identity.waiting import Entry
from wayside_shared.identifiers import DEVICE_ID_PATTERN

TIME = "RFC 3339, UTC"
Number = Annotated[int, Path(ge=0, le=LAST_ID, description="`id` in the listing")]


class PendingAnswer(BaseModel):
    """A device that waits."""

    id: int
    kind: str = Field(description="new: claim it by its code; renewal: approve it")
    code_begins: str = Field(description="the first letters of the code that the device shows")
    device: str | None = Field(description="with renewal: whose certificate has ended")
    address: str = Field(description="where it asked from last")
    first_seen: str = Field(description=TIME)
    last_seen: str = Field(description=TIME)
    expires_at: str = Field(description=TIME)


class PendingList(BaseModel):
    """What waits, the latest first."""

    pending: list[PendingAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


class ClaimRequest(BaseModel):
    """The code that a device shows, and what the device is to be."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(description="case, spaces and hyphens do not matter", max_length=40)
    group: str | None = Field(default=None, description="of the device; made when missing", pattern=GROUP_PATTERN)
    name: str | None = Field(
        default=None, description="the device's name; the server makes one up when null", pattern=DEVICE_ID_PATTERN
    )
    replace: bool = Field(
        default=False, description="whether the name may be an enrolled device's, whose board is then locked out"
    )


class LetIn(BaseModel):
    """A device that will get its certificate when it asks again."""

    device: str


def pending_router(office: EnrolmentOffice) -> APIRouter:
    """The routes below /api/v1/enrolments."""
    router = APIRouter(prefix="/api/v1/enrolments", tags=["enrolment"])

    @router.get("/pending")
    @requires(Permission.MANAGE)
    async def list_pending_enrolments(request: Request, limit: Limit = 100, cursor: Cursor = None) -> PendingList:
        """Devices that wait, the latest first. Which are new is listed if there is one tenant only; all may claim."""
        question = "pending-enrolments"
        before_id = LAST_ID if cursor is None else int(read_place(cursor, question, int)[0])
        found = await office.claims.listed(caller(request), before_id=before_id, limit=limit + 1)
        page = found[:limit]
        onward = next_link(request, [page[-1].entry_id], question) if len(found) > limit else None
        return PendingList(pending=[_answer(entry) for entry in page], next=onward)

    @router.post("/claims", responses=problems({404: "No device that waits shows this code."}))
    @requires(Permission.MANAGE)
    async def claim_device(request: Request, claim: ClaimRequest) -> LetIn:
        """Lets the device that shows the code into the tenant."""
        with understood():
            wanted = claim.code, claim.group, claim.name
            return LetIn(device=await office.claim(*wanted, caller(request), replace=claim.replace))

    @router.post("/{number}/approve", responses=problems({404: "Nothing of that number waits here."}))
    @requires(Permission.MANAGE)
    async def approve_renewal(request: Request, number: Number) -> LetIn:
        """Lets a known device whose certificate has ended have a new one."""
        with understood():
            return LetIn(device=await office.claims.approve(number, caller(request)))

    @router.post("/{number}/refuse", status_code=204, responses=problems({404: "Nothing of that number waits here."}))
    @requires(Permission.MANAGE)
    async def refuse_pending(request: Request, number: Number) -> None:
        """Refuses a device that waits; it is told so."""
        await office.claims.refuse(number, caller(request))

    return router


def _answer(entry: Entry) -> PendingAnswer:
    return PendingAnswer(
        id=entry.entry_id,
        kind=entry.kind.value,
        code_begins=entry.code_begins,
        device=entry.device,
        address=entry.address,
        first_seen=to_text(entry.first_seen),
        last_seen=to_text(entry.last_seen),
        expires_at=to_text(entry.expires_at),
    )
