"""Requests that nobody thought of, on the real service with a real database: answers are as documented."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from wayside_server.api.schema import DocumentedApp
from wayside_server.domain.access import SCOPES, Permission
from wayside_server.storage.database import Pool, connection
from wayside_testkit.people import Office, open_office
from wayside_testkit.telemetry import (
    add_dead_letter,
    add_device,
    add_incident,
    add_refusals,
    add_series,
    add_stream,
    at,
)
from wayside_testkit.web import serve
from wayside_testkit.whole import whole_app

EXAMPLES = 10
"""For each operation, of requests that fit the document and of those that do not: a quarter of a minute in all. Always
the same ones, as long as the document is: whoever changes it sees what that breaks, and nobody else does."""
LONGEST_URL = 65_000
"""httptools parses none beyond 65,535 bytes, and the shipped service hangs up before: the application sees neither, and
a client may find the connection reset before it has sent all."""
FEW_EXAMPLES = 3
"""Of each route for each role: what is compared is who is let in, not what with."""
LIVE = "/api/v1/devices/{device}/live"
"""Ends only when the client leaves; tests/integration/test_api.py reads it."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
load_all_checks()


@schemathesis.serializer("application/pkcs10")
def pkcs10(_context: schemathesis.SerializationContext, value: object) -> bytes:
    """A certificate request travels as text."""
    return str(value).encode("utf-8", "replace")


@dataclass(frozen=True)
class Service:
    """A running service, and a key for it."""

    url: str
    headers: dict[str, str]


ROLES: dict[str, list[Permission]] = {
    "nobody": [],
    "viewer": [Permission.READ],
    "operator": [Permission.READ, Permission.OPERATE],
    "engineer": [Permission.READ, Permission.OPERATE, Permission.MANAGE],
    "admin": [Permission.READ, Permission.OPERATE, Permission.MANAGE, Permission.ADMINISTER],
    "installation": list(SCOPES),
}


@pytest.fixture
async def office(pool: Pool, tmp_path: Path) -> Office:
    device = await add_device(pool, "boiler-7")
    await add_series(pool, device, "temperature", "Cel", [(at(i), 20.0 + i / 8) for i in range(50)])
    await add_series(pool, device, "door", "1", [(at(i), {"state": [i, None, "x"]}) for i in range(5)])
    await add_stream(pool, device, [(1, 0, 55, "stored"), (2, 55, 3, "dropped:quota")], accepted=60)
    async with connection(pool) as conn:
        await conn.execute("INSERT INTO latest SELECT id, now(), 1.5 FROM series WHERE name = 'temperature'")
    for number in range(3):
        await add_dead_letter(pool, "boiler-7", bytes(number))
        await add_incident(pool, device, f"kind {number}", "x")
        await add_refusals(pool, "api_key", at(number * 86_400), 2, "x")
    return open_office(pool, tmp_path)


@pytest.fixture
async def app(pool: Pool, database: str, office: Office) -> AsyncIterator[tuple[DocumentedApp, str]]:
    made = whole_app(pool, database, office)
    async with serve(made) as url:
        yield made, url


async def headers_of(office: Office, role: str) -> dict[str, str]:
    """What a program with the permissions of `role` sends."""
    if role == "nobody":
        return {}
    return {"Authorization": f"Bearer {await office.desk.keys.create('fuzz', scopes=ROLES[role])}"}


def fuzz(
    service: Service, document: dict[str, Any], mode: GenerationMode, examples: int = EXAMPLES
) -> dict[str, set[int]]:
    """Sends requests of `mode` to each operation and checks what comes back; the statuses seen, by operation."""
    seen: dict[str, set[int]] = {}
    with requests.Session() as session:
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = found.ok()
            if operation.path != LIVE:
                name = f"{operation.method.upper()} {operation.path}"
                seen[name] = fuzz_one(service, session, operation, mode, examples)
    return seen


def fuzz_one(
    service: Service, session: requests.Session, operation: Any, mode: GenerationMode, examples: int
) -> set[int]:
    """The statuses seen of one operation."""
    statuses: set[int] = set()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def send(case: schemathesis.Case, known: bool) -> None:
        if known and "device" in (case.path_parameters or {}):
            case.path_parameters["device"] = "boiler-7"
        sent = case.as_transport_kwargs(base_url=service.url)
        if len(str(requests.Request(sent["method"], sent["url"], params=sent["params"]).prepare().url)) >= LONGEST_URL:
            return
        response = case.call(base_url=service.url, session=session, headers=service.headers, timeout=10)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    with suppress(Unsatisfiable):
        # Without parameters there is nothing to do wrong.
        send()
    return statuses


@pytest.mark.parametrize("mode", list(GenerationMode))
async def test_every_answer_is_as_documented(
    app: tuple[DocumentedApp, str], office: Office, mode: GenerationMode
) -> None:
    made, url = app
    document = made.openapi()
    service = Service(url, await headers_of(office, "installation"))
    seen = await asyncio.to_thread(fuzz, service, document, mode)
    assert len(seen) == sum(len(methods) for methods in document["paths"].values()) - 1
    answered = {operation for operation, statuses in seen.items() if 200 in statuses}
    if mode is GenerationMode.NEGATIVE:
        assert len([statuses for statuses in seen.values() if statuses]) > 12
    else:
        assert all(seen.values())
        assert {"GET /api/v1/devices", "GET /api/v1/refusals", "GET /api/v1/devices/{device}/account"} <= answered


@pytest.mark.parametrize("role", ["nobody", "viewer", "operator", "engineer", "admin"])
async def test_row_16_no_request_gets_anybody_past_their_role(
    app: tuple[DocumentedApp, str], office: Office, role: str
) -> None:
    """Whatever is sent, who may not use a route is refused, and the server does not fail at it."""
    made, url = app
    service = Service(url, await headers_of(office, role))
    seen = await asyncio.to_thread(fuzz, service, made.openapi(), GenerationMode.POSITIVE, FEW_EXAMPLES)
    may = {Permission.PUBLIC, Permission.SELF, *ROLES[role]}
    for method, path, permission in made.declared:
        statuses = seen.get(f"{method} {path}", set())
        if permission is Permission.PUBLIC or (permission in may and role != "nobody"):
            assert max(statuses, default=200) < 500, (method, path)
        else:
            assert statuses <= {401, 403}, (method, path, statuses)
