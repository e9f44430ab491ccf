"""The name of a device is given to another board only when somebody says so, and never while it is revoked."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from wayside_server.errors import ConfigError
from wayside_server.identity.authority import new_key
from wayside_server.identity.tokens import TokenFault, TokenRefusedError
from wayside_server.storage.database import open_pool
from wayside_testkit.enrolment import (
    HERE,
    ONE,
    OPERATOR,
    EnrolmentSite,
    MemoryEnrolment,
    ProbedEnrolment,
    certificate_request,
)

BOILER = replace(ONE, name="boiler-7")
AGAIN = replace(BOILER, replace=True)


@pytest.fixture(params=["memory", "postgres"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[EnrolmentSite]:
    if request.param == "memory":
        yield EnrolmentSite(MemoryEnrolment())
        return
    async with open_pool(str(request.getfixturevalue("database"))) as pool:
        yield EnrolmentSite(ProbedEnrolment(pool))


async def fault(site: EnrolmentSite, digest: bytes) -> TokenFault:
    with pytest.raises(TokenRefusedError) as refusal:
        await site.enrolments.enrol(digest, certificate_request(), HERE)
    return refusal.value.fault


async def test_a_token_for_the_name_of_a_device_must_say_that_it_replaces(site: EnrolmentSite) -> None:
    await site.enrol(BOILER)
    with pytest.raises(ConfigError, match=r"boiler-7 is enrolled already.*--replace"):
        await site.token(BOILER)
    assert (await site.enrol(AGAIN)).device == "boiler-7"


async def test_of_two_tokens_for_one_name_the_second_replaces_nothing(site: EnrolmentSite) -> None:
    first, second = await site.token(BOILER), await site.token(BOILER)
    await site.enrolments.enrol(first, certificate_request(), HERE)
    assert await fault(site, second) is TokenFault.HELD
    assert len(await site.store.certificates()) == 1


async def test_a_claim_under_the_name_of_a_device_must_say_that_it_replaces(site: EnrolmentSite) -> None:
    await site.enrol(BOILER)
    key = new_key()
    await site.ask(key)
    with pytest.raises(ConfigError, match="boiler-7 is enrolled already"):
        await site.claims.claim(site.code(key), None, "boiler-7", OPERATOR)
    assert await site.claims.claim(site.code(key), None, "boiler-7", OPERATOR, replace=True) == "boiler-7"


async def test_the_name_of_a_revoked_device_is_given_to_nobody(site: EnrolmentSite) -> None:
    await site.enrol(BOILER)
    token, key = await site.token(AGAIN), new_key()
    await site.ask(key)
    await site.store.revoke_device("boiler-7")
    for attempt in (
        site.token(AGAIN),
        site.claims.claim(site.code(key), None, "boiler-7", OPERATOR, replace=True),
    ):
        with pytest.raises(ConfigError, match=r"boiler-7 was revoked.*wayside-server device restore boiler-7"):
            await attempt
    assert await fault(site, token) is TokenFault.DEVICE_REVOKED
