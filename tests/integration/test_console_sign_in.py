import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from wayside_server.api.service import create_app
from wayside_server.console.pages import STATIC, console_router
from wayside_server.console.render import error_page
from wayside_server.domain.access import SESSION_COOKIE
from wayside_server.identity.keys import Keys
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.telemetry import add_device, add_series

HTML = {"Accept": "text/html"}


@pytest.fixture
def keys(pool: Pool) -> Keys:
    return Keys(PostgresIdentity(pool), lambda: datetime.now(UTC))


@pytest.fixture
async def browser(pool: Pool, database: str, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    reading = PostgresReading(pool, database)
    app = create_app(
        reading=reading,
        access=keys,
        live=PostgresLive(database),
        routers=[console_router(reading, keys)],
        static=STATIC,
        error_page=error_page,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="https://wayside.example", headers=HTML
    ) as opened:
        yield opened


async def _sign_in(browser: httpx.AsyncClient, keys: Keys) -> None:
    answer = await browser.post("/sign-in", data={"key": await keys.create("operator")})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    attributes = answer.headers["set-cookie"].lower()
    assert attributes.startswith(SESSION_COOKIE.lower())
    assert all(word in attributes for word in ("secure", "httponly", "samesite=strict", "path=/"))
    assert "domain=" not in attributes


async def test_pages_send_strangers_to_the_sign_in(browser: httpx.AsyncClient) -> None:
    wanted = {
        "/": "/sign-in",
        "/docs": "/sign-in?next=%2Fdocs",
        "/devices/boiler-7?series=2": "/sign-in?next=%2Fdevices%2Fboiler-7%3Fseries%3D2",
    }
    for path, location in wanted.items():
        answer = await browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, location)
    assert (await browser.get("/static/console.css")).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/devices/boiler-7?series=2", "/devices/boiler-7?series=2"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\t/evil.example/", "/"),
        ("", "/"),
    ],
)
async def test_the_sign_in_leads_where_one_was_going_but_to_no_other_site(
    browser: httpx.AsyncClient, keys: Keys, wanted: str, reached: str
) -> None:
    form = await browser.get("/sign-in", params={"next": wanted})
    assert f'name="next" value="{reached}"' in form.text
    answer = await browser.post("/sign-in", data={"key": await keys.create("operator"), "next": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, reached)


async def test_a_browser_is_shown_a_page_when_something_fails(browser: httpx.AsyncClient, keys: Keys) -> None:
    await _sign_in(browser, keys)
    for path, status, reason in (
        ("/foo", 404, "there is nothing at /foo"),
        ("/incidents?before=x", 422, "before: Input should be a valid integer"),
        ("/devices/kiln-9/now", 404, "there is no device"),
    ):
        answer = await browser.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert reason in answer.text
    for answer in (await browser.get("/api/v1/foo"), await browser.get("/foo", headers={"Accept": "*/*"})):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_wrong_key_or_a_spent_link_opens_nothing(browser: httpx.AsyncClient, keys: Keys) -> None:
    refused = await browser.post("/sign-in", data={"key": "wsk_aaaaaaaa_x"})
    assert (refused.status_code, "not valid" in refused.text) == (401, True)
    link = await keys.create_link()
    assert (await browser.get(f"/login/{link}")).status_code == 200
    browser.cookies.clear()
    spent = await browser.get(f"/login/{link}")
    assert (spent.status_code, "set-cookie" in spent.headers) == (401, False)


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_form_on_another_site_changes_nothing(
    browser: httpx.AsyncClient, keys: Keys, headers: dict[str, str]
) -> None:
    await _sign_in(browser, keys)
    for path in ("/sign-out", "/sign-in"):
        assert (await browser.post(path, data={"csrf": "x", "key": "x"}, headers=headers)).status_code == 403
    assert (await browser.get("/")).status_code == 200


async def test_signing_out_takes_the_forms_own_token_and_ends_the_session(
    browser: httpx.AsyncClient, keys: Keys
) -> None:
    await _sign_in(browser, keys)
    session = browser.cookies[SESSION_COOKIE]
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', (await browser.get("/")).text)
    assert found is not None
    assert (await browser.post("/sign-out", data={"csrf": "0" * 64})).status_code == 403
    own = {"Origin": "https://wayside.example"}
    assert (await browser.post("/sign-out", data={"csrf": found[1]}, headers=own)).status_code == 303
    browser.cookies.set(SESSION_COOKIE, session)
    assert (await browser.get("/")).status_code == 303


async def test_what_people_wrote_is_shown_as_text(pool: Pool, browser: httpx.AsyncClient, keys: Keys) -> None:
    await _sign_in(browser, keys)
    await add_device(pool, "boiler-7")
    for path in ("/?search=<script>alert(1)</script>", "/devices?search=%22><img src=x>", "/devices/<b>x"):
        text = (await browser.get(path)).text
        assert "<script>alert" not in text
        assert "<img src=x>" not in text
        assert "<b>x" not in text


async def test_what_a_board_tells_of_itself_comes_behind_what_it_measures(
    browser: httpx.AsyncClient, keys: Keys, pool: Pool
) -> None:
    device = await add_device(pool, "boiler-7")
    names = ["agent.cpu", "agent.memory", "air.temperature", "water.level"]
    for name in names:
        await add_series(pool, device, name, "1", [])
    async with connection(pool) as conn:
        await conn.execute("INSERT INTO latest SELECT id, now(), 1.5 FROM series")
    await _sign_in(browser, keys)
    text = (await browser.get("/devices/boiler-7")).text
    places = [text.index(f'title="{name}"') for name in ("air.temperature", "water.level", "agent.cpu", "agent.memory")]
    assert places == sorted(places)
    assert places[1] < text.index("Board and agent") < places[2]
