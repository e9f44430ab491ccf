"""Who lacks a permission is noted; a key shows and may no more than its maker."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from wayside_server.app.web import make_app
from wayside_server.domain.access import Permission, Principal, Role, sees_installation
from wayside_server.domain.audit import Outcome
from wayside_server.errors import ConfigError
from wayside_server.identity.keys import KEY_LIFE
from wayside_server.identity.people import Method
from wayside_server.identity.sessions import Visitor
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_testkit.people import ADDRESS, Office, open_office

HERE = Visitor(ADDRESS)
DEVICES = "/api/v1/devices"


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path)


@pytest.fixture
async def client(pool: Pool, database: str, office: Office) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(PostgresReading(pool, database), office.desk, PostgresLive(database), [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://wayside.example") as opened:
        yield opened


async def principal(office: Office, name: str) -> Principal:
    person = await office.desk.accounts.person(name)
    return await office.desk.sessions.resume((await office.desk.sessions.begin(person, Method.PASSPHRASE, HERE)).token)


async def key_of(office: Office, by: Principal, *scopes: Permission) -> dict[str, str]:
    text, _ = await office.desk.keys.create_for(by, "x", KEY_LIFE, scopes, None)
    return {"Authorization": f"Bearer {text}"}


async def test_who_lacks_a_permission_is_entered_and_counted(
    pool: Pool, client: httpx.AsyncClient, office: Office
) -> None:
    key = await office.desk.keys.create("x", scopes=[Permission.READ])
    for _ in range(2):
        answer = await client.get("/api/v1/api-keys", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 403
    act = office.trail.acts[-1]
    assert (act.actor, act.action, act.subject) == (
        f"key:{key.split('_')[1]}",
        "route.use",
        "route:GET /api/v1/api-keys",
    )
    assert (act.tenant_id, act.outcome, act.detail) == (
        1,
        Outcome.REFUSED,
        {"kind": "permission", "needs": "administer"},
    )
    async with pool.connection() as conn:
        found = await (await conn.execute("SELECT tenant_id, kind, count FROM tenant_refusal")).fetchall()
    assert found == [(1, "permission", 2)]


async def test_a_key_is_held_as_its_maker_is(client: httpx.AsyncClient, office: Office) -> None:
    await office.claim()
    await office.employ("ann", Role.ADMIN)
    await office.employ("vera", Role.ENGINEER)
    ada, ann, vera = [await principal(office, name) for name in ("ada", "ann", "vera")]
    keys = {name: await key_of(office, by, Permission.READ) for name, by in (("ann", ann), ("vera", vera))}
    own = {"Authorization": f"Bearer {await office.desk.keys.create('x')}"}
    await office.desk.accounts.require_second_factor(ada, wanted=True, visitor=HERE)
    held = await client.get(DEVICES, headers=keys["ann"])
    assert (held.status_code, "who made this key has none" in held.json()["detail"]) == (403, True)
    for headers in (keys["vera"], own):
        assert (await client.get(DEVICES, headers=headers)).status_code == 200
    person = await office.desk.accounts.person("ann")
    await office.stores.people.set_second_factor(person.person_id, b"sealed", [], _enter)
    assert (await client.get(DEVICES, headers=keys["ann"])).status_code == 200


async def _enter() -> None:
    pass


async def test_no_key_says_whether_people_need_a_second_factor(office: Office) -> None:
    key = await office.desk.keys.create("robot", scopes=[Permission.ADMINISTER])
    by = await office.desk.keys.authenticate(key)
    with pytest.raises(ConfigError, match="as a person"):
        await office.desk.accounts.require_second_factor(by, wanted=True, visitor=HERE)
    assert not await office.desk.accounts.required_second_factor(1)
    assert office.trail.acts[-1].outcome is Outcome.REFUSED


async def test_a_key_that_a_person_made_sees_nothing_of_the_installation(office: Office) -> None:
    await office.claim()
    await office.employ("ann", Role.ADMIN)
    keys, seen = office.desk.keys, {}
    for name in ("ann", "ada"):
        by = await principal(office, name)
        for scope in (Permission.READ, Permission.ADMINISTER, Permission.INSTALL):
            if scope in by.permissions:
                text, _ = await keys.create_for(by, "x", KEY_LIFE, [scope], None)
                seen[name, scope.value] = sees_installation(await keys.authenticate(text))
    assert [who for who, sees in seen.items() if sees] == [("ada", "install")]
    assert sees_installation(await keys.authenticate(await keys.create("of the installation")))
    maker, _ = await keys.create_for(await principal(office, "ann"), "x", KEY_LIFE, [Permission.ADMINISTER], None)
    child, _ = await keys.create_for(await keys.authenticate(maker), "x", KEY_LIFE, [Permission.ADMINISTER], None)
    assert not sees_installation(await keys.authenticate(child))
