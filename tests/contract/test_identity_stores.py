"""Identity stores: in memory and in PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest

from wayside_server.domain.access import Permission
from wayside_server.errors import ConfigError, NotFoundError, UnauthorizedError
from wayside_server.identity.keys import KEY_LIFE, Keys
from wayside_server.storage.database import open_pool
from wayside_server.storage.identity import PostgresIdentity
from wayside_testkit.audit import MemoryTrail
from wayside_testkit.identity import MemoryIdentity

Store: TypeAlias = MemoryIdentity | PostgresIdentity
HOUR = timedelta(hours=1)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "postgres"])
def conninfo(request: pytest.FixtureRequest) -> str | None:
    """The database to keep things in; None for memory."""
    return None if request.param == "memory" else str(request.getfixturevalue("database"))


@pytest.fixture
async def store(conninfo: str | None) -> AsyncIterator[Store]:
    if conninfo is None:
        yield MemoryIdentity()
        return
    async with open_pool(conninfo) as pool:
        yield PostgresIdentity(pool)


@pytest.fixture
def keys(store: Store, clock: Clock) -> Keys:
    return Keys(store, clock, MemoryTrail())


async def test_a_key_opens_until_it_is_revoked(keys: Keys) -> None:
    text = await keys.create("reports")
    assert (await keys.authenticate(text)).label == "reports"
    await keys.revoke(text.split("_")[1])
    with pytest.raises(UnauthorizedError):
        await keys.authenticate(text)


async def test_a_key_ends_when_it_expires(keys: Keys, clock: Clock) -> None:
    text = await keys.create("reports", HOUR)
    clock.time += HOUR
    with pytest.raises(UnauthorizedError):
        await keys.authenticate(text)


@pytest.mark.parametrize("change", [lambda k: k[:-1], lambda k: k + "A", lambda k: k.swapcase(), lambda k: ""])
async def test_an_altered_key_opens_nothing(keys: Keys, change: "object") -> None:
    assert callable(change)
    text = await keys.create("reports")
    with pytest.raises(UnauthorizedError):
        await keys.authenticate(change(text))


@pytest.mark.parametrize(
    "bad", ["wsk_\ud800_x", "wsk_abcdefg\ud800_x", "wsk_abc\0efgh_x", "\0", "wsk__", "x" * 100_000]
)
async def test_hostile_keys_are_refused_like_wrong_ones(keys: Keys, bad: str) -> None:
    with pytest.raises(UnauthorizedError):
        await keys.authenticate(bad)


async def test_last_use_is_noted_once_a_minute(keys: Keys, clock: Clock) -> None:
    text = await keys.create("reports")
    first = clock.time
    await keys.authenticate(text)
    clock.time += timedelta(seconds=59)
    await keys.authenticate(text)
    assert (await keys.list())[0].last_used == first
    clock.time += timedelta(seconds=1)
    await keys.authenticate(text)
    assert (await keys.list())[0].last_used == clock.time


async def test_revoking_names_what_is_not_there(keys: Keys) -> None:
    with pytest.raises(NotFoundError):
        await keys.revoke("nothing")
    text = await keys.create("reports")
    await keys.revoke(text)
    await keys.revoke(text)


async def test_a_key_without_scopes_reads_and_measures_for_a_year(keys: Keys, clock: Clock) -> None:
    may = (await keys.authenticate(await keys.create("reports"))).permissions
    assert may == {Permission.READ, Permission.METRICS, Permission.SELF}
    assert (await keys.list())[0].expires_at == clock.time + KEY_LIFE


async def test_a_key_may_what_it_was_given_and_nothing_beside(keys: Keys) -> None:
    may = (await keys.authenticate(await keys.create("robot", scopes=[Permission.MANAGE]))).permissions
    assert may == {Permission.MANAGE, Permission.SELF}


@pytest.mark.parametrize("scopes", [[], [Permission.PUBLIC], [Permission.DEVICE], [Permission.SELF, Permission.READ]])
async def test_what_is_no_scope_makes_no_key(keys: Keys, scopes: list[Permission]) -> None:
    with pytest.raises(ConfigError, match="scopes"):
        await keys.create("robot", scopes=scopes)
    assert await keys.list() == []


async def test_a_key_never_makes_one_that_may_more_or_lives_longer(keys: Keys, clock: Clock) -> None:
    text = await keys.create("maker", HOUR, scopes=[Permission.ADMINISTER, Permission.READ])
    by = await keys.authenticate(text)
    with pytest.raises(ConfigError, match="you have not install, metrics yourself"):
        await keys.create_for(by, "x", HOUR, [Permission.READ, Permission.METRICS, Permission.INSTALL], None)
    _, made = await keys.create_for(by, "x", 9 * HOUR, [Permission.READ], None)
    assert made.expires_at == clock.time + HOUR


async def test_a_key_ends_with_the_key_that_made_it(keys: Keys) -> None:
    first = await keys.create("first", scopes=[Permission.ADMINISTER])
    second, _ = await keys.create_for(await keys.authenticate(first), "second", HOUR, [Permission.ADMINISTER], None)
    third, _ = await keys.create_for(await keys.authenticate(second), "third", HOUR, [Permission.ADMINISTER], None)
    other = await keys.create("other")
    await keys.revoke(first)
    for text in (first, second, third):
        with pytest.raises(UnauthorizedError):
            await keys.authenticate(text)
    await keys.authenticate(other)


async def test_another_tenant_cannot_revoke_a_key(keys: Keys) -> None:
    text = await keys.create("reports")
    with pytest.raises(NotFoundError):
        await keys.revoke(text, tenant_id=2)
    await keys.authenticate(text)


async def test_what_is_stored_opens_nothing(keys: Keys) -> None:
    text = await keys.create("reports")
    (record,) = await keys.list()
    assert text.split("_", 2)[2] not in repr(record)
    with pytest.raises(UnauthorizedError):
        await keys.authenticate(f"wsk_{record.prefix}_{record.digest.hex()}")
