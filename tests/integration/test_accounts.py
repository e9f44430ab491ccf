"""Accounts and what guards them, on a real database."""

import asyncio
import base64
import statistics
import time
from collections import Counter
from pathlib import Path

import pytest

from wayside_server.domain.access import Permission, Principal, Role
from wayside_server.domain.audit import Outcome
from wayside_server.errors import ConfigError, NotFoundError, ThrottledError, UnauthorizedError
from wayside_server.identity.accounts import Applicant
from wayside_server.identity.keys import KEY_LIFE
from wayside_server.identity.passphrases import Passphrases
from wayside_server.identity.people import Method, NameTakenError
from wayside_server.identity.second_factor import recovery_digest
from wayside_server.identity.sessions import Visitor
from wayside_server.identity.setup_code import ensure_setup_code
from wayside_server.storage.database import Pool
from wayside_testkit.people import ADDRESS, PASSPHRASE, MovableClock, Office, open_office
from wayside_testkit.totp import code_at

HERE = Visitor(ADDRESS)
TIMING_ROUNDS = 8


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def office(pool: Pool, tmp_path: Path, clock: MovableClock) -> Office:
    return open_office(pool, tmp_path, clock)


async def principal(office: Office, name: str) -> Principal:
    """Somebody, signed in."""
    return await office.desk.sessions.resume((await office.desk.sessions.sign_in(name, PASSPHRASE, HERE)).token)


async def failures(office: Office, names: list[str], *, visitor: Visitor = HERE, word: str = "wrong") -> Counter[str]:
    """What became of sign-ins, by kind of error."""

    async def one(name: str) -> str:
        try:
            await office.desk.sessions.sign_in(name, word, visitor)
        except (UnauthorizedError, ThrottledError) as error:
            return type(error).__name__
        return "let in"

    return Counter(await asyncio.gather(*(one(name) for name in names)))


@pytest.mark.parametrize("name", ["ada", "nobody-here"])
async def test_row_15_wrong_passphrases_cost_longer_and_longer(office: Office, clock: MovableClock, name: str) -> None:
    await office.claim()
    start = clock.time
    waits = []
    while len(waits) < 6:
        try:
            await office.desk.sessions.sign_in(name, "wrong", HERE)
        except UnauthorizedError:
            continue
        except ThrottledError as error:
            waits.append(error.retry_after_s)
            clock.time = clock.time.fromtimestamp(clock.time.timestamp() + error.retry_after_s, clock.time.tzinfo)
    assert waits == [1, 2, 4, 8, 16, 32]
    assert (clock.time - start).total_seconds() == sum(waits)
    if name == "ada":
        await office.desk.sessions.sign_in(name, PASSPHRASE, HERE)
        assert await failures(office, [name] * 4) == {"UnauthorizedError": 4}, "a good one begins the count anew"


async def test_row_15_ten_wrong_are_throttled_and_then_the_right_one_too(office: Office) -> None:
    await office.claim()
    counted = await failures(office, ["ada"] * 10)
    assert counted == {"UnauthorizedError": 5, "ThrottledError": 5}, "many at once are counted one by one"
    with pytest.raises(ThrottledError):
        await office.desk.sessions.sign_in("ada", PASSPHRASE, HERE)
    with pytest.raises(ThrottledError):
        await office.desk.sessions.sign_in("ada", PASSPHRASE, Visitor("198.51.100.1"))
    await office.employ("vera", Role.VIEWER)
    await office.desk.sessions.sign_in("vera", PASSPHRASE, HERE)


async def test_row_15_one_address_cannot_try_many_names(office: Office) -> None:
    names = [f"name-{number}" for number in range(40)]
    counted = await failures(office, names, visitor=Visitor("2001:db8::1"))
    assert counted["ThrottledError"] == 10
    assert await failures(office, ["other"], visitor=Visitor("2001:db8::2")) == {"ThrottledError": 1}
    assert await failures(office, ["other"], visitor=Visitor("2001:db8:0:1::2")) == {"UnauthorizedError": 1}


