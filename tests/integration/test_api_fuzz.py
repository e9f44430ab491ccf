"""Requests that nobody thought of, on the real service with a real database: answers are as documented."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
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

from wayside_server.api.api_keys import api_keys_router
from wayside_server.api.certificates import certificates_router
from wayside_server.api.service import create_app
from wayside_server.app.enrolment import enrolment_routers
from wayside_server.config import ServerSettings
from wayside_server.domain.access import SCOPES
from wayside_server.domain.rates import RateLimits, Rates
from wayside_server.identity.keys import Keys
from wayside_server.identity.office import open_office
from wayside_server.identity.revocation import Revocations
from wayside_server.storage.certificates import PostgresCertificates
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_server.storage.revocation import PostgresRevocations
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.enrolment import MemoryTrail
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

EXAMPLES = 12
"""For each operation, of requests that fit the document and of those that do not: a quarter of a minute in all. Always
the same ones, as long as the document is: whoever changes it sees what that breaks, and nobody else does."""
LONGEST_URL = 65_000
"""httptools parses none beyond 65,535 bytes, and the shipped service hangs up before: the application sees neither, and
a client may find the connection reset before it has sent all."""
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


@pytest.fixture
async def service(pool: Pool, database: str, credentials: CredentialsFactory) -> AsyncIterator[Service]:
    def now() -> datetime:
        return datetime.now(UTC)

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
    identity = PostgresIdentity(pool)
    trail, marks = MemoryTrail(), PostgresRevocations(pool, database)
    keys = Keys(identity, now, trail)
    office = open_office(
        credentials.authority,
        PostgresEnrolment(pool),
        refusals=identity,
        revocations=marks,
        trail=trail,
        certificate_days=90,
        now=now,
    )
    certificates = certificates_router(PostgresCertificates(pool), Revocations(marks, trail, now))
    app = create_app(
        reading=PostgresReading(pool, database),
        access=keys,
        live=PostgresLive(database),
        routers=[*enrolment_routers(office, ServerSettings(), str), certificates, api_keys_router(keys)],
        rates=Rates(RateLimits(address=1e6, key=1e6, tenant=1e6), time.monotonic),
    )
    async with serve(app) as url:
        yield Service(url, {"Authorization": f"Bearer {await keys.create('fuzz', scopes=SCOPES)}"})


def fuzz(service: Service, document: dict[str, Any], mode: GenerationMode) -> dict[str, set[int]]:
    """Sends requests of `mode` to each operation and checks what comes back; the statuses seen, by operation."""
    seen: dict[str, set[int]] = {}
    with requests.Session() as session:
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = found.ok()
            if operation.path != LIVE:
                name = f"{operation.method.upper()} {operation.path}"
                seen[name] = fuzz_one(service, session, operation, mode)
    return seen


def fuzz_one(service: Service, session: requests.Session, operation: Any, mode: GenerationMode) -> set[int]:
    """The statuses seen of one operation."""
    statuses: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
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
async def test_every_answer_is_as_documented(service: Service, mode: GenerationMode) -> None:
    async with httpx.AsyncClient(base_url=service.url, headers=service.headers) as client:
        document = (await client.get("/openapi.json")).json()
    seen = await asyncio.to_thread(fuzz, service, document, mode)
    assert len(seen) == sum(len(methods) for methods in document["paths"].values()) - 1
    answered = {operation for operation, statuses in seen.items() if 200 in statuses}
    if mode is GenerationMode.NEGATIVE:
        assert len([statuses for statuses in seen.values() if statuses]) > 12
    else:
        assert all(seen.values())
        assert {"GET /api/v1/devices", "GET /api/v1/refusals", "GET /api/v1/devices/{device}/account"} <= answered
