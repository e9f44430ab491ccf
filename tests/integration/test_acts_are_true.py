"""The audit log says of an act that it was done when it was done, and only then."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from wayside_server.domain.access import Permission, Principal, Role
from wayside_server.domain.audit import Act, Outcome
from wayside_server.errors import ConfigError, NotFoundError, StorageError, UnauthorizedError, WaysideError
from wayside_server.identity.accounts import Applicant
from wayside_server.identity.keys import KEY_LIFE
from wayside_server.identity.people import Method
from wayside_server.identity.sessions import Visitor
from wayside_server.identity.setup_code import ensure_setup_code
from wayside_server.storage.database import Pool
from wayside_testkit.people import ADDRESS, PASSPHRASE, MovableClock, Office, open_office

HERE = Visitor(ADDRESS)


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path, MovableClock())


async def principal(office: Office, name: str) -> Principal:
    person = await office.desk.accounts.person(name)
    return await office.desk.sessions.resume((await office.desk.sessions.begin(person, Method.PASSPHRASE, HERE)).token)


def outcomes(office: Office, action: str) -> Counter[Outcome]:
    return Counter(act.outcome for act in office.trail.acts if act.action == action)


async def test_of_many_who_claim_at_once_one_has(office: Office) -> None:
    code = ensure_setup_code(office.home)
    claims = [
        office.desk.accounts.set_up(code, code, Applicant(f"name-{n}", "", PASSPHRASE), Visitor(f"192.0.2.{n}"))
        for n in range(12)
    ]
    await asyncio.gather(*claims, return_exceptions=True)
    assert outcomes(office, "installation.claim") == {Outcome.DONE: 1, Outcome.REFUSED: 11}


async def test_of_many_who_accept_one_invitation_one_has(office: Office) -> None:
    await office.claim()
    token = await office.desk.accounts.invite(await principal(office, "ada"), Role.VIEWER, "x", HERE)
    joining = [office.desk.accounts.accept(token, Applicant(f"erik-{n}", "", PASSPHRASE), HERE) for n in range(4)]
    joined = [one for one in await asyncio.gather(*joining, return_exceptions=True) if not isinstance(one, Exception)]
    assert len(joined) == 1
    assert outcomes(office, "invitation.accept") == {Outcome.DONE: 1, Outcome.REFUSED: 3}


async def test_what_was_not_there_to_be_changed_failed(pool: Pool, office: Office) -> None:
    await office.claim()
    async with pool.connection() as conn:
        await conn.execute("INSERT INTO tenant (name, title) VALUES ('plant-2', 'Plant 2')")
    foreign = (await office.desk.keys.create("other", tenant_id=2)).split("_")[1]
    by, desk = await principal(office, "ada"), office.desk
    mine = Visitor(ADDRESS, session=(await desk.sessions.sign_in("ada", PASSPHRASE, HERE)).token)
    for error, attempt in (
        (NotFoundError, desk.keys.revoke(foreign, tenant_id=1, actor=by.actor)),
        (NotFoundError, desk.accounts.withdraw(by, 4711, HERE)),
        (NotFoundError, desk.accounts.set_role(by, "my secret passphrase", Role.VIEWER, HERE)),
        (NotFoundError, desk.sessions.end(4711, mine)),
        (ConfigError, desk.machine.add_administrator("ada")),
    ):
        with pytest.raises(error):
            await attempt
    for action in ("key.revoke", "invitation.withdraw", "role.set", "session.end", "person.create"):
        assert outcomes(office, action) == {Outcome.FAILED: 1}, action
    assert "my secret passphrase" not in repr(office.trail.acts)
    await desk.keys.authenticate(await desk.keys.create("x", tenant_id=2))


@dataclass(frozen=True)
class Attempt:
    """An act, and how to see whether it was done."""

    action: str
    do: Callable[[Office, Principal], Awaitable[object]]


async def _passphrase(office: Office, _by: Principal) -> None:
    session = await office.desk.sessions.sign_in("vera", PASSPHRASE, HERE)
    opened = await office.desk.sessions.open(session.token)
    await office.desk.accounts.change_passphrase(opened, PASSPHRASE, "another of nine kettles", HERE)


State: TypeAlias = dict[str, list[object]]
TABLES = ("person", "membership", "invitation", "api_key", "tenant", "sign_in_link")
ATTEMPTS = [
    Attempt("role.set", lambda office, by: office.desk.accounts.set_role(by, "vera", Role.VIEWER, HERE)),
    Attempt("role.set", lambda office, by: office.desk.accounts.set_role(by, "vera", None, HERE)),
    Attempt(
        "person.disable", lambda office, by: office.desk.accounts.set_member_disabled(by, "vera", HERE, disabled=True)
    ),
    Attempt(
        "second_factor.require",
        lambda office, by: office.desk.accounts.require_second_factor(by, wanted=True, visitor=HERE),
    ),
    Attempt("invitation.create", lambda office, by: office.desk.accounts.invite(by, Role.VIEWER, "x", HERE)),
    Attempt(
        "key.create", lambda office, by: office.desk.keys.create_for(by, "x", KEY_LIFE, [Permission.READ], ADDRESS)
    ),
    Attempt("person.create", lambda office, _by: office.desk.machine.add_administrator("eve")),
    Attempt("person.reset", lambda office, _by: office.desk.machine.reset("vera")),
    Attempt("person.administrator", lambda office, _by: office.desk.machine.set_administrator("vera", granted=True)),
    Attempt("link.create", lambda office, _by: office.desk.sessions.create_link("vera")),
    Attempt("passphrase.change", _passphrase),
]


async def state(pool: Pool) -> State:
    found: State = {}
    async with pool.connection() as conn:
        for table in TABLES:
            columns = "t - 'last_sign_in'"
            query = f"SELECT {columns} FROM (SELECT to_jsonb(r) AS t FROM {table} r) AS rows ORDER BY t::text"
            found[table] = [row[0] for row in await (await conn.execute(query.encode())).fetchall()]
    return found


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.action)
async def test_what_cannot_be_entered_is_not_done(pool: Pool, office: Office, attempt: Attempt) -> None:
    await office.claim()
    await office.employ("vera", Role.ENGINEER)
    by = await principal(office, "ada")
    before = await state(pool)
    office.trail.refuses = attempt.action
    with pytest.raises(StorageError):
        await attempt.do(office, by)
    assert await state(pool) == before
    office.trail.refuses = ""
    await attempt.do(office, by)
    assert await state(pool) != before
    assert office.trail.acts[-1].action == attempt.action


async def test_a_key_that_cannot_be_revoked_is_good_still(office: Office) -> None:
    key = await office.desk.keys.create("x")
    office.trail.refuses = "key.revoke"
    with pytest.raises(StorageError):
        await office.desk.keys.revoke(key)
    await office.desk.keys.authenticate(key)


REFUSED: list[tuple[str, str, Callable[[Office], Awaitable[object]]]] = [
    ("installation.claim", "setup_code", lambda office: office.desk.accounts.set_up("x", "y", _eve(), HERE)),
    ("invitation.accept", "invitation", lambda office: office.desk.accounts.invitation("nothing", HERE)),
    ("key.use", "api_key", lambda office: office.desk.keys.authenticate("wsk_aaaaaaaa_x", ADDRESS)),
    ("session.begin", "sign_in", lambda office: office.desk.sessions.sign_in("vera", "wrong", HERE)),
    ("session.begin", "sign_in_link", lambda office: office.desk.sessions.redeem("nothing", HERE)),
]


def _eve() -> Applicant:
    return Applicant("eve", "", PASSPHRASE)


@pytest.mark.parametrize(("action", "kind", "attempt"), REFUSED, ids=[each[1] for each in REFUSED])
async def test_strangers_who_are_refused_are_entered_and_counted(
    pool: Pool, office: Office, action: str, kind: str, attempt: Callable[[Office], Awaitable[object]]
) -> None:
    await office.employ("vera", Role.VIEWER)
    with pytest.raises(UnauthorizedError):
        await attempt(office)
    (act,) = office.trail.acts
    assert (act.action, act.outcome, act.address) == (action, Outcome.REFUSED, ADDRESS)
    assert act.detail["kind"] == kind
    async with pool.connection() as conn:
        assert await (await conn.execute("SELECT kind, count FROM refusal")).fetchall() == [(kind, 1)]


async def test_a_wrong_key_is_told_to_the_tenant_whose_prefix_it_has(office: Office) -> None:
    key = await office.desk.keys.create("x")
    with pytest.raises(UnauthorizedError):
        await office.desk.keys.authenticate(key[:-1] + "!", ADDRESS)
    act = office.trail.acts[-1]
    assert (act.subject, act.tenant_id) == (f"key:{key.split('_')[1]}", 1)
    assert key.split("_", 2)[2][:-1] not in repr(act)


async def test_a_wrong_passphrase_of_an_open_session_is_entered_and_counted(pool: Pool, office: Office) -> None:
    await office.employ("vera", Role.VIEWER)
    opened = await office.desk.sessions.open((await office.desk.sessions.sign_in("vera", PASSPHRASE, HERE)).token)
    tries: list[Awaitable[object]] = [
        office.desk.accounts.change_passphrase(opened, "wrong", "another of nine kettles", HERE),
        office.desk.accounts.prove(opened, "wrong", HERE),
    ]
    for one in tries:
        with pytest.raises(UnauthorizedError):
            await one
    refused = [act for act in office.trail.acts if act.outcome is Outcome.REFUSED]
    assert [(act.actor, act.action) for act in refused] == [
        ("person:vera", "passphrase.change"),
        ("person:vera", "second_factor.add"),
    ]
    async with pool.connection() as conn:
        assert await (await conn.execute("SELECT kind, count FROM refusal")).fetchall() == [("old_passphrase", 2)]


async def test_what_was_typed_in_the_wrong_field_is_kept_nowhere(pool: Pool, office: Office) -> None:
    typed = "my-secret-passphrase-2026"
    for _ in range(8):
        with pytest.raises(WaysideError):
            await office.desk.sessions.sign_in(typed, "x" * 12, HERE)
    async with pool.connection() as conn:
        told = await (await conn.execute("SELECT kind, last_detail FROM refusal")).fetchall()
    assert {kind for kind, _ in told} == {"sign_in", "sign_in_throttled"}
    assert typed not in repr((told, office.trail.acts))
    assert {act.subject for act in office.trail.acts} == {"unknown account"}
    expected = Act(f"stranger:{ADDRESS}", "session.begin", "unknown account", None, ADDRESS, Outcome.REFUSED)
    assert office.trail.acts[0].actor == expected.actor