async def test_row_15_a_known_name_takes_as_long_as_an_unknown_one(pool: Pool, tmp_path: Path) -> None:
    """A real difference, as of a hash that is left out, shows in every round; noise of a busy machine in some."""
    costly = Passphrases(time_cost=2, memory_kib=4096, lanes=1)
    office = open_office(pool, tmp_path, passphrases=costly)
    await office.claim()
    apart = []
    for number in range(TIMING_ROUNDS):
        spent: dict[str, list[float]] = {"ada": [], "nobody-here": []}
        for turn in range(15):
            await office.stores.sessions.clear_attempts(b"")
            async with pool.connection() as conn:
                await conn.execute("TRUNCATE sign_in_attempt")
            for name in spent if turn % 2 else reversed(spent):
                began = time.perf_counter()
                with pytest.raises(UnauthorizedError, match="name or passphrase is wrong"):
                    await office.desk.sessions.sign_in(name, f"wrong {number}", HERE)
                spent[name].append(time.perf_counter() - began)
        known, unknown = (statistics.median(times) for times in spent.values())
        apart.append(abs(known - unknown) / max(known, unknown))
        if apart[-1] < 0.05:
            return
    raise AssertionError(f"medians are apart by {apart}")


async def test_row_15_more_sign_ins_than_there_is_memory_for_are_told_to_wait() -> None:
    passphrases = Passphrases(time_cost=1, memory_kib=1024, lanes=1)
    outcomes = await asyncio.gather(*(passphrases.hash("x") for _ in range(40)), return_exceptions=True)
    assert sum(isinstance(one, ThrottledError) for one in outcomes) == 6
    assert await passphrases.verify(str(outcomes[0]), "x")


async def test_row_15_a_passphrase_is_hashed_anew_when_the_cost_has_changed(
    pool: Pool, office: Office, tmp_path: Path, clock: MovableClock
) -> None:
    await office.claim()
    before = (await office.desk.accounts.person("ada")).passphrase_hash
    later = open_office(pool, tmp_path, clock, passphrases=Passphrases(time_cost=2, memory_kib=64, lanes=1))
    await later.desk.sessions.sign_in("ada", PASSPHRASE, HERE)
    after = (await office.desk.accounts.person("ada")).passphrase_hash
    assert before is not None
    assert after is not None
    assert ("t=1" in before, "t=2" in after) == (True, True)
    await office.desk.sessions.sign_in("ada", PASSPHRASE, HERE)


def test_row_15_the_usual_cost_is_that_of_the_standard() -> None:
    hasher = Passphrases()._hasher
    assert (hasher.type.name, hasher.memory_cost, hasher.time_cost, hasher.parallelism) == ("ID", 65_536, 3, 4)


async def test_row_14_a_database_dump_lets_nobody_in(pool: Pool, office: Office, clock: MovableClock) -> None:
    ada = await office.claim()
    desk = office.desk
    session = await desk.sessions.sign_in("ada", PASSPHRASE, HERE)
    opened = await desk.sessions.open(session.token)
    secret, sealed = desk.factor.offer(opened)

    text = base64.b32encode(secret).decode()
    codes = await desk.factor.take(opened, sealed, code_at(text, clock.time), HERE)
    by = await desk.sessions.resume(session.token)
    key = await desk.keys.create("reports")
    link = await desk.sessions.create_link()
    invitation = await desk.accounts.invite(by, Role.ADMIN, "Erik", HERE)
    dump = b""
    async with pool.connection() as conn:
        names = await (await conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).fetchall()
        for (name,) in names:
            async with conn.cursor().copy(f'COPY (SELECT * FROM "{name}") TO STDOUT'.encode()) as out:
                async for piece in out:
                    dump += bytes(piece)
    assert b"ada" in dump
    secrets = [session.token, key.split("_", 2)[2], link, invitation, *codes, PASSPHRASE, text, secret.hex()]
    for one in (*secrets, codes[0].replace("-", ""), ensure_setup_code(office.home)):
        assert one.encode() not in dump
    for word in {piece.decode().removeprefix("\\\\x") for piece in dump.replace(b"\n", b"\t").split(b"\t") if piece}:
        for attempt in (
            desk.sessions.resume(word),
            desk.sessions.redeem(word, HERE),
            desk.keys.authenticate(word),
            desk.keys.authenticate(f"wsk_{key.split('_')[1]}_{word}"),
            desk.accounts.accept(word, Applicant("eve", "", PASSPHRASE), HERE),
        ):
            with pytest.raises(UnauthorizedError):
                await attempt
        assert not await office.stores.people.spend_recovery(ada.person_id, recovery_digest(word))


