"""The console as an operator meets it: a real browser on the real service and a real PostgreSQL."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.async_api import Page, async_playwright, expect

from wayside_server.api.service import create_app
from wayside_server.console.identities import identities_router
from wayside_server.console.pages import STATIC, console_router
from wayside_server.domain.access import Access, Role
from wayside_server.domain.limits import DeviceLimits
from wayside_server.identity.revocation import Revocations
from wayside_server.identity.setup_code import ensure_setup_code
from wayside_server.storage.certificates import PostgresCertificates
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_server.storage.revocation import PostgresRevocations
from wayside_shared.batch import Column, Marks
from wayside_shared.clock import NS_PER_S
from wayside_shared.quality import Quality
from wayside_testkit.batches import BOOT_NS, WALL_NS, Device
from wayside_testkit.people import PASSPHRASE, Office, open_office
from wayside_testkit.roles import Trail
from wayside_testkit.telemetry import (
    add_dead_letter,
    add_device,
    add_incident,
    add_refusals,
    add_series,
    add_stream,
    reading_of,
)
from wayside_testkit.totp import code_at
from wayside_testkit.web import serve

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing; type: sudo apt-get install chromium"),
    pytest.mark.skipif(not (STATIC / "vendor").exists(), reason="the front end is missing; type: make setup"),
]


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path)


@pytest.fixture
async def console(pool: Pool, database: str, office: Office) -> AsyncIterator[str]:
    async with serve(console_app(pool, database, office.desk.sessions, office)) as base:
        yield base


def console_app(pool: Pool, database: str, access: Access, office: Office) -> FastAPI:
    reading = PostgresReading(pool, database)
    revocations = Revocations(PostgresRevocations(pool, database), Trail(), lambda: datetime.now(UTC))
    routers = [console_router(reading, office.desk), identities_router(PostgresCertificates(pool), revocations)]
    return create_app(reading=reading, access=access, live=PostgresLive(database), routers=routers, static=STATIC)


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


async def entry(office: Office) -> str:
    """A link into the console, for somebody who is made first."""
    if not await office.desk.accounts.claimed():
        await office.claim()
    return await office.desk.sessions.create_link()


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
    pool: Pool, console: str, office: Office, page: Page, tmp_path: Path
) -> None:
    series = await _boiler(pool)
    await add_device(pool, "kiln-2")
    await page.goto(f"{console}/devices/boiler-7")
    await expect(page).to_have_url(f"{console}/set-up")
    await page.get_by_label("Set-up code").fill(ensure_setup_code(office.home))
    await page.get_by_label("Login name").fill("ada")
    await page.get_by_label("Passphrase").fill(PASSPHRASE)
    await page.screenshot(path=tmp_path / "set-up.png")
    await page.get_by_role("button", name="Make the first account").click()
    await expect(page).to_have_url(f"{console}/")
    await page.get_by_role("button", name="Sign out").click()
    await page.goto(f"{console}/devices/boiler-7")
    await expect(page).to_have_url(f"{console}/sign-in?next=%2Fdevices%2Fboiler-7")
    await page.screenshot(path=tmp_path / "sign-in.png")
    await page.get_by_label("Name").fill("ada")
    await page.get_by_label("Passphrase").fill(PASSPHRASE)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(f"{console}/devices/boiler-7")
    await page.get_by_role("link", name="Devices").click()
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
    tops = [(await tile.bounding_box() or {})["y"] for tile in (await page.locator(".tiles li").all())[:2]]
    assert tops[0] == tops[1], "on a phone two tiles stand side by side"
    await page.screenshot(path=tmp_path / "phone.png", full_page=True)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="CSV", exact=True).click()
    saved = await (await downloading.value).path()
    assert (await asyncio.to_thread(saved.read_text)).startswith("series,unit,time,value,quality\n")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{console}/sign-in")
    await page.goto(console)
    await expect(page).to_have_url(f"{console}/sign-in")


async def _kiln(store: PostgresIngest) -> Device:
    """A sample every ten seconds of the last five minutes, of a thermocouple that was loose for two of them; a probe
    that has been away for a while; and one that never was there."""
    device, now_ns = Device("kiln-2"), time.time_ns()

    def at(seconds: float) -> int:
        return _boottime_ns(now_ns, seconds)

    loose = {-100: Quality.OPEN_CIRCUIT, -90: Quality.OPEN_CIRCUIT}
    values = {second: 640.0 for second in range(-280, 0, 10) if second not in loose}
    item = device.item(
        Column("chamber/temperature", "Cel", [at(second) for second in values], list(values.values())),
        Column("flue/pressure", "Pa", [at(-250)], [101_325.0]),
        marks=[
            Marks("chamber/temperature", "Cel", [at(second) for second in (*loose, -10)], [*loose.values(), 1]),
            Marks("flue/pressure", "Pa", [at(-240), at(-60)], [Quality.CHECKSUM, Quality.ABSENT]),
            Marks("flue/soot", "mg/m3", [at(-30)], [Quality.WRONG_CHIP]),
        ],
    )
    await store.settle([item])
    return device


def _boottime_ns(now_ns: int, seconds: float) -> int:
    """So many seconds after `now_ns` on the boot clock of the test kit's devices."""
    return BOOT_NS + now_ns - WALL_NS + int(seconds * NS_PER_S)


