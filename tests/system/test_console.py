"""The console as an operator meets it: a real browser on the real service and a real PostgreSQL."""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from wayside_server.api.service import create_app
from wayside_server.console.pages import STATIC, console_router
from wayside_server.identity.keys import Keys
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.telemetry import add_dead_letter, add_device, add_incident, add_refusals, add_series, add_stream
from wayside_testkit.web import serve

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing; type: sudo apt-get install chromium"),
    pytest.mark.skipif(not (STATIC / "vendor").exists(), reason="the front end is missing; type: make setup"),
]


@pytest.fixture
def keys(pool: Pool) -> Keys:
    return Keys(PostgresIdentity(pool), lambda: datetime.now(UTC))


@pytest.fixture
async def console(pool: Pool, database: str, keys: Keys) -> AsyncIterator[str]:
    reading = PostgresReading(pool, database)
    app = create_app(
        reading=reading,
        access=keys,
        live=PostgresLive(pool, database),
        routers=[console_router(reading, keys)],
        static=STATIC,
    )
    async with serve(app) as base:
        yield base


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A page that fails the test on any script error or refused resource."""
    async with async_playwright() as playwright:
        # Root has no sandbox, and a container little shared memory.
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        context = await browser.new_context(viewport={"width": 1200, "height": 1100})
        opened = await context.new_page()
        complaints: list[str] = []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on(
            "console", lambda said: complaints.append(f"{said.location} {said.text}") if said.type == "error" else None
        )
        yield opened
        await browser.close()
    assert complaints == []


async def _boiler(pool: Pool) -> int:
    now = datetime.now(UTC)
    device = await add_device(pool, "boiler-7")
    steps = [now - timedelta(seconds=i) for i in range(280, 0, -1) if not 120 < i < 160]
    for number, (name, unit, middle) in enumerate(
        [("flow/temperature", "Cel", 61.0), ("return/temperature", "Cel", 47.5), ("pressure", "hPa", 1013.0)]
    ):
        samples = [(at, round(middle + math.sin(at.timestamp() / 20 + number), 2)) for at in steps]
        series = await add_series(pool, device, name, unit, samples)
        async with connection(pool) as conn:
            await conn.execute("INSERT INTO latest VALUES (%s, %s, %s)", [series, *samples[-1]])
    door = await add_series(pool, device, "door", "1", [(now, "<b>open</b>")])
    async with connection(pool) as conn:
        await conn.execute("INSERT INTO latest VALUES (%s, now(), NULL, '\"<b>open</b>\"')", [door])
        await conn.execute("UPDATE device SET state = 'online', last_seen = now(), agent = 'wayside-edge 0.1.0'")
    await add_stream(pool, device, [(1, 0, 721, "stored"), (2, 721, 14, "dropped:quota")], accepted=760)
    return series


async def test_an_operator_signs_in_and_watches_a_device_live(
    pool: Pool, console: str, keys: Keys, page: Page, tmp_path: Path
) -> None:
    series = await _boiler(pool)
    await add_device(pool, "kiln-2")
    await page.goto(f"{console}/devices/boiler-7")
    await expect(page).to_have_url(f"{console}/sign-in")
    await page.screenshot(path=tmp_path / "sign-in.png")
    await page.get_by_label("API key").fill(await keys.create("operator"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("row")).to_have_count(3)
    await page.screenshot(path=tmp_path / "devices.png")
    await page.get_by_placeholder("Search by name").press_sequentially("boil")
    await expect(page.get_by_role("row")).to_have_count(2)
    await page.get_by_role("link", name="boiler-7").click()
    await expect(page.get_by_text("nothing missing")).to_be_visible()
    await expect(page.get_by_text("<b>open</b>")).to_be_visible()
    await expect(page.locator(".uplot")).to_have_count(2)
    await expect(page.locator(".chip").first).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    link = page.locator("[data-role=link]")
    await expect(link).to_have_text("live")
    before = await link.get_attribute("title") or ""
    async with connection(pool) as conn, conn.transaction():
        await conn.execute("INSERT INTO sample VALUES (%s, now(), 998.25)", [series])
        await conn.execute(
            "SELECT pg_notify('wayside_samples', (SELECT device_id::text FROM series WHERE id = %s))", [series]
        )
    await expect(link).not_to_have_attribute("title", before)
    await page.screenshot(path=tmp_path / "device.png", full_page=True)
    await page.emulate_media(color_scheme="dark")
    await page.screenshot(path=tmp_path / "dark.png", full_page=True)
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.wait_for_function("document.documentElement.scrollWidth <= 390")
    await page.screenshot(path=tmp_path / "phone.png", full_page=True)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="CSV", exact=True).click()
    saved = await (await downloading.value).path()
    assert (await asyncio.to_thread(saved.read_text)).startswith("series,unit,time,value\n")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{console}/sign-in")
    await page.goto(console)
    await expect(page).to_have_url(f"{console}/sign-in")


async def test_a_link_signs_in_once(console: str, keys: Keys, page: Page, tmp_path: Path) -> None:
    link = f"{console}/login/{await keys.create_link()}"
    await page.goto(link)
    await expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()
    await page.goto(f"{console}/docs")
    await expect(page.get_by_text(re.compile("telemetry/export")).first).to_be_visible()
    await page.screenshot(path=tmp_path / "docs.png")


async def test_an_operator_finds_what_was_refused_and_what_went_wrong(
    pool: Pool, console: str, keys: Keys, page: Page, tmp_path: Path
) -> None:
    await _boiler(pool)
    now = datetime.now(UTC)
    boiler = (await PostgresReading(pool, "").device("boiler-7")).id
    await add_incident(pool, boiler, "card restored or cloned", "its next batch would be 17, the server has 2431")
    for kind, count in (("broker: name connected twice", 12), ("enrolment_token_expired", 1)):
        await add_refusals(pool, kind, now, count, "Client boiler-7 already connected, closing old connection.")
    raw = bytes(range(256))
    await add_dead_letter(pool, "boiler-7", raw, "unknown_type", "the message says no content type")
    await page.goto(f"{console}/login/{await keys.create_link()}")
    await page.get_by_role("link", name="boiler-7").click()
    await expect(page.get_by_role("heading", name="Latest incidents")).to_be_visible()
    await page.screenshot(path=tmp_path / "device.png", full_page=True)
    await page.get_by_role("link", name="1 unreadable message").click()
    await page.get_by_text("First 128 bytes").click()
    await expect(page.get_by_text("0040  40 41 42 43 44 45 46 47  @ABCDEFG")).to_be_visible()
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download dead letter").click()
    saved = await (await downloading.value).path()
    assert await asyncio.to_thread(saved.read_bytes) == raw
    await page.screenshot(path=tmp_path / "dead-letters.png")
    await page.get_by_role("link", name="Incidents").click()
    await expect(page.get_by_role("cell", name="Card restored or cloned")).to_be_visible()
    await page.screenshot(path=tmp_path / "incidents.png")
    await page.get_by_role("link", name="Refused").click()
    await expect(page.get_by_role("row", name="Enrolment token expired")).to_be_visible()
    await expect(page.get_by_role("columnheader", name="Day")).to_have_css("padding-left", "20px")
    await expect(page.locator("table")).to_have_css("margin-left", "0px")
    await page.screenshot(path=tmp_path / "refused.png")
    await page.set_viewport_size({"width": 390, "height": 800})
    for path in ("", "devices/boiler-7", "devices/boiler-7/dead-letters", "incidents", "refused"):
        await page.goto(f"{console}/{path}")
        await page.wait_for_function("document.documentElement.scrollWidth <= 390")
        await page.screenshot(path=tmp_path / f"phone-{path.replace('/', '-') or 'devices'}.png", full_page=True)
        for figure in await page.locator("[data-label=Missing], [data-label=Times], [data-label=What]").all():
            box = await figure.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= 390, "a figure lies beside the screen"