async def test_row_2_only_one_of_many_who_claim_at_once_is_the_first(office: Office) -> None:
    code = ensure_setup_code(office.home)
    claims = [
        office.desk.accounts.set_up(code, code, Applicant(f"name-{n}", "", PASSPHRASE), Visitor(f"192.0.2.{n}"))
        for n in range(20)
    ]
    outcomes = await asyncio.gather(*claims, return_exceptions=True)
    assert sum(isinstance(one, UnauthorizedError) for one in outcomes) == 19
    assert len(await office.desk.accounts.people()) == 1


async def test_an_invitation_is_good_once_and_for_its_role(office: Office, clock: MovableClock) -> None:
    await office.claim()
    by = await principal(office, "ada")
    token = await office.desk.accounts.invite(by, Role.OPERATOR, "Erik", HERE)
    with pytest.raises(NameTakenError):
        await office.desk.accounts.accept(token, Applicant("ada", "", PASSPHRASE), HERE)
    joining = [office.desk.accounts.accept(token, Applicant(f"erik-{n}", "Erik", PASSPHRASE), HERE) for n in range(5)]
    outcomes = await asyncio.gather(*joining, return_exceptions=True)
    (erik,) = [one for one in outcomes if not isinstance(one, BaseException)]
    may = (await principal(office, erik.name)).permissions
    assert (Permission.OPERATE in may, Permission.MANAGE in may) == (True, False)
    late = await office.desk.accounts.invite(by, Role.VIEWER, "Late", HERE)
    clock.time = clock.time.replace(year=clock.time.year + 1)
    with pytest.raises(UnauthorizedError):
        await office.desk.accounts.accept(late, Applicant("late", "", PASSPHRASE), HERE)


async def test_somebody_who_is_there_already_joins_another_tenant(pool: Pool, office: Office) -> None:
    await office.claim()
    async with pool.connection() as conn:
        await conn.execute("INSERT INTO tenant (name, title) VALUES ('plant-2', 'Plant 2')")
    second = await office.desk.accounts.tenant_id("plant-2")
    await office.employ("boss", Role.ADMIN, second)
    vera = await office.employ("vera", Role.VIEWER)
    token = await office.desk.accounts.invite(await principal(office, "boss"), Role.ENGINEER, "Vera", HERE)
    session = await office.desk.sessions.begin(vera, Method.PASSPHRASE, HERE)
    assert (await office.desk.sessions.resume(session.token)).tenant_id == 1
    assert await office.desk.accounts.join(token, await office.desk.sessions.open(session.token), HERE) == second
    chosen = await office.desk.sessions.choose(second, Visitor(ADDRESS, session=session.token))
    now = await office.desk.sessions.resume(chosen.token)
    assert (now.tenant_id, Permission.MANAGE in now.permissions) == (second, True)
    with pytest.raises(UnauthorizedError):
        await office.desk.sessions.resume(session.token)


async def test_nobody_chooses_a_tenant_that_is_not_theirs(pool: Pool, office: Office) -> None:
    vera = await office.employ("vera", Role.ADMIN)
    async with pool.connection() as conn:
        await conn.execute("INSERT INTO tenant (name, title) VALUES ('plant-2', 'Plant 2')")
    session = await office.desk.sessions.begin(vera, Method.PASSPHRASE, HERE)
    with pytest.raises(NotFoundError):
        await office.desk.sessions.choose(2, Visitor(ADDRESS, session=session.token))
    boss = await office.employ("boss", Role.ADMIN, 2)
    by = await principal(office, "boss")
    for role in (Role.VIEWER, None):
        with pytest.raises(NotFoundError):
            await office.desk.accounts.set_role(by, "vera", role, HERE)
    with pytest.raises(NotFoundError):
        await office.desk.accounts.set_member_disabled(by, "vera", HERE, disabled=True)
    with pytest.raises(ConfigError, match="another admin"):
        await office.desk.accounts.set_role(by, boss.name, Role.VIEWER, HERE)