async def _line_at(page: Page, seconds: float, span: float = 300) -> bool:
    """Whether the first plot, of the last `span` seconds, has a line so many seconds after now."""
    found = await page.evaluate(
        """([seconds, span]) => {
            const canvas = document.querySelector(".uplot canvas");
            const box = document.querySelector(".uplot .u-over").getBoundingClientRect();
            const ratio = canvas.width / canvas.getBoundingClientRect().width;
            const left = box.left - canvas.getBoundingClientRect().left + box.width * (1 + seconds / span);
            const pixels = canvas.getContext("2d").getImageData(left * ratio, 0, 1, canvas.height).data;
            const probe = document.createElement("canvas").getContext("2d");
            probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--line-1");
            probe.fillRect(0, 0, 1, 1);
            const color = probe.getImageData(0, 0, 1, 1).data;
            for (let at = 0; at < pixels.length; at += 4)
                if (pixels[at + 3] > 128 && [0, 1, 2].every((i) => Math.abs(pixels[at + i] - color[i]) < 40))
                    return true;
            return false;
        }""",
        [seconds, span],
    )
    return bool(found)


async def test_a_chart_of_an_hour_keeps_its_past_when_live_samples_outnumber_it(
    pool: Pool, console: str, office: Office, page: Page, tmp_path: Path
) -> None:
    device = await add_device(pool, "boiler-7")
    now = datetime.now(UTC)
    # Far enough apart to tell a line from dots; a pause of five minutes must stay a gap.
    past = [(now - timedelta(minutes=i), 61.0) for i in range(58, 6, -1) if not 20 < i < 25]
    series = await add_series(pool, device, "flow/temperature", "Cel", past)
    async with connection(pool) as conn:
        await conn.execute("INSERT INTO latest VALUES (%s, %s, %s)", [series, *past[-1]])
    await page.goto(f"{console}/login/{await entry(office)}")
    await page.get_by_role("link", name="boiler-7").click()
    await expect(page.get_by_text("No samples in this range")).to_be_visible()
    await page.get_by_role("button", name="1 h", exact=True).click()
    await expect(page.get_by_text("No samples in this range")).to_be_hidden()
    link = page.locator("[data-role=link]")
    await expect(link).to_have_text("live")
    newest = datetime.now(UTC).replace(microsecond=0)
    live = [(newest - timedelta(seconds=i / 10), 61.0) for i in range(100, -1, -1)]
    async with connection(pool) as conn, conn.transaction(), conn.cursor() as cursor:
        await cursor.executemany("INSERT INTO sample VALUES (%s, %s, %s)", [(series, *sample) for sample in live])
        await cursor.execute(
            "SELECT pg_notify('wayside_samples', (SELECT device_id::text FROM series WHERE id = %s))", [series]
        )
    await expect(link).to_have_attribute("title", f"newest sample {newest:%Y-%m-%dT%H:%M:%S}.000Z")
    await page.screenshot(path=tmp_path / "hour.png")
    assert [await _line_at(page, at, 3600) for at in (-3030, -2010, -1350, -630)] == [True, True, False, True]


