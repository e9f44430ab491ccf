"""Every page of the console, full of long names and texts: on a laptop and on a phone nothing is cut off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from wayside_server.console.pages import STATIC
from wayside_server.domain.access import Permission, Principal, Role
from wayside_server.domain.audit import Act, Detail, Outcome
from wayside_server.domain.caller import Caller
from wayside_server.domain.ingest import DeviceLog
from wayside_server.domain.limits import DeviceLimits
from wayside_server.domain.refusals import MEANINGS
from wayside_server.identity.authority import Authority, create_authority, new_key
from wayside_server.identity.office import open_office as enrolment_office
from wayside_server.identity.sessions import Visitor
from wayside_server.identity.tokens import TokenOrder
from wayside_server.storage.audit import PostgresAudit
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.ingest import PostgresIngest
from wayside_shared.device_log import LogLine, encode_log
from wayside_shared.topics import Channel
from wayside_testkit.batches import received
from wayside_testkit.enrolment import HERE, MemoryTrail, RevokedSerials, certificate_request
from wayside_testkit.people import Office, open_office
from wayside_testkit.telemetry import add_dead_letter, add_device, add_incident, add_refusals, add_series, add_stream
from wayside_testkit.web import serve
from wayside_testkit.whole import whole_app

CHROMIUM = Path("/usr/bin/chromium")
DEVICE = "boiler-house-north-7"
ADDRESS = "2001:db8:85a3:8d3:1319:8a2e:370:7348"
SENTENCE = "its next batch would be 17 and the server has 2431 of it, so the server began a new epoch for the device"
PAGES = (
    "/",
    "/devices",
    f"/devices/{DEVICE}",
    f"/devices/{DEVICE}/log",
    f"/devices/{DEVICE}/dead-letters",
    f"/devices/{DEVICE}/revoke",
    "/people",
    "/keys",
    "/enrol",
    "/usage",
    "/certificates",
    "/refused",
    "/incidents",
    "/audit",
    "/account",
    "/docs",
    "/nowhere",
)
LATE = {"#chart": ".uplot", "#docs": ".opblock"}
"""What scripts put into a page once it is there."""
SCREENS: tuple[ViewportSize, ...] = ({"width": 1280, "height": 800}, {"width": 390, "height": 844})

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing; type: sudo apt-get install chromium"),
    pytest.mark.skipif(not (STATIC / "vendor").exists(), reason="the front end is missing; type: make setup"),
]


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path / "home")


@pytest.fixture
async def console(pool: Pool, database: str, office: Office) -> AsyncIterator[str]:
    async with serve(whole_app(pool, database, office)) as base:
        yield base


async def _fill(pool: Pool, office: Office) -> None:
    now = datetime.now(UTC)
    await office.claim()
    await office.employ("bartholomew.longbottom@waterworks.example", Role.ENGINEER)
    by = Principal("person:ada", "Ada", 1, frozenset(Permission))
    for label, scopes in (("reports", [Permission.READ]), ("a nightly export to the data lake", list(Permission)[4:])):
        await office.desk.keys.create_for(by, label, timedelta(days=90), scopes, ADDRESS)
    await office.desk.accounts.invite(by, Role.VIEWER, "the student who comes in June", _visitor())
    await _add_devices(pool, now)
    for kind in MEANINGS:
        await add_refusals(pool, kind, now, 1234, f"Client {DEVICE} of {ADDRESS} was closed by the server for this.")
    await _add_entries(pool, now)
    await _let_wait(pool)


def _visitor() -> Visitor:
    return Visitor(ADDRESS, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0")


async def _add_devices(pool: Pool, now: datetime) -> None:
    number = await add_device(pool, DEVICE)
    await add_stream(
        pool, number, [(1, 0, 1_234_567, "stored"), (2, 1_234_567, 14, "dropped:quota")], accepted=1_234_581
    )
    series = {f"hall-{at}/temperature-{at}": "Cel" for at in range(40)} | {"agent.certificate_left": "s"}
    for name, unit in series.items():
        one = await add_series(pool, number, name, unit, [(now, 7_775_900.0)])
        async with connection(pool) as conn:
            await conn.execute("INSERT INTO latest VALUES (%s, %s, %s)", [one, now, 7_775_900.0])
    for at in range(20):
        other = await add_device(pool, f"kiln-{at}-{'x' * 40}")
        await _certify(pool, other, now - timedelta(days=5 * at))
    await _certify(pool, number, now - timedelta(days=30))
    for kind in ("card restored or cloned", "clock went back", "quota"):
        await add_incident(pool, number, kind, SENTENCE)
    async with connection(pool) as conn:
        await conn.execute("UPDATE incident SET count = 17")
        await conn.execute("UPDATE device SET state = 'online', last_seen = now(), agent = 'wayside-edge 0.1.0'")
    await add_dead_letter(pool, DEVICE, bytes(range(256)), "unknown_type", SENTENCE)
    lines = [LogLine(at, 1_790_000_000_000, "error", "wayside_edge.uplink", f"{SENTENCE} {at}") for at in range(9)]
    item = received(DEVICE, encode_log("0123456789abcdef", lines), channel=Channel.LOG)
    assert isinstance(item, DeviceLog)
    await PostgresIngest(pool, "test", DeviceLimits()).settle([item])


async def _certify(pool: Pool, device: int, issued: datetime) -> None:
    async with connection(pool) as conn:
        await conn.execute(
            "INSERT INTO certificate (serial, device_id, not_before, not_after) VALUES (%s, %s, %s, %s)",
            [device, device, issued, issued + timedelta(days=90)],
        )


async def _add_entries(pool: Pool, now: datetime) -> None:
    trail = PostgresAudit(pool, lambda: now)
    who = "person:bartholomew.longbottom@waterworks.example"
    detail: Detail = {"group": "cellar", "from": ADDRESS, "reason": "not said", "uses": 10_000, "serial": "7f" * 20}
    for outcome in Outcome:
        for action, subject in (("enrolment.claim", f"device:{DEVICE}"), ("second_factor.require", "tenant:default")):
            await trail.record(Act(who, action, subject, 1, ADDRESS, outcome, detail))


async def _let_wait(pool: Pool) -> None:
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
    caller = Caller("person:bartholomew.longbottom@waterworks.example", 1, ADDRESS)
    key, order = new_key(), TokenOrder(timedelta(hours=1), name="pump-in-the-cellar-of-the-old-mill")
    token = await desk.tokens.create(order, caller)
    await desk.enrolments.enrol(token.digest, certificate_request(key), HERE)
    await desk.claims.ask(certificate_request(key), None, HERE)
    await desk.claims.ask(certificate_request(new_key()), None, ADDRESS)
    for at in range(3):
        many = TokenOrder(timedelta(days=30), prefix=f"pump-{at}-", group="cellar", uses=10_000, label=SENTENCE[:60])
        await desk.tokens.create(many, caller)


CUT_OFF = """() => {
    const shown = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
    const inside = (element) => element.closest(".chips, .hex, .docs, svg, .uplot, [popover], thead") === null;
    const name = (element) => `${element.tagName} ${element.textContent.trim().slice(0, 40)}`;
    const found = [];
    for (const card of document.querySelectorAll(".card, .top")) {
        const edge = card.getBoundingClientRect().right;
        for (const element of card.querySelectorAll("*"))
            if (shown(element) && inside(element) && element.getBoundingClientRect().right > edge + 1)
                found.push(`beside the card: ${name(element)}`);
    }
    for (const row of document.querySelectorAll(".rows tbody tr"))
        if (innerWidth > 1000 && row.getBoundingClientRect().height > 150) found.push(`high: ${name(row)}`);
    if (document.documentElement.scrollWidth > innerWidth) found.push("the page is wider than the screen");
    return found;
}"""


async def _shown(page: Page, url: str, picture: Path) -> list[str]:
    await page.goto(url)
    for holder, content in LATE.items():
        if await page.locator(holder).count():
            await expect(page.locator(content).first).to_be_visible()
    await page.screenshot(path=picture, full_page=True)
    return [str(one) for one in await page.evaluate(CUT_OFF)]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Root has no sandbox, and a container little shared memory.
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


async def test_nothing_is_cut_off(pool: Pool, console: str, office: Office, tmp_path: Path) -> None:
    await _fill(pool, office)
    cut = {}
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{console}/login/{await office.desk.sessions.create_link()}")
        await page.wait_for_url(f"{console}/")  # the page of a sign-in link leads on by itself
        for screen in SCREENS:
            await page.set_viewport_size(screen)
            for path in PAGES:
                picture = tmp_path / f"{screen['width']}{path.replace('/', '-')}.png"
                cut[screen["width"], path] = await _shown(page, console + path, picture)
    assert {place: found for place, found in cut.items() if found} == {}


async def test_a_device_of_many_series_shows_whole_rows_of_them(
    pool: Pool, console: str, office: Office, tmp_path: Path
) -> None:
    await office.claim()
    await _add_devices(pool, datetime.now(UTC))
    async with chromium() as browser:
        page = await browser.new_page(viewport=SCREENS[0])
        await page.goto(f"{console}/login/{await office.desk.sessions.create_link()}")
        await page.wait_for_url(f"{console}/")  # the page of a sign-in link leads on by itself
        await page.goto(f"{console}/devices/{DEVICE}")
        await expect(page.locator(".tiles li", has_text="agent.certificate_left")).to_contain_text("90 d")
        await expect(page.locator(".chip")).to_have_count(41)
        edge = await page.locator(".chips").evaluate("(chips) => chips.getBoundingClientRect().bottom")
        boxes = [await chip.bounding_box() for chip in await page.locator(".chip").all()]
        cut = [box for box in boxes if box is not None and box["y"] < edge < box["y"] + box["height"] - 1]
        assert cut == []
        await page.get_by_role("button", name="Show all 41 series").click()
        last = await page.locator(".chip").last.bounding_box()
        edge = await page.locator(".chips").evaluate("(chips) => chips.getBoundingClientRect().bottom")
        assert last is not None
        assert last["y"] + last["height"] <= edge + 1
        await page.get_by_text("agent.certificate_left · s").click()
        await expect(page.locator(".uplot")).to_have_count(2)
        await page.screenshot(path=tmp_path / "series.png", full_page=True)
        await page.goto("about:blank")


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without"])
async def test_what_would_undo_somebodys_work_is_asked_about(
    console: str, office: Office, tmp_path: Path, scripts: bool
) -> None:
    await office.claim()
    await office.employ("vera", Role.OPERATOR)
    async with chromium() as browser:
        page = await (await browser.new_context(java_script_enabled=scripts)).new_page()
        await page.goto(f"{console}/login/{await office.desk.sessions.create_link()}")
        await page.wait_for_url(f"{console}/")  # the page of a sign-in link leads on by itself
        for label, question, sure, shown in (
            ("Disable", "Disable Vera?", "Disable the account", "disabled"),
            ("Require one of admins", "Require a second factor of admins?", "Require it", "second factor"),
        ):
            await page.goto(f"{console}/people")
            await page.get_by_role("button", name=label).click()
            await expect(page.get_by_role("dialog", name=question)).to_be_visible()
            await page.screenshot(path=tmp_path / f"{label}.png")
            await page.get_by_role("button", name="Leave it as it is").click()
            await expect(page.get_by_role("dialog")).to_have_count(0)
            await page.get_by_role("button", name=label).click()
            await page.get_by_role("button", name=sure).click()
            await expect(page.get_by_text(shown, exact=label == "Disable").first).to_be_visible()
    assert await office.desk.accounts.required_second_factor(1)
    (vera,) = [member for member in await office.desk.accounts.members(1) if member.name == "vera"]
    assert vera.disabled_at is not None


async def test_what_is_shown_once_can_be_copied(console: str, office: Office, tmp_path: Path) -> None:
    await office.claim()
    async with chromium() as browser:
        context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        page = await context.new_page()
        await page.goto(f"{console}/login/{await office.desk.sessions.create_link()}")
        await page.wait_for_url(f"{console}/")  # the page of a sign-in link leads on by itself
        await page.goto(f"{console}/keys")
        await page.get_by_label("What it is for").fill("reports")
        await page.get_by_role("button", name="Make it").click()
        await page.get_by_role("button", name="Copy").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        await page.screenshot(path=tmp_path / "key.png")
        shown = await page.locator(".secret").inner_text()
        assert shown.startswith("wsk_")
        assert await page.evaluate("navigator.clipboard.readText()") == shown
