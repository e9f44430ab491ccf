"""What nobody can give who has it not, and that the console is for people alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from wayside_server.app.web import make_app
from wayside_server.console.render import csrf_token
from wayside_server.domain.access import Permission, Role
from wayside_server.errors import ConfigError
from wayside_server.identity.sessions import Visitor
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.people import ADDRESS, Office, open_office

HERE = Visitor(ADDRESS)
BASE = "https://wayside.example"
FORMS: dict[str, dict[str, str]] = {
    "/people/invitations": {"role": "admin", "label": "x"},
    "/people/second-factor": {"wanted": "false"},
    "/people/members/vera": {"act": "admin"},
    "/keys": {"label": "x", "scope": "administer"},
    "/sign-out": {},
}


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path)


@pytest.fixture
async def client(pool: Pool, database: str, office: Office) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(PostgresReading(pool, database), office.desk, PostgresLive(database), [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as opened:
        yield opened


async def test_a_key_fills_in_no_form_of_the_console(client: httpx.AsyncClient, office: Office) -> None:
    await office.employ("vera", Role.VIEWER)
    key = await office.desk.keys.create("robot", scopes=[Permission.ADMINISTER, Permission.READ])
    sent = {"Authorization": f"Bearer {key}", "Origin": BASE}
    for path, fields in FORMS.items():
        answer = await client.post(path, data={**fields, "csrf": csrf_token("")}, headers=sent)
        assert answer.status_code == 403, path
    for path in ("/people", "/keys", "/", "/docs"):
        answer = await client.get(path, headers=sent)
        assert (answer.status_code, "the console is for people" in answer.text) == (403, True), path
    assert await office.desk.accounts.invitations(1) == []
    assert len(await office.desk.keys.list()) == 1


async def test_nobody_invites_or_raises_to_what_they_have_not(office: Office) -> None:
    await office.employ("vera", Role.VIEWER)
    key = await office.desk.keys.create("robot", scopes=[Permission.ADMINISTER, Permission.READ])
    by = await office.desk.keys.authenticate(key)
    for role in (Role.OPERATOR, Role.ENGINEER, Role.ADMIN):
        with pytest.raises(ConfigError, match="you have not"):
            await office.desk.accounts.invite(by, role, "x", HERE)
        with pytest.raises(ConfigError, match="you have not"):
            await office.desk.accounts.set_role(by, "vera", role, HERE)
    await office.employ("boss", Role.ADMIN)
    with pytest.raises(ConfigError, match="you have not"):
        await office.desk.accounts.set_role(by, "boss", Role.VIEWER, HERE)
    assert office.trail.acts[1:] == []
    await office.desk.accounts.invite(by, Role.VIEWER, "x", HERE)
