"""The way into the console, and what keeps others out of it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from wayside_server.api.middleware import SECURITY_HEADERS
from wayside_server.api.service import create_app
from wayside_server.console.pages import STATIC, console_router
from wayside_server.console.render import error_page
from wayside_server.domain.access import SESSION_COOKIE, Role
from wayside_server.identity.second_factor import STEP_S
from wayside_server.identity.sessions import IDLE_LIFE, SESSION_LIFE
from wayside_server.identity.setup_code import ensure_setup_code
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.people import PASSPHRASE, MovableClock, Office, open_office, send, sign_in, take_session
from wayside_testkit.telemetry import add_device, add_series
from wayside_testkit.totp import code_at

BASE = "https://wayside.example"
DEFAULT_LOGINS = [
    (name, word)
    for name in ("admin", "administrator", "root", "wayside", "operator", "demo", "user", "test")
    for word in ("", "admin", "password", "wayside", "changeme", "changemechangeme", "administrator", "123456789012")
]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def office(pool: Pool, tmp_path: Path, clock: MovableClock) -> Office:
    return open_office(pool, tmp_path, clock)


@pytest.fixture
def app(pool: Pool, database: str, office: Office) -> FastAPI:
    reading = PostgresReading(pool, database)
    return create_app(
        reading=reading,
        access=office.desk.sessions,
        live=PostgresLive(database),
        routers=[console_router(reading, office.desk)],
        static=STATIC,
        error_page=error_page,
    )


@asynccontextmanager
async def opened(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers={"Accept": "text/html"}) as client:
        yield client


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(app) as client:
        yield client


async def test_row_2_a_fresh_installation_lets_nobody_in_until_it_is_claimed(
    browser: httpx.AsyncClient, office: Office
) -> None:
    for name, word in DEFAULT_LOGINS:
        answer = await sign_in(browser, name, word or "x")
        assert (answer.status_code, answer.headers["location"]) == (303, "/set-up")
        assert "set-cookie" not in answer.headers
    for path in ("/", "/devices/boiler-7", "/people", "/keys", "/account", "/docs", "/incidents"):
        assert (await browser.get(path)).headers["location"].startswith("/sign-in")
    assert (await browser.get("/sign-in")).headers["location"] == "/set-up"
    form = {"name": "ada", "passphrase": PASSPHRASE}
    for code in ("", "AAAAAA-AAAAAA-AAAAAA-AAAAAA"):
        refused = await browser.post("/set-up", data={**form, "code": code or "x"})
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
    code = ensure_setup_code(office.home)
    weak = await browser.post("/set-up", data={**form, "code": code, "passphrase": "administrator"})
    assert weak.status_code == 422
    assert "commonest" in weak.text
    claimed = await browser.post("/set-up", data={**form, "code": code.lower().replace("-", " ")})
    assert (claimed.status_code, claimed.headers["location"]) == (303, "/")
    assert (await browser.get("/")).status_code == 200
    assert not office.home.setup_code.exists()
    browser.cookies.clear()
    again = await browser.post("/set-up", data={**form, "name": "eve", "code": code})
    assert again.status_code == 401
    for name, word in DEFAULT_LOGINS[::9]:
        assert (await sign_in(browser, name, word or "x")).status_code in (401, 429)


async def test_row_23_cookies_are_for_this_host_alone(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    answer = await sign_in(browser, "Ada ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    attributes = answer.headers["set-cookie"].lower()
    assert attributes.startswith("__host-wayside=")
    assert all(word in attributes for word in ("secure", "httponly", "samesite=lax", "path=/"))
    assert "domain=" not in attributes
    page = await browser.get("/account")
    for name, value in SECURITY_HEADERS.items():
        assert page.headers[name] == value
    assert "unsafe-inline" not in page.headers["content-security-policy"]


async def test_row_23_a_session_begins_under_a_token_that_nobody_knew(
    browser: httpx.AsyncClient, office: Office
) -> None:
    await office.claim()
    browser.cookies.set(SESSION_COOKIE, "planted", domain="wayside.example")
    answer = await sign_in(browser, "ada")
    assert "planted" not in answer.headers["set-cookie"]
    first = take_session(browser)
    await sign_in(browser, "ada")
    second = take_session(browser)
    assert first != second
    browser.cookies.clear()
    browser.cookies.set(SESSION_COOKIE, first, domain="wayside.example")
    assert (await browser.get("/")).status_code == 303, "the session before ended with the new one"


async def test_row_23_sessions_end_when_idle_and_after_a_day(
    browser: httpx.AsyncClient, office: Office, clock: MovableClock
) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    clock.time += IDLE_LIFE
    assert (await browser.get("/")).status_code == 303
    await sign_in(browser, "ada")
    began = clock.time
    while clock.time - began < SESSION_LIFE - IDLE_LIFE / 2:
        assert (await browser.get("/")).status_code == 200
        clock.time += IDLE_LIFE / 2
    clock.time = began + SESSION_LIFE
    assert (await browser.get("/")).status_code == 303


async def test_row_23_a_page_that_refreshes_itself_keeps_no_session_alive(
    browser: httpx.AsyncClient, office: Office, clock: MovableClock
) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    for _ in range(2):
        assert (await browser.get("/devices", headers={"Sec-Fetch-Dest": "empty"})).status_code == 200
        clock.time += IDLE_LIFE / 2
    assert (await browser.get("/")).status_code == 303


async def test_row_23_a_form_on_another_site_changes_nothing(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    fields = {"csrf": "x", "name": "x", "passphrase": "x"}
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("/sign-out", "/sign-in", "/keys", "/people/invitations", "/account/sign-out-everywhere"):
            assert (await browser.post(path, data=fields, headers=headers)).status_code == 403
    assert (await browser.get("/")).status_code == 200


async def test_row_23_every_form_of_a_session_takes_its_own_token(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    forms = {
        "/sign-out": {},
        "/keys": {"label": "x", "scope": "read"},
        "/keys/abcdefgh/revoke": {},
        "/people/invitations": {"role": "viewer", "label": "x"},
        "/people/invitations/1/withdraw": {},
        "/people/second-factor": {"wanted": "true"},
        "/people/members/ada": {"act": "viewer"},
        "/account/passphrase": {"new": PASSPHRASE, "old": PASSPHRASE},
        "/account/tenant": {"tenant": "1"},
        "/account/second-factor": {"sealed": "00", "code": "000000"},
        "/account/second-factor/remove": {"code": "000000"},
        "/account/sessions/1/end": {},
        "/account/sign-out-everywhere": {},
    }
    for path, fields in forms.items():
        answer = await browser.post(path, data={**fields, "csrf": "0" * 64})
        assert (answer.status_code, "out of date" in answer.text) == (403, True), path
    assert (await browser.get("/")).status_code == 200


async def test_row_15_who_guesses_is_told_how_long_to_wait(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    answers = [await sign_in(browser, name, "wrong") for name in ("ada", "nobody-here") for _ in range(10)]
    for ten in (answers[:10], answers[10:]):
        assert [answer.status_code for answer in ten] == [401] * 5 + [429] * 5
        assert ten[-1].headers["retry-after"] == "1"
        assert "try again in 1 s" in ten[-1].text
    texts = {re.sub('value="(ada|nobody-here)"', "", answer.text) for answer in answers if answer.status_code == 401}
    assert len(texts) == 1, "nothing tells a name that there is from one that there is not"
    assert "name or passphrase is wrong" in texts.pop()


async def test_strangers_are_sent_to_the_sign_in(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    wanted = {
        "/": "/sign-in",
        "/docs": "/sign-in?next=%2Fdocs",
        "/devices/boiler-7?series=2": "/sign-in?next=%2Fdevices%2Fboiler-7%3Fseries%3D2",
    }
    for path, location in wanted.items():
        answer = await browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, location)
    assert (await browser.get("/static/console.css")).status_code == 200


async def test_the_sign_in_leads_where_one_was_going_but_to_no_other_site(
    browser: httpx.AsyncClient, office: Office
) -> None:
    await office.claim()
    for wanted, reached in {
        "/devices/boiler-7?series=2": "/devices/boiler-7?series=2",
        "https://evil.example/": "/",
        "//evil.example/": "/",
        "/\\evil.example/": "/",
        "/\t/evil.example/": "/",
        "": "/",
    }.items():
        form = await browser.get("/sign-in", params={"next": wanted})
        assert f'name="next" value="{reached}"' in form.text
        answer = await sign_in(browser, "ada", to=wanted)
        assert (answer.status_code, answer.headers["location"]) == (303, reached)


async def test_a_browser_is_shown_a_page_when_something_fails(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    for path, status, reason in (
        ("/foo", 404, "There is nothing at /foo."),
        ("/incidents?before=x", 422, "Before: Input should be a valid integer"),
        ("/devices/kiln-9/now", 404, "There is no device"),
    ):
        answer = await browser.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert reason in answer.text
    for answer in (await browser.get("/api/v1/foo"), await browser.get("/foo", headers={"Accept": "*/*"})):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_link_lets_in_once(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    link = await office.desk.sessions.create_link()
    assert (await browser.get(f"/login/{link}")).status_code == 200
    assert (await browser.get("/")).status_code == 200
    browser.cookies.clear()
    spent = await browser.get(f"/login/{link}")
    assert (spent.status_code, "set-cookie" in spent.headers) == (401, False)


async def test_signing_out_ends_the_session_on_the_server(browser: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    session = take_session(browser)
    assert (await send(browser, "/", "/sign-out")).status_code == 303
    browser.cookies.set(SESSION_COOKIE, session, domain="wayside.example")
    assert (await browser.get("/")).status_code == 303


async def test_the_second_factor_stands_between_passphrase_and_session(
    browser: httpx.AsyncClient, office: Office, clock: MovableClock, app: FastAPI
) -> None:
    await office.claim()
    await sign_in(browser, "ada")
    page = await browser.get("/account/second-factor")
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in page.text
    sealed = re.search(r'name="sealed" value="([0-9a-f]+)"', page.text)
    secret = re.search(r"secret=([A-Z2-7]+)", page.text)
    assert sealed is not None
    assert secret is not None
    fields = {"sealed": sealed[1], "code": "000000", "passphrase": PASSPHRASE}
    assert (await send(browser, "/account", "/account/second-factor", **fields)).status_code == 422
    fields["code"] = code_at(secret[1], clock.time)
    for wrong in ("", "wrong"):
        taken = await send(browser, "/account", "/account/second-factor", **{**fields, "passphrase": wrong})
        assert (taken.status_code, "passphrase is wrong" in taken.text) == (422, True)
    codes = await send(browser, "/account", "/account/second-factor", **fields)
    recovery = re.findall(r"<code>([A-Z2-7-]{19})</code>", codes.text)
    assert len(recovery) == 10

    async with opened(app) as other:
        waiting = await sign_in(other, "ada", to="/docs")
        assert waiting.headers["location"] == "/sign-in/code?next=%2Fdocs"
        assert (await other.get("/docs")).status_code == 303, "the passphrase alone opens nothing"
        asked = {"next": "/docs", "code": code_at(secret[1], clock.time)}
        used = await send(other, "/sign-in/code", "/sign-in/code", **asked)
        assert used.status_code == 401, "the code that switched it on was used with that"
        clock.time += timedelta(seconds=2 * STEP_S)
        asked["code"] = code_at(secret[1], clock.time)
        before = take_session(other)
        done = await send(other, "/sign-in/code", "/sign-in/code", **asked)
        assert (done.status_code, done.headers["location"]) == (303, "/docs")
        assert take_session(other) != before
        assert (await other.get("/docs")).status_code == 200
    async with opened(app) as lost:
        await sign_in(lost, "ada")
        replayed = await send(lost, "/sign-in/code", "/sign-in/code", **asked)
        assert replayed.status_code == 401
        asked["code"] = recovery[0].lower()
        assert (await send(lost, "/sign-in/code", "/sign-in/code", **asked)).status_code == 303
        await sign_in(lost, "ada")
        assert (await send(lost, "/sign-in/code", "/sign-in/code", **asked)).status_code == 401


async def test_admins_who_must_have_a_second_factor_set_it_up_first(
    browser: httpx.AsyncClient, office: Office, app: FastAPI
) -> None:
    await office.claim()
    await office.employ("vera", Role.VIEWER)
    await sign_in(browser, "ada")
    assert (await send(browser, "/people", "/people/second-factor", wanted="true")).status_code == 303
    held = await browser.get("/")
    assert (held.status_code, "second factor" in held.text) == (403, True)
    assert (await sign_in(browser, "ada")).headers["location"] == "/account"
    async with opened(app) as viewer:
        await sign_in(viewer, "vera")
        assert (await viewer.get("/")).status_code == 200


async def test_what_people_wrote_is_shown_as_text(pool: Pool, browser: httpx.AsyncClient, office: Office) -> None:
    """Row 23: names, labels and what a browser says of itself."""
    await office.claim()
    await add_device(pool, "boiler-7")
    browser.headers["User-Agent"] = "<img src=x>"
    await sign_in(browser, "ada")
    await send(browser, "/people", "/people/invitations", role="viewer", label="<script>alert(1)</script>")
    await send(browser, "/keys", "/keys", label="<script>alert(1)</script>", scope="read")
    for path in (
        "/?search=<script>alert(1)</script>",
        "/devices?search=%22><img src=x>",
        "/people",
        "/keys",
        "/account",
    ):
        text = (await browser.get(path)).text
        assert "<script>alert" not in text
        assert "<img src=x>" not in text
    assert "&lt;script&gt;alert" in (await browser.get("/keys")).text
    assert "<b>x" not in (await browser.get("/devices/<b>x")).text


async def test_what_a_board_tells_of_itself_comes_behind_what_it_measures(
    pool: Pool, browser: httpx.AsyncClient, office: Office
) -> None:
    await office.claim()
    device = await add_device(pool, "boiler-7")
    names = ["agent.cpu", "agent.memory", "air.temperature", "water.level"]
    for name in names:
        await add_series(pool, device, name, "1", [])
    async with connection(pool) as conn:
        await conn.execute("INSERT INTO latest SELECT id, now(), 1.5 FROM series")
    await sign_in(browser, "ada")
    text = (await browser.get("/devices/boiler-7")).text
    places = [text.index(f'title="{name}"') for name in ("air.temperature", "water.level", "agent.cpu", "agent.memory")]
    assert places == sorted(places)
    assert places[1] < text.index("Board and agent") < places[2]
