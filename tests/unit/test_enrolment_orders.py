"""What may be asked of enrolment, and what may not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from wayside_server.errors import ConfigError
from wayside_server.identity.authority import new_key
from wayside_server.identity.issuing import TenantFullError
from wayside_server.identity.tokens import MAX_LIFE, TokenOrder
from wayside_testkit.enrolment import HERE, HOUR, ONE, OPERATOR, EnrolmentSite, MemoryEnrolment, certificate_request

BOILER = replace(ONE, name="boiler-7")


async def test_a_full_tenant_gets_no_device_and_the_token_stays_good(site: EnrolmentSite) -> None:
    store = site.store
    assert isinstance(store, MemoryEnrolment)
    store.most_devices = 0
    token, key = await site.token(), new_key()
    with pytest.raises(TenantFullError):
        await site.enrolments.enrol(token, certificate_request(), HERE)
    await site.ask(key)
    with pytest.raises(TenantFullError):
        await site.claims.claim(site.code(key), None, None, OPERATOR)
    store.most_devices = 2
    await site.enrolments.enrol(token, certificate_request(), HERE)
    await site.claims.claim(site.code(key), None, None, OPERATOR)


@pytest.fixture
def site() -> EnrolmentSite:
    return EnrolmentSite(MemoryEnrolment())


@pytest.mark.parametrize(
    "name",
    [
        "+", "#", "/", "$SYS", "boiler/up", "boiler+7", "boiler#", "a\0b", "../boiler", "..", "bóiler", "ｂoiler",
        "boiler-7\n", "Boiler", "a", "x" * 64, "", "wayside-server-1", "wayside-", "-boiler", "boiler 7", "boiler%75",
    ],
)  # fmt: skip
async def test_names_that_break_the_rules_get_no_token(site: EnrolmentSite, name: str) -> None:
    """Row 4: + # / $ NUL ../ unicode."""
    for order in (replace(ONE, name=name), replace(ONE, prefix=f"{name}/")):
        with pytest.raises(ConfigError):
            await site.token(order)
    with pytest.raises(ConfigError):
        await site.claims.claim("AAAA-AAAA-AAAA", None, name, OPERATOR)


@pytest.mark.parametrize(
    "order",
    [
        replace(ONE, uses=0),
        replace(ONE, uses=10_001),
        replace(ONE, life=MAX_LIFE + HOUR),
        replace(ONE, life=timedelta(0)),
        replace(BOILER, uses=2),
        replace(BOILER, prefix="boiler"),
        replace(ONE, prefix="wayside"),
        replace(ONE, prefix="x" * 58),
        replace(ONE, group="../x"),
        replace(ONE, label="x" * 201),
        replace(ONE, label="\0"),
        replace(ONE, label="\x1b[2J"),
    ],
)
async def test_orders_that_cannot_be_met_are_refused(site: EnrolmentSite, order: TokenOrder) -> None:
    with pytest.raises(ConfigError):
        await site.token(order)
    assert await site.listed() == []


@pytest.mark.parametrize("code", ["", "AAAA", "AAAA-AAAA-AAA1", "AAAA-AAAA-AAAA-AAAA", "\0" * 12, "é" * 12])
async def test_what_is_no_code_is_told(site: EnrolmentSite, code: str) -> None:
    with pytest.raises(ConfigError, match="twelve"):
        await site.claims.claim(code, None, None, OPERATOR)