async def test_an_operator_sees_why_a_series_has_no_value_and_since_when(
    pool: Pool, console: str, office: Office, page: Page, tmp_path: Path
) -> None:
    store = PostgresIngest(pool, "test", DeviceLimits())
    device = await _kiln(store)
    await page.goto(f"{console}/login/{await entry(office)}")
    await page.get_by_role("link", name="kiln-2").click()
    chamber, pressure, soot = (page.locator(".tiles li").nth(i) for i in range(3))
    await expect(chamber).to_contain_text("640 °C")
    await expect(chamber).to_contain_text("at the end of the chip's range")
    await expect(pressure).to_have_text(
        re.compile(r"flue/pressure\s*No value\s*no chip answers\s*for 4 min\s*last 101325 Pa, 4 min ago")
    )
    await expect(soot).to_have_text(
        re.compile(r"flue/soot\s*No value\s*another chip answers\s*for \d\d s\s*never had one")
    )
    await expect(page.locator("[data-role=link]")).to_have_text("live")
    await expect(page.locator(".chip")).to_have_count(3)
    await expect(page.locator(".uplot")).to_have_count(2)
    assert [await _line_at(page, seconds) for seconds in (-150, -95, -50)] == [True, False, True]
    await page.screenshot(path=tmp_path / "device.png", full_page=True)
    before = await page.locator("[data-role=link]").get_attribute("title") or ""
    marks = [Marks("chamber/temperature", "Cel", [_boottime_ns(time.time_ns(), 0)], [Quality.OPEN_CIRCUIT])]
    await store.settle([device.item(marks=marks)])
    await expect(page.locator("[data-role=link]")).not_to_have_attribute("title", before)
    await expect(chamber).to_contain_text("sensing element disconnected or shorted")
    await expect(chamber).to_contain_text("last 640 °C")
    await page.emulate_media(color_scheme="dark")
    await page.screenshot(path=tmp_path / "dark.png", full_page=True)
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.wait_for_function("document.documentElement.scrollWidth <= 390")
    await page.screenshot(path=tmp_path / "phone.png", full_page=True)


