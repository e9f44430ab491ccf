"""Every tenant keeps an admin, a block by the installation holds, and an invitation finds nobody out."""

import asyncio
from pathlib import Path

import pytest

from wayside_server.domain.access import Permission, Principal, Role
from wayside_server.domain.audit import Outcome
from wayside_server.errors import ConfigError, ThrottledError, UnauthorizedError
from wayside_server.identity.accounts import Applicant
from wayside_server.identity.keys import KEY_LIFE
from wayside_server.identity.people import Method, NameTakenError
from wayside_server.identity.sessions import Visitor
from wayside_server.storage.database import Pool
from wayside_testkit.people import ADDRESS, PASSPHRASE, MovableClock, Office, open_office

HERE = Visitor(ADDRESS)
ROUNDS = 10
"""A race that is open is lost within three."""


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path, MovableClock())


async def principal(office: Office, name: str) -> Principal:
    person = await office.desk.accounts.person(name)
    return await office.desk.sessions.resume((await office.desk.sessions.begin(person, Method.PASSPHRASE, HERE)).token)


async def admins(office: Office) -> list[str]:
    members = await office.desk.accounts.members(1)
    return [one.name for one in members if one.role is Role.ADMIN and one.disabled_at is None]


@pytest.mark.parametrize("how", ["demote", "remove", "disable"])
async def test_two_admins_who_throw_each_other_out_leave_one(office: Office, how: str) -> None:
    await office.employ("ann", Role.ADMIN)
    await office.employ("two", Role.ADMIN)
    ann, two = await principal(office, "ann"), await principal(office, "two")
    accounts = office.desk.accounts

    async def change(by: Principal, name: str) -> None:
        if how == "disable":
            await accounts.set_member_disabled(by, name, HERE, disabled=True)
        else:
            await accounts.set_role(by, name, Role.VIEWER if how == "demote" else None, HERE)

    for _ in range(ROUNDS):
        found = await asyncio.gather(change(ann, "two"), change(two, "ann"), return_exceptions=True)
        (refused,) = [one for one in found if one is not None]
        assert isinstance(refused, ConfigError)
        assert "without an admin" in str(refused)
        assert len(await admins(office)) == 1
        for name in ("ann", "two"):
            person = await office.desk.accounts.person(name)
            await office.desk.machine.set_disabled(name, disabled=False)
            if name not in {one.name for one in await accounts.members(1)}:
                await office.join(person, 1, Role.ADMIN)
        for name in {"ann", "two"} - set(await admins(office)):
            await accounts.set_role(two if name == "ann" else ann, name, Role.ADMIN, HERE)
    changes = [act.outcome for act in office.trail.acts if act.action in ("role.set", "person.disable")]
    assert changes.count(Outcome.FAILED) == ROUNDS


async def test_the_installation_may_take_the_last_admin_out(office: Office) -> None:
    await office.claim()
    await office.employ("ann", Role.ADMIN)
    await office.desk.accounts.set_role(await principal(office, "ann"), "ada", None, HERE)
    person = await office.desk.accounts.person("ada")
    session = await office.desk.sessions.begin(person, Method.PASSPHRASE, HERE, tenant_id=1)
    by = await office.desk.sessions.resume(session.token)
    await office.desk.accounts.set_role(by, "ann", Role.VIEWER, HERE)
    assert await admins(office) == []


async def test_joining_lowers_nobody(office: Office) -> None:
    await office.employ("ann", Role.ADMIN)
    vera = await office.employ("vera", Role.VIEWER)
    ann = await principal(office, "ann")
    for name, role, expected in (("ann", Role.VIEWER, Role.ADMIN), (vera.name, Role.ENGINEER, Role.ENGINEER)):
        token = await office.desk.accounts.invite(ann, role, "x", HERE)
        session = await office.desk.sessions.begin(await office.desk.accounts.person(name), Method.PASSPHRASE, HERE)
        await office.desk.accounts.join(token, await office.desk.sessions.open(session.token), HERE)
        members = {one.name: one.role for one in await office.desk.accounts.members(1)}
        assert members[name] is expected


