"""Single sign-on with a real little provider over TLS: who is let in, and every token that must not be believed."""

import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from joserfc.jwk import RSAKey

from wayside_server.app.web import make_app
from wayside_server.domain.access import Role
from wayside_server.errors import ConfigError
from wayside_server.identity import oidc
from wayside_server.identity.home import Home
from wayside_server.identity.installation import install
from wayside_server.identity.oidc_people import parse_grants, roles_of
from wayside_server.identity.oidc_settings import OidcSettings
from wayside_server.identity.sessions import Visitor
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.oidc import SECRET, Provider, provide
from wayside_testkit.people import MovableClock, Office, open_office

HERE = Visitor("192.0.2.1")
GRANTS = ["ops=default:operator", "admins=default:admin", "plant=plant-2:viewer"]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("provider"))
    install(home, ["localhost"], MovableClock().time)
    return home


@pytest.fixture
async def provider(trust: Home) -> AsyncIterator[Provider]:
    provider = Provider()
    async with provide(provider, trust.certificate("api"), trust.key("api")):
        yield provider


@pytest.fixture
def office(pool: Pool, tmp_path: Path, trust: Home, provider: Provider) -> Office:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    settings = OidcSettings(
        issuer=provider.issuer, secret_file="secret", ca_file=str(trust.ca_file.absolute()), grants=GRANTS
    )
    return open_office(pool, tmp_path, oidc=settings)


@pytest.fixture
async def browser(pool: Pool, database: str, office: Office) -> AsyncIterator[httpx.AsyncClient]:
    await office.claim()
    app: FastAPI = make_app(PostgresReading(pool, database), office.desk, PostgresLive(database), [])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="https://wayside.example", headers={"Accept": "text/html"}
    ) as opened:
        yield opened


async def through(browser: httpx.AsyncClient, trust: Home, wanted: str = "/docs") -> str:
    """Takes the browser to the provider; gives the address to which that sends it back."""
    begun = await browser.get("/sign-in/oidc", params={"next": wanted})
    assert begun.status_code == 303, begun.text
    attributes = begun.headers["set-cookie"].lower()
    assert all(word in attributes for word in ("__host-wayside-oidc=", "secure", "httponly", "samesite=lax"))
    context = ssl.create_default_context(cafile=str(trust.ca_file))
    async with httpx.AsyncClient(verify=context) as outside:
        answer = await outside.get(begun.headers["location"])
    return str(answer.headers["location"])


async def test_who_the_provider_knows_comes_in_with_the_role_of_their_groups(
    browser: httpx.AsyncClient, office: Office, provider: Provider, trust: Home
) -> None:
    page = (await browser.get("/sign-in")).text
    assert "single sign-on" in page
    answer = await browser.get(await through(browser, trust))
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    assert (await browser.get("/docs")).status_code == 200
    assert (await browser.get("/keys")).status_code == 403
    person = await office.desk.accounts.person("greta")
    assert (person.display_name, person.issuer, person.passphrase_hash) == ("Greta", provider.issuer, None)

    provider.claims["groups"] = ["ops", "admins"]
    await browser.get(await through(browser, trust))
    assert (await browser.get("/keys")).status_code == 200, "the highest role of all groups, and of today's"
    provider.claims["groups"] = ["strangers"]
    answer = await browser.get(await through(browser, trust))
    assert (answer.status_code, "no longer" in answer.text or "any more" in answer.text) == (401, True)


async def test_a_session_before_is_replaced_and_a_role_that_an_admin_gave_stays(
    browser: httpx.AsyncClient, office: Office, provider: Provider, trust: Home
) -> None:
    await browser.get(await through(browser, trust))
    ada = await office.desk.sessions.resume(
        (await office.desk.sessions.redeem(await office.desk.sessions.create_link(), HERE)).token
    )
    await office.desk.accounts.set_role(ada, "greta", Role.ENGINEER, HERE)
    provider.claims["groups"] = []
    await browser.get(await through(browser, trust))
    members = {member.name: member.role for member in await office.desk.accounts.members(1)}
    assert members["greta"] is Role.ENGINEER


FORGED: dict[str, dict[str, Any]] = {
    "another nonce": {"change": {"nonce": "x"}},
    "no nonce": {"change": {"nonce": None}},
    "another audience": {"change": {"aud": "somebody-else"}},
    "two audiences without a party": {"change": {"aud": ["wayside", "somebody-else"], "azp": "somebody-else"}},
    "another issuer": {"change": {"iss": "https://evil.example"}},
    "expired": {"change": {"exp": int(time.time()) - 120}},
    "no end": {"change": {"exp": None}},
    "from the future": {"change": {"iat": int(time.time()) + 3600, "nbf": int(time.time()) + 3600}},
    "no subject": {"change": {"sub": None}},
    "a subject that is no text": {"change": {"sub": 42}},
    "algorithm none": {"algorithm": "none"},
    "a key that is not shown": {"key": RSAKey.generate_key(2048, {"kid": "one"})},
}