async def test_what_a_role_loses_is_lost_at_once_by_sessions_and_keys(office: Office) -> None:
    """Row 16, and what becomes of the keys of who leaves."""
    await office.claim()
    await office.employ("vera", Role.ENGINEER)
    ada, vera = await principal(office, "ada"), await principal(office, "vera")
    token = (await office.desk.sessions.sign_in("vera", PASSPHRASE, HERE)).token
    wanted = [Permission.READ, Permission.MANAGE]
    key, _ = await office.desk.keys.create_for(vera, "robot", KEY_LIFE, wanted, None)
    desk = office.desk
    await desk.accounts.set_role(ada, "vera", Role.VIEWER, HERE)
    for may in ((await desk.sessions.resume(token)).permissions, (await desk.keys.authenticate(key)).permissions):
        assert may == {Permission.READ, Permission.SELF}
    await desk.accounts.set_role(ada, "vera", None, HERE)
    assert (await desk.sessions.resume(token)).permissions == {Permission.SELF}
    with pytest.raises(UnauthorizedError):
        await desk.keys.authenticate(key)


async def test_a_disabled_account_opens_nothing(office: Office) -> None:
    await office.claim()
    await office.employ("vera", Role.ADMIN)
    ada, vera = await principal(office, "ada"), await principal(office, "vera")
    token = (await office.desk.sessions.sign_in("vera", PASSPHRASE, HERE)).token
    key, _ = await office.desk.keys.create_for(vera, "robot", KEY_LIFE, [Permission.READ], None)
    link = await office.desk.sessions.create_link("vera")
    desk = office.desk
    await desk.accounts.set_member_disabled(ada, "vera", HERE, disabled=True)
    for attempt in (
        desk.sessions.resume(token),
        desk.keys.authenticate(key),
        desk.sessions.redeem(link, HERE),
        desk.sessions.sign_in("vera", PASSPHRASE, HERE),
    ):
        with pytest.raises(UnauthorizedError):
            await attempt
    await desk.accounts.set_member_disabled(ada, "vera", HERE, disabled=False)
    await desk.sessions.sign_in("vera", PASSPHRASE, HERE)
    with pytest.raises(UnauthorizedError):
        await desk.sessions.resume(token)


async def test_a_new_passphrase_ends_the_other_sessions(office: Office) -> None:
    await office.claim()
    other = await office.desk.sessions.sign_in("ada", PASSPHRASE, HERE)
    mine = await office.desk.sessions.sign_in("ada", PASSPHRASE, HERE)
    visitor = Visitor(ADDRESS, session=mine.token)
    opened = await office.desk.sessions.open(mine.token)
    with pytest.raises(UnauthorizedError, match="old passphrase"):
        await office.desk.accounts.change_passphrase(opened, "wrong", "another of nine kettles", visitor)
    await office.desk.accounts.change_passphrase(opened, PASSPHRASE, "another of nine kettles", visitor)
    renewed = await office.desk.sessions.renew(visitor)
    for token in (other.token, mine.token):
        with pytest.raises(UnauthorizedError):
            await office.desk.sessions.resume(token)
    await office.desk.sessions.resume(renewed.token)
    assert renewed.expires_at == mine.expires_at, "a session is not made longer by it"


async def test_who_is_reset_chooses_a_passphrase_before_anything_else(office: Office) -> None:
    await office.claim()
    await office.desk.machine.reset("ada")
    with pytest.raises(UnauthorizedError):
        await office.desk.sessions.sign_in("ada", PASSPHRASE, HERE)
    session = await office.desk.sessions.redeem(await office.desk.sessions.create_link("ada"), HERE)
    held = await office.desk.sessions.resume(session.token)
    assert held.permissions == {Permission.SELF}
    assert "passphrase" in (held.held or "")
    opened = await office.desk.sessions.open(session.token)
    await office.desk.accounts.change_passphrase(opened, "", "another of nine kettles", HERE)
    assert Permission.INSTALL in (await office.desk.sessions.resume(session.token)).permissions


