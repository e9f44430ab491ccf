"""The page Enrol as an engineer meets it: a real browser on the real service and a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from wayside_server.api.service import create_app
from wayside_server.console.enrolling import enrolling_router
from wayside_server.console.pages import STATIC, console_router
from wayside_server.domain.access import Role
from wayside_server.identity.authority import Authority, create_authority, new_key
from wayside_server.identity.issuing import Enrolled, key_der
from wayside_server.identity.office import EnrolmentOffice, open_office
from wayside_server.identity.tokens import TokenOrder
from wayside_server.storage.database import Pool
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_shared.enrolment import claim_code, parse_token
from wayside_testkit.enrolment import HERE, HOUR, OPERATOR, MemoryTrail, RevokedSerials, certificate_request
from wayside_testkit.people import Office
from wayside_testkit.people import open_office as open_people
from wayside_testkit.web import serve

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing; type: sudo apt-get install chromium"),
    pytest.mark.skipif(not (STATIC / "vendor").exists(), reason="the front end is missing; type: make setup"),
]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def people(pool: Pool, tmp_path: Path) -> Office:
    return open_people(pool, tmp_path / "home")


@pytest.fixture
def office(pool: Pool) -> EnrolmentOffice:
    root, intermediate = create_authority(now())
    return open_office(
        Authority(root.certificate, intermediate),
        PostgresEnrolment(pool),
        refusals=PostgresIdentity(pool),
        revocations=RevokedSerials(),
        trail=MemoryTrail(),
        certificate_days=90,
        now=now,
    )


@pytest.fixture
async def console(pool: Pool, database: str, people: Office, office: EnrolmentOffice) -> AsyncIterator[str]:
    reading = PostgresReading(pool, database)
    app = create_app(
        reading=reading,
        access=people.desk.sessions,
        live=PostgresLive(database),
        routers=[enrolling_router(office, "install {}".format), console_router(reading, people.desk)],
        static=STATIC,
    )
    async with serve(app) as base:
        yield base


async def test_an_engineer_lets_devices_in(
    console: str, people: Office, office: EnrolmentOffice, tmp_path: Path
) -> None:
    await people.claim()
    await people.employ("erik", Role.ENGINEER)
    boiler, kiln, stranger = new_key(), new_key(), new_key()
    token = await office.tokens.create(TokenOrder(HOUR, name="kiln-2"), OPERATOR)
    await office.enrolments.enrol(token.digest, certificate_request(kiln), HERE)
    for key in (kiln, boiler, stranger):
        await office.claims.ask(certificate_request(key), None, HERE)
    code = claim_code(office.authority.fingerprint, key_der(boiler.public_key()))
    async with async_playwright() as playwright:
        # Root has no sandbox, and a container little shared memory.
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = await browser.new_page(viewport={"width": 1200, "height": 1100})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{console}/login/{await people.desk.sessions.create_link('erik')}")
        await page.get_by_role("link", name="Enrol", exact=True).click()
        await expect(page.get_by_text(f"{code[:4]}-…")).to_be_visible()
        assert code not in await page.content()

        await page.get_by_label("Code").fill("AAAA-BBBB-CCCC")
        await page.get_by_label("Group of the device", exact=True).fill("attic")
        await page.get_by_role("button", name="Let it in").click()
        await expect(page.get_by_role("alert")).to_contain_text("no device that waits shows this code")
        await expect(page.get_by_label("Code")).to_have_value("AAAA-BBBB-CCCC")
        await expect(page.get_by_label("Group of the device", exact=True)).to_have_value("attic")
        await page.get_by_label("Code").fill(f"{code[:4]}-{code[4:8]}-{code[8:]}".lower())
        await page.get_by_label("Name of the device").fill("boiler-7")
        await page.get_by_label("Group of the device", exact=True).fill("cellar")
        await page.screenshot(path=tmp_path / "enrol.png", full_page=True)
        await page.get_by_role("button", name="Let it in").click()
        await expect(page.get_by_role("status")).to_contain_text("boiler-7 is let in")

        await page.get_by_role("row", name="kiln-2 its certificate has ended").get_by_text("Renew").click()
        await expect(page.get_by_role("status")).to_contain_text("kiln-2 is let in")
        await page.get_by_role("row", name="new device").get_by_role("button", name="Refuse").click()
        await page.get_by_role("button", name="Refuse it").click()
        await expect(page.get_by_text("No device waits")).to_be_visible()

        await page.get_by_label("How many devices").fill("20")
        await page.get_by_label("Name, or what names begin with").fill("pump-")
        await page.get_by_role("button", name="Make a token").click()
        shown = await page.locator(".made .secret").last.inner_text()
        await expect(page.locator(".made .secret").first).to_have_text(f"install {shown}")
        await page.screenshot(path=tmp_path / "token.png", full_page=True)
        await page.set_viewport_size({"width": 390, "height": 800})
        await page.wait_for_function("document.documentElement.scrollWidth <= 390")
        await page.screenshot(path=tmp_path / "phone.png", full_page=True)
        await page.goto(f"{console}/enrol")
        assert shown not in await page.content(), "it is shown once"
        await page.get_by_role("row", name="pump-…").get_by_role("button", name="Revoke").click()
        await page.get_by_role("button", name="Leave it as it is").click()
        await expect(page.get_by_role("row", name="pump-…")).to_contain_text("good")
        await page.get_by_role("row", name="pump-…").get_by_role("button", name="Revoke").click()
        await page.screenshot(path=tmp_path / "question.png")
        await page.get_by_role("button", name="Revoke it").click()
        await expect(page.get_by_role("row", name="pump-…")).to_contain_text("revoked")
        await browser.close()
    assert complaints == []
    for key, name in ((boiler, "boiler-7"), (kiln, "kiln-2")):
        enrolled = await office.claims.ask(certificate_request(key), None, HERE)
        assert isinstance(enrolled, Enrolled)
        assert enrolled.device == name
    assert (await office.tokens.listed(OPERATOR, before_id=1 << 31, limit=1))[0].revoked_at is not None
    assert parse_token(shown).fingerprint == office.authority.fingerprint
