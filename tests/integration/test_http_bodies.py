"""What a client without a key may send as the body of a request: little, in one form, and at its address' rate."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from structlog.testing import capture_logs

from wayside_server.api.admission import MAX_BODY_BYTES
from wayside_server.api.schema import DocumentedApp
from wayside_server.api.service import create_app
from wayside_server.domain.access import Permission
from wayside_server.domain.rates import RateLimits, Rates
from wayside_server.identity.bulk import MAX_IMPORT_BYTES
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.people import Office, open_office
from wayside_testkit.raw_http import connected, head
from wayside_testkit.web import serve
from wayside_testkit.whole import whole_app

FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path)


@pytest.fixture
def whole(pool: Pool, database: str, office: Office) -> DocumentedApp:
    return whole_app(pool, database, office)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(("path", "kind"), [("/sign-in", FORM), ("/api/v1/enrolment-tokens", JSON)])
async def test_a_body_that_says_it_is_too_large_is_not_read(whole: DocumentedApp, path: str, kind: str) -> None:
    before = counted("wayside_api_bodies_too_large_total")
    async with serve(whole) as base, connected(base) as line:
        # Nothing of the body is sent: who waited for it would wait for ever.
        assert await line.send(head("POST", path, kind, f"Content-Length: {MAX_BODY_BYTES + 1}"))
        answer = await line.answer()
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert f"larger than {MAX_BODY_BYTES} bytes".encode() in answer.body
    assert counted("wayside_api_bodies_too_large_total") == before + 1


@pytest.mark.parametrize(("path", "kind"), [("/sign-in", FORM), ("/api/v1/enrolment-tokens", JSON)])
async def test_a_body_that_does_not_say_how_large_it_is_ends_there(whole: DocumentedApp, path: str, kind: str) -> None:
    chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
    async with serve(whole) as base, connected(base) as line:
        assert await line.send(head("POST", path, kind, "Transfer-Encoding: chunked"))
        for _ in range(MAX_BODY_BYTES // 0x4000 + 1):
            assert await line.send(chunk)
        assert (await line.answer()).status == 413


async def test_a_body_that_is_as_large_as_it_may_be_is_taken(whole: DocumentedApp) -> None:
    body = b'"' + b"a" * (MAX_BODY_BYTES - 2) + b'"'
    async with serve(whole) as base, httpx.AsyncClient(base_url=base) as client:
        headers = {"Content-Type": "application/json"}
        assert (await client.post("/api/v1/enrolment-tokens", content=body, headers=headers)).status_code == 401
        refused = await client.post("/api/v1/enrolment-tokens", content=body + b" ", headers=headers)
        assert refused.status_code == 413
        # A client that has sent all of it can go on with the same connection.
        assert (await client.get("/healthz")).status_code == 200


async def test_an_import_may_be_larger_for_who_may_import(whole: DocumentedApp, office: Office) -> None:
    rows = b"name\n" + b"".join(b"boiler-%04d\n" % number for number in range(1000))
    padded = rows + b"\n" * (3 * MAX_BODY_BYTES)
    key = {
        "Authorization": f"Bearer {await office.desk.keys.create('test', scopes=[Permission.MANAGE])}",
        "Content-Type": "text/csv",
    }
    async with serve(whole) as base, httpx.AsyncClient(base_url=base, headers=key, timeout=30) as client:
        path = "/api/v1/devices/import?dry_run=true"
        taken = await client.post(path, content=padded)
        assert (taken.status_code, len(taken.json()["devices"])) == (200, 1000)
        refused = await client.post(path, content=b"\n" * (MAX_IMPORT_BYTES + 1))
        assert refused.status_code == 413
        assert str(MAX_IMPORT_BYTES) in refused.json()["detail"]


def limited(pool: Pool, database: str, office: Office, static: Path | None = None) -> DocumentedApp:
    """A service that lets an address ask ten times and then no more."""
    return create_app(
        reading=PostgresReading(pool, database),
        access=office.desk.sessions,
        live=PostgresLive(database),
        registry=CollectorRegistry(),
        rates=Rates(RateLimits(address=1.0), lambda: 1000.0),
        static=static,
    )


async def test_an_address_that_asks_too_often_is_told_before_its_body_is_read(
    pool: Pool, database: str, office: Office
) -> None:
    async with serve(limited(pool, database, office)) as base, connected(base) as line:
        for _ in range(10):
            await line.send(head("GET", "/healthz"))
            assert (await line.answer()).status == 200
        await line.send(head("POST", "/healthz", "Content-Length: 1000"))
        answer = await line.answer()
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "strict-transport-security" in answer.headers


@pytest.mark.parametrize("path", ["/static/some.css", "/nothing/here", "/api/v1/devices"])
async def test_every_path_takes_from_the_share_of_its_address(
    pool: Pool, database: str, office: Office, tmp_path: Path, path: str
) -> None:
    (tmp_path / "some.css").write_text("")
    app = limited(pool, database, office, tmp_path)
    async with serve(app) as base, httpx.AsyncClient(base_url=base) as client:
        statuses = [(await client.get(path)).status_code for _ in range(11)]
    assert 429 not in statuses[:10]
    assert statuses[10] == 429


async def test_ipv6_addresses_of_one_network_share(pool: Pool, database: str, office: Office) -> None:
    app = limited(pool, database, office)

    async def ask(address: str) -> int:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://wayside") as client:
            return (await client.get("/healthz")).status_code

    statuses = [await ask(f"2001:db8:1:2::{number:x}") for number in range(11)]
    assert statuses == [200] * 10 + [429]
    assert await ask("2001:db8:1:3::1") == 200


def form_paths(app: DocumentedApp) -> list[str]:
    """Of every route that takes a form."""
    found = [
        path for method, path, _ in app.declared if method == "POST" and not path.startswith(("/api/", "/.well-known/"))
    ]
    assert "/sign-in" in found
    assert len(found) > 15
    return found


async def test_no_form_is_taken_with_files(whole: DocumentedApp) -> None:
    async with serve(whole) as base, connected(base) as line:
        for path in (re.sub(r"\{[^}]*\}", "1", pattern) for pattern in form_paths(whole)):
            kind = "Content-Type: multipart/form-data; boundary=b"
            await line.send(head("POST", path, kind, "Content-Length: 5") + b"--b--")
            answer = await line.answer()
            assert (path, answer.status) == (path, 415)
            assert b"application/x-www-form-urlencoded" in answer.body


async def test_devices_send_certificate_requests_and_nothing_else(whole: DocumentedApp) -> None:
    path = "/.well-known/est/simpleenroll"
    async with serve(whole) as base, httpx.AsyncClient(base_url=base) as client:
        for kind, status in [("application/json", 415), ("multipart/form-data; boundary=b", 415), ("", 415)]:
            answer = await client.post(path, content=b"x", headers={"Content-Type": kind})
            assert (kind, answer.status_code) == (kind, status)
        for headers in ({}, {"Content-Type": "application/pkcs10"}, {"Content-Type": "Application/PKCS10; a=b"}):
            assert (await client.post(path, content=b"x", headers=headers)).status_code == 400


async def test_a_client_that_leaves_within_its_body_is_no_failure(whole: DocumentedApp) -> None:
    before = counted("wayside_api_clients_left_total")
    with capture_logs() as lines:
        async with serve(whole) as base:
            async with connected(base) as line:
                kind = "Content-Type: application/pkcs10"
                await line.send(head("POST", "/.well-known/est/simpleenroll", kind, "Content-Length: 1000") + b"A")
                async with connected(base) as other:
                    await other.send(head("GET", "/healthz"))
                    assert (await other.answer()).status == 200
            async with asyncio.timeout(10):
                while counted("wayside_api_clients_left_total") == before:  # noqa: ASYNC110 - the server's own affair
                    await asyncio.sleep(0.01)
    assert [entry["log_level"] for entry in lines] == ["debug"]
