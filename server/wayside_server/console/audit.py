"""The page of the audit log."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from wayside_server.console.forms import FormRoute, people_only
from wayside_server.console.listings import LAST_ID, ROWS, Before
from wayside_server.console.render import page
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.audit import AuditQuery, AuditReading

Part = Annotated[str, Query(max_length=300)]


def audit_pages(audit: AuditReading) -> APIRouter:
    """/audit: what was done, newest first, of one actor, action or subject if that is wanted."""
    router = APIRouter(route_class=FormRoute, include_in_schema=False, dependencies=[Depends(people_only)])

    @router.get("/audit")
    @requires(Permission.ADMINISTER)
    async def show_audit(
        request: Request, actor: Part = "", action: Part = "", subject: Part = "", before: Before = LAST_ID
    ) -> Response:
        principal = request.state.principal
        tenant = None if Permission.INSTALL in principal.permissions else principal.tenant_id
        wanted = AuditQuery(tenant, before, ROWS + 1, actor or "*", action or "*", subject or "*")
        found = await audit.entries(wanted)
        shown = [(entry, json.loads(entry.detail)) for entry in found[:ROWS]]
        more = found[ROWS - 1].id if len(found) > ROWS else None
        chosen = {"actor": actor, "action": action, "subject": subject}
        return page(request, "audit.html", entries=shown, more=more, chosen=chosen)

    return router