async def test_sessions_are_listed_and_ended_by_their_owner_alone(office: Office) -> None:
    await office.claim()
    await office.employ("vera", Role.VIEWER)
    first = await office.desk.sessions.sign_in("ada", PASSPHRASE, Visitor("192.0.2.9", "Firefox"))
    mine = await office.desk.sessions.sign_in("ada", PASSPHRASE, HERE)
    foreign = await office.desk.sessions.sign_in("vera", PASSPHRASE, HERE)
    desk, visitor = office.desk, Visitor(ADDRESS, session=mine.token)
    listed = await desk.sessions.list(await desk.sessions.open(mine.token))
    assert [(one.address, one.agent) for one in listed] == [(ADDRESS, None), ("192.0.2.9", "Firefox")]
    with pytest.raises(NotFoundError):
        await desk.sessions.end((await desk.sessions.open(foreign.token)).number, visitor)
    await desk.sessions.end(listed[1].number, visitor)
    with pytest.raises(UnauthorizedError):
        await desk.sessions.resume(first.token)
    await desk.sessions.sign_out_everywhere(visitor)
    with pytest.raises(UnauthorizedError):
        await desk.sessions.resume(mine.token)
    await desk.sessions.resume(foreign.token)


async def test_what_people_do_and_try_is_entered_without_their_secrets(office: Office) -> None:
    await office.claim()
    await failures(office, ["ada"], word="a wrong passphrase")
    by = await principal(office, "ada")
    await office.employ("vera", Role.VIEWER)
    await office.desk.accounts.set_role(by, "vera", Role.ADMIN, HERE)
    token = await office.desk.accounts.invite(by, Role.VIEWER, "Erik", HERE)
    key, _ = await office.desk.keys.create_for(by, "robot", KEY_LIFE, [Permission.READ], ADDRESS)
    await office.desk.keys.revoke(key, tenant_id=1, actor=by.actor)
    assert office.trail.actions() == [
        "installation.claim",
        "session.begin",
        "session.begin",
        "role.set",
        "invitation.create",
        "key.create",
        "key.revoke",
    ]
    assert [act.outcome for act in office.trail.acts[:3]] == [Outcome.DONE, Outcome.REFUSED, Outcome.DONE]
    told = repr(office.trail.acts)
    for secret in (PASSPHRASE, "a wrong passphrase", token, key.split("_", 2)[2]):
        assert secret not in told


async def test_whatever_people_paste_can_be_kept(office: Office) -> None:
    odd = "a\0b \ud800 \r\n\tc"
    code = ensure_setup_code(office.home)
    await office.desk.accounts.set_up(code, code, Applicant("ada", odd, PASSPHRASE), HERE)
    by = await principal(office, "ada")
    await office.desk.accounts.invite(by, Role.VIEWER, odd, HERE)
    await office.desk.keys.create_for(by, odd, KEY_LIFE, [Permission.READ], None)
    for name in (odd, "\0", "\ud800", "x" * 10_000, ""):
        with pytest.raises((UnauthorizedError, ThrottledError)):
            await office.desk.sessions.sign_in(name, odd, Visitor(None, agent=odd, session=odd))
    for attempt in (
        office.desk.sessions.redeem(odd, HERE),
        office.desk.sessions.resume(odd),
        office.desk.accounts.invitation(odd, HERE),
        office.desk.sessions.confirm(odd, Visitor(None, session=odd)),
    ):
        with pytest.raises(UnauthorizedError):
            await attempt
    await office.desk.sessions.sign_out(odd)
    ada = await office.desk.accounts.person("ada")
    assert ada.display_name == "a b ? c"
    session = await office.desk.sessions.begin(ada, Method.LINK, Visitor(ADDRESS, agent=odd))
    assert (await office.desk.sessions.open(session.token)).agent is not None
