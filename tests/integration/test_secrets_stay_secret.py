"""Secrets that are put into every field there is appear in no log, answer, dump or export (reliability row 13)."""

import base64
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from wayside_server import app
from wayside_server.app.people import desk_on
from wayside_server.domain.access import SCOPES
from wayside_server.identity.accounts import Applicant
from wayside_server.identity.sessions import Visitor
from wayside_server.identity.setup_code import ensure_setup_code
from wayside_testkit.site import Site, open_site

PASSPHRASE = "canary passphrase of nine hills"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Said:
    """Everything that came out somewhere."""

    answers: list[str] = field(default_factory=list)

    async def send(self, client: httpx.AsyncClient, method: str, path: str, **more: object) -> httpx.Response:
        answer = await client.request(method, path, **more)  # type: ignore[arg-type]
        if answer.status_code >= 400:
            self.answers.append(answer.text + str(answer.headers))
        return answer


@pytest.fixture
async def site(tmp_path: Path, database: str, capfd: pytest.CaptureFixture[str]) -> AsyncIterator[Site]:
    del capfd
    async with open_site(tmp_path / "home", database) as opened:
        yield opened


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    context = ssl.create_default_context(cafile=str(site.home.ca_file))
    async with httpx.AsyncClient(base_url=site.url, verify=context) as opened:
        yield opened


def variants(secret: str) -> Iterator[str]:
    """As it is, and as somebody could write it by mistake."""
    yield secret
    yield base64.b64encode(secret.encode()).decode()
    yield secret.encode().hex()


def dump(database: str) -> str:
    """Every row of every table, as text."""
    with psycopg.connect(database) as conn:
        names = conn.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema::regnamespace AND relkind = 'r'"
        ).fetchall()
        return "\n".join(
            str(row) for (name,) in names for row in conn.execute(f'SELECT t::text FROM "{name}" t'.encode()).fetchall()
        )


async def used_in_every_way(said: Said, client: httpx.AsyncClient, key: str, token: str, wrong: str) -> None:
    """Good and wrong secrets where they belong, and where they do not."""
    bearer = {"Authorization": f"Bearer {key}"}
    for secret in (key, token, wrong):
        basic = base64.b64encode(f"device:{secret}".encode()).decode()
        await said.send(client, "GET", "/api/v1/devices", headers={"Authorization": f"Bearer {secret}"})
        await said.send(client, "GET", f"/api/v1/devices/{secret}", headers=bearer)
        await said.send(client, "GET", f"/api/v1/devices?search={secret[:60]}&token={secret}", headers=bearer)
        await said.send(client, "GET", f"/login/{secret}")
        await said.send(client, "GET", "/", headers={"Cookie": f"__Host-wayside={secret}"})
        await said.send(client, "POST", "/.well-known/est/simpleenroll", headers={"Authorization": f"Basic {basic}"})
        await said.send(client, "POST", "/api/v1/enrolments/claims", headers=bearer, json={"code": secret[:40]})
        await said.send(client, "DELETE", f"/api/v1/api-keys/{secret}", headers=bearer)
        await said.send(client, "POST", "/api/v1/devices/boiler-7/revoke", headers=bearer, json={"reason": secret})
        form = {"name": "ada", "passphrase": secret, "key": secret, "code": secret[:40], "csrf": secret}
        for path in ("/sign-in", "/sign-in/code", "/set-up", f"/invitation/{secret}"):
            await said.send(client, "POST", path, headers=FORM, data=form)
    await said.send(client, "POST", "/sign-in", headers=FORM, data={"name": "ada", "passphrase": PASSPHRASE})


async def test_row_13_secrets_appear_in_no_log_answer_dump_or_export(
    site: Site, client: httpx.AsyncClient, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with app.open_storage(site.home, site.settings) as storage:
        desk = desk_on(site.home, site.settings, storage)
        setup = ensure_setup_code(site.home)
        visitor, who = Visitor("192.0.2.7"), Applicant("ada", "Ada", PASSPHRASE)
        person = await desk.accounts.set_up(setup, desk.setup_code(), who, visitor)
        key = await desk.keys.create("canary", scopes=SCOPES)
        link = await desk.sessions.create_link("ada")
        session = (await desk.sessions.redeem(link, visitor)).token
        assert person.name == "ada"
    token, wrong = str(await site.token("boiler-7")), f"wsk_abcdefgh_{secrets.token_urlsafe(32)}"
    said = Said()
    await used_in_every_way(said, client, key, token, wrong)
    bearer = {"Authorization": f"Bearer {key}"}
    audit = (await client.get("/api/v1/audit/export", headers=bearer)).text
    metrics = (await client.get("/metrics", headers=bearer)).text
    out, err = capfd.readouterr()
    places = {"the log": out + err, "an answer": "\n".join(said.answers), "the database": dump(database)}
    places |= {"the audit log": audit, "the metrics": metrics}
    assert len(said.answers) > 30
    assert "token.create" not in places["the metrics"]
    parts = {"key": key.split("_", 2)[2], "token": token.split(".")[1], "wrong key": wrong.split("_", 2)[2]}
    parts |= {"passphrase": PASSPHRASE, "set-up code": setup, "link": link, "session": session}
    found = [
        f"{name} in {place}"
        for name, secret in parts.items()
        for place, text in places.items()
        if any(each in text for each in variants(secret))
    ]
    # What a stranger sent comes back in nothing but the page that asks for it again.
    assert found == []
