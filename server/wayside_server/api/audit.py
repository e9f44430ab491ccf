"""The audit log: who did what to what, from where."""

import csv
import io
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from wayside_server.api.answers import TIME
from wayside_server.api.paging import LAST_ID, Cursor, Limit, next_link, read_place
from wayside_server.api.schema import bytes_of
from wayside_server.api.streams import ClosingStream, Slots, while_allowed
from wayside_server.domain.access import Permission, Principal, requires
from wayside_server.domain.audit import AuditQuery, AuditReading, Entry
from wayside_server.domain.cells import guarded
from wayside_server.domain.moments import parse_moment, to_text

MAX_EXPORTS = 4
"""At once, and of one tenant half of them: they read from the same few connections as the pages."""
STEP = 1_000
"""Entries that an export reads at a time."""
COLUMNS = ("id", "time", "actor", "action", "subject", "tenant_id", "address", "outcome", "detail", "hash")

_WANTED = {"max_length": 300, "description": "exactly this, or beginning with it when a * ends it"}
Wanted = Annotated[str, Query(**_WANTED)]
Moment = Annotated[str, Query(max_length=64, description="as `start` and `end` of telemetry")]


@dataclass(frozen=True, slots=True)
class _Filter:
    actor: str
    action: str
    subject: str
    start_us: int
    end_us: int

    def query(self, principal: Principal, before_id: int, limit: int) -> AuditQuery:
        everything = Permission.INSTALL in principal.permissions
        return AuditQuery(
            None if everything else _tenant(principal),
            before_id,
            limit,
            self.actor,
            self.action,
            self.subject,
            self.start_us,
            self.end_us,
        )


class AuditEntryAnswer(BaseModel):
    """One act."""

    id: int = Field(description="1, 2, 3, …: the numbers of the installation have no gaps")
    time: str = Field(description=TIME)
    actor: str = Field(description="kind and name: person:…, key:…, device:…, command line:…, system:…")
    action: str = Field(description="thing and verb")
    subject: str = Field(description="kind and name of what it was done to")
    tenant_id: int | None = Field(description="null for the installation's own")
    address: str | None = Field(description="of the actor; null on the machine itself")
    outcome: str = Field(description="done, refused or failed")
    detail: dict[str, Any]
    hash: str = Field(description="SHA-256 over the entry and all before it, in hexadecimal digits")

    @classmethod
    def of(cls, entry: Entry) -> "AuditEntryAnswer":
        """The answer for `entry`."""
        act = entry.act
        return cls(
            id=entry.id,
            time=to_text(entry.at),
            actor=act.actor,
            action=act.action,
            subject=act.subject,
            tenant_id=act.tenant_id,
            address=act.address,
            outcome=act.outcome.value,
            detail=json.loads(entry.detail),
            hash=entry.hash.hex(),
        )


class AuditPage(BaseModel):
    """Entries, the newest first."""

    entries: list[AuditEntryAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


class AuditHead(BaseModel):
    """The last entry: keep it elsewhere, and nobody can write the log anew unseen."""

    id: int
    hash: str


def audit_router(audit: AuditReading) -> APIRouter:
    """The routes below /api/v1/audit."""
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"])
    exports = Slots(MAX_EXPORTS, "audit exports")

    @router.get("")
    @requires(Permission.ADMINISTER)
    async def list_entries(
        request: Request,
        actor: Wanted = "*",
        action: Wanted = "*",
        subject: Wanted = "*",
        start: Moment = "1970-01-02T00:00:00Z",
        end: Moment = "9999-01-01T00:00:00Z",
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> AuditPage:
        """What was done in the tenant, newest first; administrators of the installation see all of it."""
        question = f"audit {actor} {action} {subject} {start} {end}"
        before_id = LAST_ID if cursor is None else int(read_place(cursor, question, int)[0])
        wanted = _filter(actor, action, subject, start, end).query(request.state.principal, before_id, limit + 1)
        found = await audit.entries(wanted)
        page = found[:limit]
        onward = next_link(request, [page[-1].id], question) if len(found) > limit else None
        return AuditPage(entries=[AuditEntryAnswer.of(entry) for entry in page], next=onward)

    @router.get("/export", response_class=StreamingResponse, responses=bytes_of("text/csv"))
    @requires(Permission.ADMINISTER)
    async def export(
        request: Request,
        actor: Wanted = "*",
        action: Wanted = "*",
        subject: Wanted = "*",
        start: Moment = "1970-01-02T00:00:00Z",
        end: Moment = "9999-01-01T00:00:00Z",
    ) -> ClosingStream:
        """The same entries as CSV, all of them."""
        wanted = _filter(actor, action, subject, start, end).query(request.state.principal, LAST_ID, STEP)
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
        give_back = exports.take(request.state.principal.tenant_id)
        pieces = while_allowed(_csv(audit, wanted), request.state.still_allowed)
        return ClosingStream(pieces, "text/csv; charset=utf-8", headers, give_back)

    @router.get("/head")
    @requires(Permission.INSTALL)
    async def head() -> AuditHead:
        """Number and hash of the last entry of the installation."""
        number, last = await audit.head()
        return AuditHead(id=number, hash=last.hex())

    return router


async def _csv(audit: AuditReading, query: AuditQuery) -> AsyncGenerator[str, None]:
    yield ",".join(COLUMNS) + "\n"
    while found := await audit.entries(query):
        page = io.StringIO()
        writer = csv.writer(page, lineterminator="\n")
        for entry in found:
            answer = AuditEntryAnswer.of(entry).model_dump() | {"detail": entry.detail}
            cells = (answer[name] for name in COLUMNS)
            writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in cells])
        yield page.getvalue()
        query = replace(query, before_id=found[-1].id)


def _filter(actor: str, action: str, subject: str, start: str, end: str) -> _Filter:
    now_us = time.time_ns() // 1000
    moments = []
    for name, text in (("start", start), ("end", end)):
        try:
            moments.append(parse_moment(text, now_us))
        except ValueError as error:
            raise HTTPException(422, f"{name}: {error}") from error
    return _Filter(actor, action, subject, *moments)


def _tenant(principal: Principal) -> int:
    if principal.tenant_id is None:
        raise HTTPException(403, "choose a tenant first")
    return principal.tenant_id
