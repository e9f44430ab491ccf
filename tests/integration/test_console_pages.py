"""What the console's pages say of where one is and what there is, in an installation of several tenants."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from wayside_server.domain.access import SCOPES, Role
from wayside_server.identity.authority import Authority, create_authority
from wayside_server.identity.office import open_office as enrolment_office
from wayside_server.storage.database import Pool
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.identity import PostgresIdentity
from wayside_testkit.enrolment import HERE, MemoryTrail, RevokedSerials, certificate_request
from wayside_testkit.people import Office, open_office, send, sign_in
from wayside_testkit.telemetry import add_device, add_tenant
from wayside_testkit.whole import whole_app

CURRENT = re.compile(r'<a href="([^"]+)" aria-current="(\w+)"')


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path)


@pytest.fixture
async def browser(pool: Pool, database: str, office: Office) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(whole_app(pool, database, office))
    headers = {"Accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url="https://wayside.example", headers=headers) as client:
        yield client


async def _wait_for_somebody(pool: Pool) -> None:
    """A new device asks to be let in."""
    root, intermediate = create_authority(datetime.now(UTC))
    desk = enrolment_office(
        Authority(root.certificate, intermediate),
        PostgresEnrolment(pool),
        refusals=PostgresIdentity(pool),
        revocations=RevokedSerials(),
        trail=MemoryTrail(),
        certificate_days=90,
        now=lambda: datetime.now(UTC),
    )
    await desk.claims.ask(certificate_request(), None, HERE)


async def test_every_page_says_who_acts_and_in_which_tenant(
    pool: Pool, browser: httpx.AsyncClient, office: Office
) -> None:
    await office.claim()
    second = await add_tenant(pool, "waterworks")
    await office.employ("vera", Role.ADMIN, second)
    await sign_in(browser, "vera")
    for path in ("/", "/enrol", "/people", "/account", "/nowhere"):
        text = (await browser.get(path)).text
        assert "in waterworks</span>" in text, path
        assert "Vera</strong>" in text
    await sign_in(browser, "ada")
    assert "in Default</span>" in (await browser.get("/devices")).text
    await send(browser, "/account", "/account/tenant", tenant=str(second))
    for path in ("/", "/audit", "/keys", "/account"):
        assert "in waterworks</span>" in (await browser.get(path)).text, path


async def test_the_navigation_marks_the_page(pool: Pool, browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    await add_device(pool, "boiler-7")
    await sign_in(browser, "ada")
    for path, marked in {
        "/": ("/", "page"),
        "/devices": ("/", "true"),
        "/devices/boiler-7/log": ("/", "true"),
        "/audit?actor=x": ("/audit", "page"),
        "/account/second-factor": ("/account", "true"),
    }.items():
        assert CURRENT.findall((await browser.get(path)).text) == [marked], path


async def test_a_link_to_the_devices_leads_to_a_whole_page(
    pool: Pool, browser: httpx.AsyncClient, office: Office
) -> None:
    await office.claim()
    await add_device(pool, "boiler-7")
    answer = await sign_in(browser, "ada", to="/devices")
    assert answer.headers["location"] == "/devices"
    page = (await browser.get("/devices")).text
    part = (await browser.get("/devices", headers={"HX-Request": "true"})).text
    assert "<!doctype html>" in page
    assert "boiler-7" in page
    assert "<html" not in part
    assert "boiler-7" in part


async def test_what_is_not_there_keeps_the_navigation_for_who_is_signed_in(
    browser: httpx.AsyncClient, office: Office
) -> None:
    await office.claim()
    stranger = await browser.get("/nowhere")
    await sign_in(browser, "ada")
    known = await browser.get("/nowhere")
    assert (stranger.status_code, known.status_code) == (404, 404)
    for answer in (stranger, known):
        assert "<p>There is nothing at /nowhere.</p>" in answer.text
    assert "<nav" not in stranger.text
    assert 'href="/incidents"' in known.text


async def test_who_has_several_tenants_is_told_that_new_devices_are_not_listed(
    pool: Pool, browser: httpx.AsyncClient, office: Office
) -> None:
    await office.claim()
    await office.employ("erik", Role.ENGINEER)
    await sign_in(browser, "erik")
    assert "No device waits." in (await browser.get("/enrol")).text
    await _wait_for_somebody(pool)
    assert "new device</td>" in (await browser.get("/enrol")).text
    await add_tenant(pool, "waterworks")
    text = (await browser.get("/enrol")).text
    assert "No device waits." not in text
    assert "type the code that the device shows" in text
    await sign_in(browser, "ada")
    assert "new device</td>" in (await browser.get("/enrol")).text


async def test_what_was_typed_stays_when_it_was_wrong(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    claim = {"code": "AAAA-BBBB-CCCC", "name": "boiler-7", "group": "cellar"}
    order = {"uses": "many", "name": "pump-", "group": "attic", "label": "a pallet", "hours": "168"}
    key = {"label": "x" * 150, "scope": "everything"}
    for page, action, fields in (
        ("/enrol", "/enrol/claims", claim),
        ("/enrol", "/enrol/tokens", order),
        ("/keys", "/keys", key),
    ):
        answer = await send(browser, page, action, **fields)
        assert answer.status_code == 422
        for value in fields.values():
            assert f'value="{value}"' in answer.text or value == "everything", (action, value)
    assert '<option value="168" selected>' in (await send(browser, "/enrol", "/enrol/tokens", **order)).text


async def test_links_and_words_lead_to_what_they_promise(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    link = re.search(r'href="/docs#/(\w+)/(\w+)"', (await browser.get("/enrol")).text)
    assert link is not None
    operation = (await browser.get("/openapi.json")).json()["paths"]["/api/v1/devices/import"]["post"]
    assert (operation["tags"][0], operation["operationId"]) == (link[1], link[2])
    keys = (await browser.get("/keys")).text
    for scope in SCOPES:
        assert re.search(rf'<strong>{scope.value}</strong> <span class="hint">\w+', keys), scope