async def test_who_is_thrown_out_does_not_come_back_by_their_own_invitation(office: Office) -> None:
    await office.claim()
    await office.employ("ann", Role.ADMIN)
    ada, ann = await principal(office, "ada"), await principal(office, "ann")
    high = await office.desk.accounts.invite(ann, Role.ADMIN, "me", HERE)
    low = await office.desk.accounts.invite(ann, Role.VIEWER, "me", HERE)
    await office.desk.accounts.set_role(ada, "ann", Role.OPERATOR, HERE)
    with pytest.raises(UnauthorizedError):
        await office.desk.accounts.invitation(high, HERE)
    await office.desk.accounts.invitation(low, HERE)
    await office.desk.accounts.set_role(ada, "ann", None, HERE)
    with pytest.raises(UnauthorizedError):
        await office.desk.accounts.invitation(low, HERE)


async def test_what_the_installation_disabled_no_tenant_enables(office: Office) -> None:
    await office.employ("ann", Role.ADMIN)
    await office.employ("vera", Role.VIEWER)
    ann, accounts = await principal(office, "ann"), office.desk.accounts
    await office.desk.machine.set_disabled("vera", disabled=True)
    await accounts.set_member_disabled(ann, "vera", HERE, disabled=True)
    with pytest.raises(ConfigError, match="wayside-server person enable vera"):
        await accounts.set_member_disabled(ann, "vera", HERE, disabled=False)
    assert (await accounts.person("vera")).disabled_at is not None
    assert office.trail.acts[-1].outcome is Outcome.REFUSED
    await office.desk.machine.set_disabled("vera", disabled=False)
    await accounts.set_member_disabled(ann, "vera", HERE, disabled=True)
    await accounts.set_member_disabled(ann, "vera", HERE, disabled=False)
    assert (await accounts.person("vera")).disabled_at is None


async def test_an_administrator_of_the_installation_disables_for_it(office: Office) -> None:
    await office.claim()
    await office.employ("ann", Role.ADMIN)
    await office.employ("vera", Role.VIEWER)
    ada, ann, accounts = await principal(office, "ada"), await principal(office, "ann"), office.desk.accounts
    await accounts.set_member_disabled(ada, "vera", HERE, disabled=True)
    with pytest.raises(ConfigError, match="the installation has disabled"):
        await accounts.set_member_disabled(ann, "vera", HERE, disabled=False)
    await accounts.set_member_disabled(ada, "vera", HERE, disabled=False)


async def test_a_reset_revokes_the_keys_that_they_made(office: Office) -> None:
    await office.claim()
    await office.employ("vera", Role.ADMIN)
    vera, keys = await principal(office, "vera"), office.desk.keys
    first, _ = await keys.create_for(vera, "first", KEY_LIFE, [Permission.ADMINISTER], None)
    second, _ = await keys.create_for(await keys.authenticate(first), "second", KEY_LIFE, [Permission.ADMINISTER], None)
    own = await keys.create("of the installation")
    person, revoked = await office.desk.machine.reset("vera")
    assert (person.name, revoked) == ("vera", 2)
    for key in (first, second):
        with pytest.raises(UnauthorizedError):
            await keys.authenticate(key)
    await keys.authenticate(own)
    assert office.trail.acts[-3].detail == {"keys": 2}


async def test_an_invitation_does_not_tell_who_is_there(office: Office) -> None:
    await office.claim()
    token = await office.desk.accounts.invite(await principal(office, "ada"), Role.VIEWER, "x", HERE)
    told = []
    for number in range(7):
        with pytest.raises((NameTakenError, ThrottledError)) as raised:
            await office.desk.accounts.accept(token, Applicant("ada", "", PASSPHRASE), Visitor(f"192.0.2.{number}"))
        told.append(raised.type)
    assert told == [NameTakenError] * 5 + [ThrottledError] * 2