async def test_a_link_signs_in_once(console: str, office: Office, page: Page, tmp_path: Path) -> None:
    link = f"{console}/login/{await entry(office)}"
    await page.goto(link)
    await expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()
    await page.goto(f"{console}/docs")
    await expect(page.get_by_text(re.compile("telemetry/export")).first).to_be_visible()
    for scheme, width in (("light", 1280), ("dark", 1280), ("dark", 390), ("light", 390)):
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await page.set_viewport_size({"width": width, "height": 900})
        await page.get_by_text(re.compile("telemetry/export")).first.click()
        await page.screenshot(path=tmp_path / f"docs-{scheme}-{width}.png", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.evaluate("document.getElementById('docs').scrollWidth") <= width


async def test_an_operator_finds_what_was_refused_and_what_went_wrong(
    pool: Pool, console: str, office: Office, page: Page, tmp_path: Path
) -> None:
    await _boiler(pool)
    now = datetime.now(UTC)
    boiler = (await reading_of(pool, "").device("boiler-7")).id
    await add_incident(pool, boiler, "card restored or cloned", "its next batch would be 17, the server has 2431")
    for kind, count in (("broker: name connected twice", 12), ("enrolment_token_expired", 1)):
        await add_refusals(pool, kind, now, count, "Client boiler-7 already connected, closing old connection.")
    raw = bytes(range(256))
    await add_dead_letter(pool, "boiler-7", raw, "unknown_type", "the message says no content type")
    await page.goto(f"{console}/login/{await entry(office)}")
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


async def test_an_engineer_revokes_a_device_after_being_asked(
    pool: Pool, database: str, office: Office, page: Page, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    await _boiler(pool)
    for name, age_d in (("kiln-2", 85), ("lamp-3", 100)):
        await add_device(pool, name)
        await _certificate(pool, name, now - timedelta(days=age_d))
    await _certificate(pool, "boiler-7", now - timedelta(days=30))
    await office.employ("engineer", Role.ENGINEER)
    app = console_app(pool, database, office.desk.sessions, office)
    app.state.warnings = lambda: [
        "the revocation list ends in 60 hours, and from then on the broker refuses every device"
    ]
    async with serve(app) as base:
        await page.goto(f"{base}/login/{await office.desk.sessions.create_link('engineer')}")
        await page.wait_for_url(f"{base}/")  # the page of a sign-in link leads on by itself
        await page.goto(f"{base}/certificates")
        await expect(page.get_by_role("row")).to_have_count(4)
        await expect(page.get_by_role("row").nth(1)).to_contain_text("lamp-3")
        await expect(page.get_by_role("alert")).to_contain_text("The revocation list ends in 60 hours")
        await page.screenshot(path=tmp_path / "certificates.png")
        await page.goto(f"{base}/devices/boiler-7")
        await page.get_by_role("link", name="Revoke…").click()
        await page.get_by_label("Its key may be known to others").check()
        await page.screenshot(path=tmp_path / "revoke.png")
        await page.get_by_role("button", name="Revoke boiler-7").click()
        await expect(page).to_have_url(f"{base}/devices/boiler-7")
        await expect(page.get_by_text("by person:engineer (key-compromise)")).to_be_visible()
        await page.screenshot(path=tmp_path / "revoked.png", full_page=True)
        await page.get_by_role("link", name="Restore…").click()
        await page.get_by_role("button", name="Restore boiler-7").click()
        await expect(page.get_by_role("link", name="Revoke…")).to_be_visible()
        # The server stops before the browser does, and the page follows a stream.
        await page.goto("about:blank")


async def _certificate(pool: Pool, device: str, issued: datetime) -> None:
    async with connection(pool) as conn:
        await conn.execute(
            "INSERT INTO certificate (serial, device_id, not_before, not_after)"
            " SELECT id, id, %s, %s FROM device WHERE name = %s",
            [issued, issued + timedelta(days=90), device],
        )


async def test_an_admin_looks_after_people_keys_and_their_own_account(
    console: str, office: Office, page: Page, tmp_path: Path
) -> None:
    await office.claim()
    await office.employ("vera", Role.OPERATOR)
    await page.goto(f"{console}/login/{await entry(office)}")
    await page.get_by_role("link", name="People").click()
    await page.get_by_label("Role of vera").select_option("engineer")
    await page.get_by_role("button", name="Set", exact=True).click()
    await expect(page.get_by_label("Role of vera")).to_have_value("engineer")
    await page.get_by_label("For whom").fill("Erik")
    await page.get_by_role("button", name="Make a link").click()
    await expect(page.get_by_text("/invitation/")).to_be_visible()
    await page.screenshot(path=tmp_path / "people.png", full_page=True)
    await page.get_by_role("link", name="Keys").click()
    await page.get_by_label("What it is for").fill("reports")
    await page.get_by_role("button", name="Make it").click()
    await expect(page.get_by_text("wsk_")).to_be_visible()
    await page.screenshot(path=tmp_path / "keys.png", full_page=True)
    await page.get_by_role("button", name="Revoke").click()
    await page.get_by_role("button", name="Revoke it").click()
    await expect(page.get_by_text("revoked", exact=True)).to_be_visible()
    await page.get_by_role("link", name="Account").click()
    await page.screenshot(path=tmp_path / "account.png", full_page=True)
    await page.get_by_role("link", name="Set it up").click()
    await expect(page.locator("svg.qr")).to_be_visible()
    await page.screenshot(path=tmp_path / "second-factor.png", full_page=True)
    await page.get_by_text("Without a camera").click()
    shown = await page.locator("p.secret").inner_text()
    await page.get_by_label("Passphrase").fill(PASSPHRASE)
    await page.get_by_label("Code").fill(code_at(shown.split("secret=")[1].split("&")[0], datetime.now(UTC)))
    await page.get_by_role("button", name="Turn it on").click()
    await expect(page.locator(".codes li")).to_have_count(10)
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.get_by_role("link", name="I have them").click()
    await expect(page.get_by_text("10 recovery codes are left")).to_be_visible()
    await page.wait_for_function("document.documentElement.scrollWidth <= 390")
    await page.screenshot(path=tmp_path / "account-phone.png", full_page=True)
    await page.goto(f"{console}/people")
    await page.wait_for_function("document.documentElement.scrollWidth <= 390")
    await page.screenshot(path=tmp_path / "people-phone.png", full_page=True)
