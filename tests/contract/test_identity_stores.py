"""Identity stores: in memory and in PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest

from wayside_server.errors import NotFoundError, UnauthorizedError
from wayside_server.identity.keys import LINK_LIFE, SESSION_LIFE, Keys
from wayside_server.storage.database import open_pool
from wayside_server.storage.identity import PostgresIdentity
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
    return Keys(store, clock)


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
    with pytest.raises(UnauthorizedError):
        await keys.resume(bad)
    with pytest.raises(UnauthorizedError):
        await keys.redeem(bad)
    await keys.sign_out(bad)


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


async def test_a_session_lives_until_sign_out(keys: Keys) -> None:
    session = await keys.sign_in(await keys.create("operator"))
    assert (await keys.resume(session.token)).label == "operator"
    await keys.sign_out(session.token)
    with pytest.raises(UnauthorizedError):
        await keys.resume(session.token)


async def test_a_session_ends_with_time_and_with_its_key(keys: Keys, clock: Clock) -> None:
    text = await keys.create("operator")
    session = await keys.sign_in(text)
    clock.time += SESSION_LIFE
    with pytest.raises(UnauthorizedError):
        await keys.resume(session.token)
    session = await keys.sign_in(text)
    await keys.revoke(text)
    with pytest.raises(UnauthorizedError):
        await keys.resume(session.token)


async def test_a_link_signs_in_once_and_not_late(keys: Keys, clock: Clock) -> None:
    link = await keys.create_link()
    session = await keys.redeem(link)
    assert (await keys.list())[0].last_used == clock.time
    clock.time += timedelta(minutes=1)
    await keys.resume(session.token)
    assert (await keys.list())[0].last_used == clock.time
    with pytest.raises(UnauthorizedError):
        await keys.redeem(link)
    late = await keys.create_link()
    clock.time += LINK_LIFE
    with pytest.raises(UnauthorizedError):
        await keys.redeem(late)


async def test_what_is_stored_opens_nothing(keys: Keys) -> None:
    text = await keys.create("reports")
    (record,) = await keys.list()
    assert text.split("_", 2)[2] not in repr(record)
    with pytest.raises(UnauthorizedError):
        await keys.authenticate(f"wsk_{record.prefix}_{record.digest.hex()}")