async def test_no_forged_token_lets_anybody_in(
    browser: httpx.AsyncClient, office: Office, provider: Provider, trust: Home
) -> None:
    for what, how in FORGED.items():
        provider.change, provider.algorithm, provider.key = {}, "RS256", provider.shown
        for name, value in how.items():
            setattr(provider, name, value)
        answer = await browser.get(await through(browser, trust))
        assert answer.status_code == 401, what
        assert "__Host-wayside=" not in str(answer.headers.get_list("set-cookie")), what
    assert [person.name for person in await office.desk.accounts.people()] == ["ada"]
    provider.change, provider.algorithm, provider.key = {}, "RS256", provider.shown
    assert (await browser.get(await through(browser, trust))).status_code == 303


async def test_a_key_that_the_provider_has_since_made_is_fetched(
    browser: httpx.AsyncClient, provider: Provider, trust: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await browser.get(await through(browser, trust))).status_code == 303
    provider.roll()
    assert (await browser.get(await through(browser, trust))).status_code == 401, "asked a moment ago"
    monkeypatch.setattr(oidc, "KEYS_AGAIN_S", 0.0)
    assert (await browser.get(await through(browser, trust))).status_code == 303


async def test_an_answer_is_good_once_for_the_browser_that_asked(
    browser: httpx.AsyncClient, provider: Provider, trust: Home
) -> None:
    back = await through(browser, trust)
    kept = dict(browser.cookies)
    browser.cookies.clear()
    assert (await browser.get(back)).status_code == 401, "another browser"
    state = parse_qs(urlsplit(back).query)["state"][0]
    for name, value in kept.items():
        browser.cookies.set(name, value, domain="wayside.example")
    assert (await browser.get(back.replace(state, "x" * len(state)))).status_code == 401
    for name, value in kept.items():
        browser.cookies.set(name, value, domain="wayside.example")
    assert (await browser.get(back)).status_code == 303
    for name, value in kept.items():
        browser.cookies.set(name, value, domain="wayside.example")
    assert (await browser.get(back)).status_code == 401, "the provider takes a code once"
    denied = await through(browser, trust)
    assert (await browser.get(f"{denied}&error=access_denied")).status_code == 401


async def test_nobody_becomes_somebody_who_is_here_already(
    browser: httpx.AsyncClient, office: Office, provider: Provider, trust: Home
) -> None:
    provider.claims["preferred_username"] = "ada"
    assert (await browser.get(await through(browser, trust))).status_code == 303
    names = [person.name for person in await office.desk.accounts.people()]
    assert len(names) == 2
    assert names[0] == "ada"
    assert names[1].startswith("ada-")
    assert (await browser.get("/keys")).status_code == 403


async def test_strangers_and_disabled_people_are_refused(
    browser: httpx.AsyncClient, office: Office, provider: Provider, trust: Home
) -> None:
    provider.claims["groups"] = ["strangers"]
    answer = await browser.get(await through(browser, trust))
    assert (answer.status_code, "none of your groups" in answer.text) == (401, True)
    provider.claims["groups"] = ["ops"]
    await browser.get(await through(browser, trust))
    await office.desk.machine.set_disabled("greta", disabled=True)
    assert (await browser.get("/")).status_code == 303
    assert (await browser.get(await through(browser, trust))).status_code == 401


async def test_a_provider_that_is_away_or_another_is_told(
    pool: Pool, tmp_path: Path, provider: Provider, trust: Home
) -> None:
    for issuer, told in (
        (f"{provider.issuer}/other", "calls itself|no JSON"),
        ("https://localhost:1", "does not answer"),
    ):
        settings = OidcSettings(issuer=issuer, ca_file=str(trust.ca_file.absolute()), grants=GRANTS)
        office = open_office(pool, tmp_path, oidc=settings)
        assert office.desk.oidc is not None
        with pytest.raises(Exception, match=told):
            await office.desk.oidc.begin("/")


def test_grants_are_checked_before_anybody_comes() -> None:
    for bad in ("ops", "ops=default", "ops=default:boss", "=default:admin", "ops=:admin"):
        with pytest.raises(ConfigError, match="write group=tenant:role"):
            parse_grants([bad])
    grants = parse_grants(["a=b=default:viewer", "x=default:admin", "y=default:operator"])
    assert roles_of(["a=b", "y"], grants) == {"default": Role.OPERATOR}
