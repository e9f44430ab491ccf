"""Many devices at once, over HTTPS: a file of rows, a token for each."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from wayside_server.api.bodies import caller, read_body, understood
from wayside_server.api.schema import MEDIA_TYPE, problems
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.moments import to_text
from wayside_server.identity.bulk import (
    COLUMNS,
    MAX_ERRORS,
    MAX_IMPORT_BYTES,
    MAX_ROWS,
    Form,
    Imported,
    ImportPlan,
    import_devices,
)
from wayside_server.identity.office import EnrolmentOffice
from wayside_server.identity.tokens import MAX_LIFE
from wayside_shared.tables import plural

DryRun = Annotated[bool, Query(description="make nothing, and say what would be")]
Partial = Annotated[bool, Query(description="make the tokens of the good rows even when others are wrong")]
Hours = Annotated[
    float | None,
    Query(
        gt=0,
        le=MAX_LIFE.total_seconds() / 3600,
        description="how long a token is good when its row does not say; `enrolment.token_hours` when missing",
    ),
]
_TEXT = {"schema": {"type": "string", "maxLength": MAX_IMPORT_BYTES}}
_BODY = {"content": {form.value: _TEXT for form in Form}, "required": True}


class ImportedDevice(BaseModel):
    """A row that is good."""

    line: int = Field(description="in the file, from 1")
    name: str | None = Field(description="null when the server will make one up")
    group: str | None
    expires_at: str = Field(description="of the token; RFC 3339, UTC")
    token: str | None = Field(description="shown here and nowhere else; null when nothing was made")


class WrongRow(BaseModel):
    """A row that is wrong."""

    line: int = Field(description="in the file, from 1")
    message: str


class ImportAnswer(BaseModel):
    """What became of the rows."""

    made: bool = Field(description="whether the tokens were made")
    devices: list[ImportedDevice]
    wrong: int = Field(description="rows that are wrong")
    errors: list[WrongRow] = Field(description=f"what is wrong with them, at most {MAX_ERRORS}")


def import_router(office: EnrolmentOffice, default_life: timedelta) -> APIRouter:
    """The route POST /api/v1/devices/import.

    Args:
        office: the services of enrolment.
        default_life: how long a token is good when neither row nor request say.
    """
    router = APIRouter(tags=["enrolment"])

    @router.post(
        "/api/v1/devices/import",
        response_model=ImportAnswer,
        responses=problems({413: "The body is too large.", 415: "The body is neither CSV nor JSON Lines."}),
        openapi_extra={"requestBody": _BODY},
        description=f"""A token for each row, all or none.

Rows are CSV with a first line of column names, or JSON Lines with an object in each: of {", ".join(COLUMNS)}, all of
them optional. At most {MAX_ROWS} rows in {MAX_IMPORT_BYTES} bytes of UTF-8. When rows are wrong and `partial` is not
asked for, nothing is made, and the answer is 422 with `errors` like those here.""",
    )
    @requires(Permission.MANAGE)
    async def import_devices_of_file(
        request: Request, dry_run: DryRun = False, partial: Partial = False, hours: Hours = None
    ) -> Response:
        life = default_life if hours is None else timedelta(hours=hours)
        plan = ImportPlan(_form(request), life, dry_run=dry_run, partial=partial)
        body = await read_body(request, MAX_IMPORT_BYTES)
        with understood():
            done = await import_devices(office.tokens, body, plan, caller(request), office.now())
        answer = _answer(done)
        if done.errors and not (done.made or dry_run):
            return _nothing_made(answer)
        return JSONResponse(answer.model_dump())

    return router


def _form(request: Request) -> Form:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return Form(given)
    except ValueError as error:
        known = " or ".join(form.value for form in Form)
        raise HTTPException(415, f"send the rows with Content-Type {known}") from error


def _answer(done: Imported) -> ImportAnswer:
    devices = [
        ImportedDevice(
            line=row.line, name=row.name, group=row.group, expires_at=to_text(row.expires_at), token=row.token
        )
        for row in done.rows
    ]
    errors = [WrongRow(line=error.line, message=error.message) for error in done.errors]
    return ImportAnswer(made=done.made, devices=devices, wrong=done.wrong, errors=errors)


def _nothing_made(answer: ImportAnswer) -> Response:
    first = answer.errors[0]
    wrong = f"{plural(answer.wrong, 'row')} {'is' if answer.wrong == 1 else 'are'} wrong"
    detail = f"nothing was made: {wrong}, the first in line {first.line}: {first.message}"
    body = {"type": "about:blank", "title": "Unprocessable Content", "status": 422, "detail": detail}
    return JSONResponse(body | {"errors": [e.model_dump() for e in answer.errors]}, 422, media_type=MEDIA_TYPE)
