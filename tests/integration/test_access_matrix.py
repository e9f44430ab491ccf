"""Row 16: everybody's way to every route, as it follows from the permission that the route declares."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from wayside_server.domain.access import LEAST_ROLE, SCOPES, SESSION_COOKIE, Permission, Role, permissions_of
from wayside_server.identity.people import Method, Person
from wayside_server.identity.sessions import Visitor
from wayside_server.storage.database import Pool
from wayside_testkit.people import Office, open_office
from wayside_testkit.whole import whole_app

BASE = "https://wayside.example"
FOR_PROGRAMS = ("/metrics", "/openapi.json")
"""Beside those below /api; every other route is the console's, where no key is let in."""
EVERYTHING = permissions_of(Role.ADMIN) | {Permission.METRICS, Permission.INSTALL}


async def _everybody(office: Office) -> dict[str, tuple[Mapping[str, str], frozenset[Permission]]]:
    """Headers and permissions of everybody there can be: no one, each role, nobody's member, each scope alone."""
    people: dict[str, tuple[Person, frozenset[Permission]]] = {
        "installation": (await office.claim("ada"), EVERYTHING),
        "no tenant": (await office.employ("nina", None), frozenset()),
    }
    for role in Role:
        people[role.name.lower()] = (await office.employ(f"the-{role.name.lower()}", role), permissions_of(role))
    found: dict[str, tuple[Mapping[str, str], frozenset[Permission]]] = {"nobody": ({}, frozenset())}
    for kind, (person, may) in people.items():
        session = await office.desk.sessions.begin(person, Method.PASSPHRASE, Visitor("192.0.2.1"))
        cookie = {"Cookie": f"{SESSION_COOKIE}={session.token}", "Origin": BASE}
        found[kind] = (cookie, may | {Permission.SELF})
    for scope in SCOPES:
        key = await office.desk.keys.create("matrix", scopes=[scope])
        found[f"key {scope.value}"] = ({"Authorization": f"Bearer {key}"}, frozenset({scope, Permission.SELF}))
    return found


def _expected(permission: Permission, who: str, may: frozenset[Permission]) -> str:
    if permission is Permission.PUBLIC:
        return "let in"
    if permission is Permission.DEVICE:
        return "403"  # without a certificate on the connection, whatever else is sent
    if who == "nobody":
        return "401"
    return "let in" if permission in may else "403"


async def test_row_16_every_route_lets_in_whom_its_permission_says(pool: Pool, database: str, tmp_path: Path) -> None:
    office = open_office(pool, tmp_path)
    app = whole_app(pool, database, office)
    everybody = await _everybody(office)
    assert len(app.declared) > 50
    wrong = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        for method, path, permission in app.declared:
            # What is asked for is not there: who is let in is told so, and nothing is done.
            target = re.sub(r"\{(number|letter_id|dead_letter)[^}]*\}", "7", path)
            target = re.sub(r"\{[^}]+\}", "nothing-7", target)
            for who, (headers, may) in everybody.items():
                client.cookies.clear()
                answer = await client.request("HEAD" if method == "GET" else method, target, headers=headers)
                status = answer.status_code
                # A key has no account of its own.
                own = permission is Permission.SELF and who.startswith("key") and status == 403
                console = not path.startswith("/api/") and path not in FOR_PROGRAMS
                let = frozenset[Permission]() if console and who.startswith("key") else may
                seen = str(status) if status in (401, 403) and permission is not Permission.PUBLIC else "let in"
                if status >= 500 or (seen != _expected(permission, who, let) and not own):
                    wrong.append(f"{who}: {method} {path} ({permission.value}) gave {status}")
    assert wrong == []


def test_row_16_roles_grow_and_deny_by_default() -> None:
    for lower, higher in zip(list(Role)[:-1], list(Role)[1:], strict=True):
        assert permissions_of(lower) < permissions_of(higher)
    assert set(LEAST_ROLE) == permissions_of(Role.ADMIN)
    assert Permission.INSTALL not in permissions_of(Role.ADMIN)


async def test_an_administrator_acts_in_a_tenant_only_after_choosing_it(pool: Pool, tmp_path: Path) -> None:
    office = open_office(pool, tmp_path)
    person = await office.claim("ada")
    async with pool.connection() as conn:
        await conn.execute("INSERT INTO tenant (name, title) VALUES ('plant-2', 'Plant 2')")
        await conn.execute("DELETE FROM membership")
    desk = office.desk
    session = await desk.sessions.begin(person, Method.PASSPHRASE, Visitor("192.0.2.1"))
    principal = await desk.sessions.resume(session.token)
    assert (principal.tenant_id, Permission.READ in principal.permissions) == (None, False)
    assert Permission.INSTALL in principal.permissions
    tenant_id = await desk.accounts.tenant_id("plant-2")
    chosen = await desk.sessions.choose(tenant_id, Visitor("192.0.2.1", session=session.token))
    principal = await desk.sessions.resume(chosen.token)
    assert (principal.tenant_id, Permission.ADMINISTER in principal.permissions) == (tenant_id, True)
    entered = [act for act in office.trail.acts if act.action == "tenant.enter"]
    assert [(act.actor, act.tenant_id) for act in entered] == [("person:ada", tenant_id)]
    assert chosen.expires_at - datetime.now(UTC) <= timedelta(hours=12)
