"""Enrolment on its stores: in memory and in PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes

from wayside_server.errors import ConfigError, NotFoundError
from wayside_server.identity.authority import Authority, CertificateRequestError, create_authority, new_key
from wayside_server.identity.claims import GIVE_LIFE, RETRY_LATER_S, RETRY_S, WAIT_LIFE, Claims
from wayside_server.identity.enrolment import OVERLAP, CertificateRefusedError, Enrolments
from wayside_server.identity.issuing import (
    MOST_A_DAY,
    Enrolled,
    Issuer,
    SharedKeyError,
    TooManyCertificatesError,
    key_der,
)
from wayside_server.identity.tokens import TokenFault, TokenOrder, TokenRefusedError
from wayside_server.identity.waiting import Kind, Wait, WaitExpiredError, WaitRefused, WaitRefusedError
from wayside_server.storage.database import ACQUIRE_TIMEOUT_S, Pool, connection, open_pool
from wayside_shared.enrolment import claim_code
from wayside_testkit.enrolment import (
    HERE,
    HOUR,
    ONE,
    OPERATOR,
    EnrolmentSite,
    MemoryEnrolment,
    ProbedEnrolment,
    certificate_request,
)

DAY = timedelta(days=1)
BOILER = replace(ONE, name="boiler-7")
AGAIN = replace(BOILER, replace=True)


@pytest.fixture(params=["memory", "postgres"])
def conninfo(request: pytest.FixtureRequest) -> str | None:
    """The database to keep things in; None for memory."""
    return None if request.param == "memory" else str(request.getfixturevalue("database"))


@pytest.fixture
async def site(conninfo: str | None) -> AsyncIterator[EnrolmentSite]:
    if conninfo is None:
        yield EnrolmentSite(MemoryEnrolment())
        return
    async with open_pool(conninfo) as pool:
        yield EnrolmentSite(ProbedEnrolment(pool))


async def fault(site: EnrolmentSite, digest: bytes) -> TokenFault:
    """Why a token is refused."""
    with pytest.raises(TokenRefusedError) as refusal:
        await site.enrolments.enrol(digest, certificate_request(), HERE)
    return refusal.value.fault


async def test_a_token_gives_its_name_once(site: EnrolmentSite) -> None:
    """Row 3: reuse."""
    token = await site.token(BOILER)
    assert (await site.enrolments.enrol(token, certificate_request(), HERE)).device == "boiler-7"
    assert await fault(site, token) is TokenFault.USED
    assert [act.action for act in site.trail.acts] == ["token.create", "certificate.issue"]


@pytest.mark.parametrize("uses", [1, 7])
async def test_a_race_gives_as_many_certificates_as_uses(site: EnrolmentSite, uses: int) -> None:
    """Row 3: raced by 100, exactly as many certificates as uses."""
    token = await site.token(TokenOrder(life=HOUR, uses=uses, prefix="boiler"))
    requests = [certificate_request() for _ in range(100)]
    outcomes = await asyncio.gather(
        *(site.enrolments.enrol(token, request, HERE) for request in requests), return_exceptions=True
    )
    enrolled = [outcome for outcome in outcomes if isinstance(outcome, Enrolled)]
    assert sorted(one.device for one in enrolled) == [f"boiler-{n}" for n in range(1, uses + 1)]
    assert len([o for o in outcomes if isinstance(o, TokenRefusedError) and o.fault is TokenFault.USED]) == 100 - uses
    assert len(await site.store.certificates()) == uses


async def test_unknown_expired_and_revoked_tokens_are_told_apart(site: EnrolmentSite) -> None:
    """Row 3: expired."""
    assert await fault(site, bytes(32)) is TokenFault.UNKNOWN
    token, other = await site.token(), await site.token()
    await site.tokens.revoke((await site.listed())[0], OPERATOR)
    assert await fault(site, other) is TokenFault.REVOKED
    site.time += HOUR
    assert await fault(site, token) is TokenFault.EXPIRED


async def test_a_token_belongs_to_its_tenant(site: EnrolmentSite) -> None:
    """Row 3: another tenant's token is neither seen nor revoked, and makes devices of its own tenant only."""
    other = replace(OPERATOR, tenant_id=await site.store.add_tenant("kiln-works"))
    token = await site.token(replace(BOILER, group="cellar"), other)
    assert await site.listed() == []
    (number,) = await site.listed(other)
    with pytest.raises(NotFoundError):
        await site.tokens.revoke(number, OPERATOR)
    await site.enrolments.enrol(token, certificate_request(), HERE)
    assert await site.store.group_of("boiler-7") == "cellar"
    with pytest.raises(ConfigError, match="choose another"):
        await site.token(BOILER)
    in_use = await site.tokens.in_use(["boiler-7", "boiler-8"], OPERATOR)
    assert {name: why.final for name, why in in_use.items()} == {"boiler-7": True}


async def test_a_token_takes_over_no_name_of_another_tenant(site: EnrolmentSite) -> None:
    """Row 3: the name went to another tenant after the token was made."""
    token = await site.token(BOILER)
    other = replace(OPERATOR, tenant_id=await site.store.add_tenant("kiln-works"))
    await site.enrolments.enrol(await site.token(BOILER, other), certificate_request(), HERE)
    assert await fault(site, token) is TokenFault.NAME
    assert len(await site.store.certificates()) == 1


async def test_a_bad_request_uses_nothing(site: EnrolmentSite) -> None:
    token = await site.token()
    with pytest.raises(CertificateRequestError):
        await site.enrolments.enrol(token, b"garbage", HERE)
    assert (await site.enrolments.enrol(token, certificate_request(), HERE)).device.startswith("device-")


async def test_what_fails_on_the_way_uses_nothing(site: EnrolmentSite) -> None:
    token = await site.token(BOILER)
    with suppress(ZeroDivisionError):
        async with site.store.enrolment() as transaction:
            found = await transaction.token(token)
            assert found is not None
            device = await transaction.join_device("boiler-7", 1, None, replace=False)
            assert device is not None
            await transaction.use_token(found.token_id, device, site.time)
            raise ZeroDivisionError
    assert (await site.enrolments.enrol(token, certificate_request(), HERE)).device == "boiler-7"


async def test_a_prefix_goes_on_after_the_highest_number(site: EnrolmentSite) -> None:
    await site.enrol(replace(BOILER, name="boiler-2"))
    token = await site.token(TokenOrder(life=HOUR, prefix="boiler-", uses=4))
    names = [(await site.enrolments.enrol(token, certificate_request(), HERE)).device for _ in range(4)]
    assert names == ["boiler-1", "boiler-3", "boiler-4", "boiler-5"]


@pytest.mark.parametrize("order", [ONE, replace(ONE, uses=3), replace(ONE, uses=3, prefix="boiler"), BOILER])
async def test_the_subject_of_a_request_is_ignored(site: EnrolmentSite, order: TokenOrder) -> None:
    """Rows 3 and 4: the server chooses the name."""
    token = await site.token(order)
    enrolled = await site.enrolments.enrol(token, certificate_request(name="other/up"), HERE)
    assert enrolled.certificate.subject.rfc4514_string() == f"CN={enrolled.device}"
    assert "other" not in enrolled.device


async def test_a_list_tells_what_became_of_tokens(site: EnrolmentSite) -> None:
    for order in (BOILER, replace(ONE, uses=2, prefix="kiln", group="hall-2", label="ten kilns"), ONE, ONE):
        await site.token(order)
    numbers = await site.listed()
    await site.tokens.revoke(numbers[0], OPERATOR)
    await site.tokens.revoke(numbers[0], OPERATOR)
    records = await site.tokens.listed(OPERATOR, before_id=numbers[0] + 1, limit=3)
    assert [record.state(site.time) for record in records] == ["revoked", "good", "good"]
    assert [record.state(site.time + HOUR) for record in records] == ["revoked", "expired", "expired"]
    kiln = records[2]
    assert (kiln.prefix, kiln.group, kiln.uses, kiln.max_uses, kiln.label, kiln.created_by) == (
        *("kiln-", "hall-2", 0, 2, "ten kilns"),
        OPERATOR.actor,
    )


async def test_many_tokens_come_or_none(site: EnrolmentSite) -> None:
    orders = [replace(BOILER, name=f"boiler-{n}", group="hall") for n in range(50)]
    tokens = await site.tokens.create_all(orders, OPERATOR)
    assert (await site.enrolments.enrol(tokens[17].digest, certificate_request(), HERE)).device == "boiler-17"
    with pytest.raises(ConfigError):
        await site.tokens.create_all([ONE, replace(ONE, name="+")], OPERATOR)
    assert len(await site.listed()) == 50
    assert await site.tokens.create_all([], OPERATOR) == []


async def test_a_board_is_replaced_under_its_name(site: EnrolmentSite) -> None:
    old = await site.enrol(replace(BOILER, group="cellar"))
    site.time += DAY
    new = await site.enrol(AGAIN)
    assert old.device == new.device
    assert await site.store.group_of("boiler-7") == "cellar"
    with pytest.raises(CertificateRefusedError) as refusal:
        await site.enrolments.reenrol(old.certificate.serial_number, certificate_request(), HERE)
    assert refusal.value.kind == "certificate_replaced"
    assert (old.replaced, new.replaced) == (0, 1)
    renewed = await site.enrolments.reenrol(new.certificate.serial_number, certificate_request(), HERE)
    assert renewed.replaced == 0, "a renewal replaces nobody"
    assert (await site.enrol(AGAIN)).replaced == 2, "what was revoked before is not counted again"


async def test_no_key_is_shared(site: EnrolmentSite) -> None:
    """Row 1: two devices with one key."""
    key = new_key()
    token = await site.token(replace(ONE, uses=5))
    await site.enrolments.enrol(token, certificate_request(key), HERE)
    for digest in (token, await site.token(BOILER)):
        with pytest.raises(SharedKeyError):
            await site.enrolments.enrol(digest, certificate_request(key), HERE)
    other = await site.enrol(BOILER)
    with pytest.raises(SharedKeyError):
        await site.enrolments.reenrol(other.certificate.serial_number, certificate_request(key), HERE)


async def test_a_certificate_renews_and_both_count_in_the_overlap(site: EnrolmentSite) -> None:
    key = new_key()
    first = await site.enrol(BOILER, key)
    site.time += 60 * DAY
    second = await site.enrolments.reenrol(first.certificate.serial_number, certificate_request(key), HERE)
    assert second.device == "boiler-7"
    assert second.certificate.not_valid_after_utc == site.time + 90 * DAY
    for _ in range(3):
        # An agent whose answers are lost goes on with the old one, and is not locked out.
        site.time += OVERLAP - HOUR
        await site.enrolments.reenrol(first.certificate.serial_number, certificate_request(), HERE)
    site.time += OVERLAP
    for serial in (first.certificate.serial_number, second.certificate.serial_number):
        with pytest.raises(CertificateRefusedError) as refusal:
            await site.enrolments.reenrol(serial, certificate_request(), HERE)
        assert refusal.value.kind == "certificate_superseded"


async def test_what_counts_no_more_renews_nothing(site: EnrolmentSite) -> None:
    enrolled = await site.enrol(BOILER)
    serial = enrolled.certificate.serial_number
    with pytest.raises(CertificateRefusedError, match="of no device here"):
        await site.enrolments.reenrol(serial + 1, certificate_request(), HERE)
    site.revoked.serials.add(serial)
    with pytest.raises(CertificateRefusedError) as refusal:
        await site.enrolments.reenrol(serial, certificate_request(), HERE)
    assert refusal.value.kind == "certificate_revoked"
    site.revoked.serials.clear()
    await site.store.remove_device("boiler-7")
    with pytest.raises(CertificateRefusedError, match="of no device here"):
        await site.enrolments.reenrol(serial, certificate_request(), HERE)


async def test_a_device_that_asks_over_and_over_is_stopped(site: EnrolmentSite) -> None:
    serial = (await site.enrol()).certificate.serial_number
    for _ in range(MOST_A_DAY - 1):
        await site.enrolments.reenrol(serial, certificate_request(), HERE)
    with pytest.raises(TooManyCertificatesError):
        await site.enrolments.reenrol(serial, certificate_request(), HERE)
    site.time += DAY
    await site.enrolments.reenrol(serial, certificate_request(), HERE)


async def test_a_device_waits_until_its_code_is_typed(site: EnrolmentSite) -> None:
    key = new_key()
    assert await site.ask(key) == Wait(RETRY_S)
    assert await site.ask(key) == Wait(RETRY_S)
    (entry,) = await site.claims.listed(OPERATOR, limit=10)
    assert (entry.kind, entry.address, entry.codes) == (Kind.NEW, HERE, (site.code(key),))
    typed = f" {site.code(key).lower().replace('-', ' ')}\n"
    assert await site.claims.claim(typed, "cellar", "boiler-7", OPERATOR) == "boiler-7"
    assert await site.claims.listed(OPERATOR, limit=10) == []
    enrolled = await site.ask(key)
    assert isinstance(enrolled, Enrolled)
    assert (enrolled.device, await site.store.group_of("boiler-7")) == ("boiler-7", "cellar")
    assert enrolled.certificate.public_key() == key.public_key()
    assert [act.action for act in site.trail.acts] == ["enrolment.claim", "certificate.issue"]
    again = await site.ask(key)
    assert isinstance(again, Enrolled), "the answer was lost"
    assert again.certificate == enrolled.certificate
    assert len(await site.store.certificates()) == 1


async def test_a_claimed_device_gets_a_made_up_name(site: EnrolmentSite) -> None:
    key = new_key()
    await site.ask(key)
    name = await site.claims.claim(site.code(key), None, None, OPERATOR)
    assert name.startswith("device-")
    with pytest.raises(NotFoundError):
        await site.claims.claim(site.code(key), None, None, OPERATOR)


async def test_a_device_behind_somebody_with_another_ca_is_not_claimed(site: EnrolmentSite) -> None:
    key, between = new_key(), new_key()
    other, _ = create_authority(site.time)
    await site.ask(between)
    shown = claim_code(other.certificate.fingerprint(hashes.SHA256()), key_der(key.public_key()))
    with pytest.raises(NotFoundError, match="compare"):
        await site.claims.claim(shown, None, None, OPERATOR)


async def test_a_claim_takes_over_no_name_of_another_tenant(site: EnrolmentSite) -> None:
    other = replace(OPERATOR, tenant_id=await site.store.add_tenant("kiln-works"))
    await site.enrolments.enrol(await site.token(BOILER, other), certificate_request(), HERE)
    key = new_key()
    await site.ask(key)
    with pytest.raises(ConfigError, match="choose another"):
        await site.claims.claim(site.code(key), None, "boiler-7", OPERATOR)
    assert await site.claims.claim(site.code(key), None, "boiler-8", OPERATOR) == "boiler-8"


async def test_what_nobody_has_claimed_is_shown_to_no_one_of_many_tenants(site: EnrolmentSite) -> None:
    other = replace(OPERATOR, tenant_id=await site.store.add_tenant("kiln-works"))
    key = new_key()
    await site.ask(key)
    (entry,) = await site.claims.listed(replace(OPERATOR, installs=True), limit=10)
    for caller in (OPERATOR, other):
        assert await site.claims.listed(caller, limit=10) == []
        with pytest.raises(NotFoundError):
            await site.claims.refuse(entry.entry_id, caller)
    assert await site.claims.claim(site.code(key), None, "boiler-7", other) == "boiler-7"


async def test_a_refused_device_is_told_so_for_a_while(site: EnrolmentSite) -> None:
    key = new_key()
    await site.ask(key)
    (entry,) = await site.claims.listed(OPERATOR, limit=10)
    await site.claims.refuse(entry.entry_id, OPERATOR)
    with pytest.raises(WaitRefusedError) as refusal:
        await site.ask(key)
    assert refusal.value.why is WaitRefused.REFUSED
    with pytest.raises(NotFoundError):
        await site.claims.claim(site.code(key), None, None, OPERATOR)
    site.time += GIVE_LIFE
    assert await site.ask(key) == Wait(RETRY_S)


async def test_a_device_that_nobody_claims_is_told_that_it_is_over(site: EnrolmentSite) -> None:
    key = new_key()
    await site.ask(key)
    site.time += timedelta(minutes=10)
    assert await site.ask(key) == Wait(RETRY_LATER_S)
    (entry,) = await site.claims.listed(OPERATOR, limit=10)
    assert entry.last_seen == site.time
    site.time += WAIT_LIFE
    assert await site.claims.listed(OPERATOR, limit=10) == []
    with pytest.raises(NotFoundError):
        await site.claims.claim(site.code(key), None, None, OPERATOR)
    with pytest.raises(WaitExpiredError):
        await site.ask(key)
    assert await site.ask(key) == Wait(RETRY_S)


async def test_strangers_displace_their_like_and_never_fill_the_table(site: EnrolmentSite) -> None:
    """A flood: bounds of 5 a network and 12 in all."""
    first = new_key()
    await site.ask(first, address="198.51.100.1")
    displaced = 0
    for count in range(30):
        site.time += timedelta(seconds=1)
        waited = await site.ask(new_key(), address=f"2001:db8:0:{count % 3}::{count:x}")
        assert isinstance(waited, Wait)
        displaced += waited.displaced
    entries = await site.claims.listed(OPERATOR, limit=100)
    assert (len(entries), displaced) == (12, 19)
    assert max(Counter(entry.address[:12] for entry in entries).values()) <= 5
    assert site.code(first) in [entry.codes[0] for entry in entries], "who is alone in its network stays longest"


async def test_a_storm_of_strangers_stays_within_the_bounds(site: EnrolmentSite) -> None:
    keys = [new_key() for _ in range(40)]
    await asyncio.gather(*(site.ask(key, address=f"198.51.100.{n}") for n, key in enumerate(keys)))
    assert len(await site.claims.listed(OPERATOR, limit=100)) == 12


async def test_what_was_decided_makes_no_room(site: EnrolmentSite) -> None:
    key = new_key()
    await site.ask(key)
    await site.claims.claim(site.code(key), None, "boiler-7", OPERATOR)
    for _ in range(10):
        await site.ask(new_key())
    assert isinstance(await site.ask(key), Enrolled)


async def test_an_expired_certificate_renews_with_consent(site: EnrolmentSite) -> None:
    key = new_key()
    first = await site.enrol(BOILER, key)
    site.time += 91 * DAY
    assert await site.ask(key, "boiler-7") == Wait(RETRY_S)
    (entry,) = await site.claims.listed(OPERATOR, limit=10)
    assert (entry.kind, entry.device) == (Kind.RENEWAL, "boiler-7")
    with pytest.raises(NotFoundError):
        await site.claims.claim(site.code(key), None, "boiler-8", OPERATOR)
    assert await site.claims.approve(entry.entry_id, OPERATOR) == "boiler-7"
    enrolled = await site.ask(key, "boiler-7")
    assert isinstance(enrolled, Enrolled)
    assert enrolled.device == "boiler-7"
    assert enrolled.certificate.not_valid_after_utc > site.time > first.certificate.not_valid_after_utc
    await site.enrolments.reenrol(enrolled.certificate.serial_number, certificate_request(), HERE)


async def test_a_renewal_is_the_tenants_own(site: EnrolmentSite) -> None:
    other = replace(OPERATOR, tenant_id=await site.store.add_tenant("kiln-works"))
    key = new_key()
    await site.enrolments.enrol(await site.token(BOILER, other), certificate_request(key), HERE)
    await site.ask(key)
    assert await site.claims.listed(replace(OPERATOR, installs=True), limit=10) == []
    (entry,) = await site.claims.listed(other, limit=10)
    for act in (site.claims.approve, site.claims.refuse):
        with pytest.raises(NotFoundError):
            await act(entry.entry_id, replace(OPERATOR, installs=True))
    await site.claims.refuse(entry.entry_id, other)
    with pytest.raises(WaitRefusedError):
        await site.ask(key)


async def test_a_new_device_is_not_approved_without_its_code(site: EnrolmentSite) -> None:
    await site.ask(new_key())
    (entry,) = await site.claims.listed(OPERATOR, limit=10)
    with pytest.raises(ConfigError, match="code"):
        await site.claims.approve(entry.entry_id, OPERATOR)
    with pytest.raises(NotFoundError):
        await site.claims.approve(entry.entry_id + 1, OPERATOR)


async def test_keys_that_count_no_more_do_not_wait(site: EnrolmentSite) -> None:
    key = new_key()
    enrolled = await site.enrol(BOILER, key)
    for device, asking in (("boiler-8", key), ("boiler-7", new_key())):
        with pytest.raises(WaitRefusedError) as refusal:
            await site.ask(asking, device)
        assert refusal.value.why is WaitRefused.UNKNOWN_KEY
    await site.ask(key)
    (entry,) = await site.claims.listed(OPERATOR, limit=10)
    await site.claims.approve(entry.entry_id, OPERATOR)
    site.revoked.serials.add(enrolled.certificate.serial_number)
    with pytest.raises(WaitRefusedError) as refusal:
        await site.ask(key)
    assert refusal.value.why is WaitRefused.BAD_KEY
    site.revoked.serials.clear()
    site.time += DAY
    await site.enrol(AGAIN)
    with pytest.raises(WaitRefusedError):
        await site.ask(key)


async def test_while_roots_change_either_code_is_taken(site: EnrolmentSite) -> None:
    old, _ = create_authority(site.time)
    new, intermediate = create_authority(site.time)
    authority = Authority(new.certificate, intermediate, [old.certificate, new.certificate])
    claims = Claims(Issuer(authority, 90), site.store, site.revoked, site.trail, site.now)
    for root in (old, new):
        key = new_key()
        await claims.ask(certificate_request(key), None, HERE)
        code = claim_code(root.certificate.fingerprint(hashes.SHA256()), key_der(key.public_key()))
        await claims.claim(code, None, None, OPERATOR)
        assert isinstance(await claims.ask(certificate_request(key), None, HERE), Enrolled)


class AskedOverPool:
    """A revocation list that takes a connection of its own for each question."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def is_revoked(self, serial: int) -> bool:
        async with connection(self._pool) as conn:
            row = await (await conn.execute("SELECT false")).fetchone()
        return row == (True,)


async def test_a_storm_of_renewals_on_few_connections_comes_to_its_end(database: str) -> None:
    """While an enrolment is open, the trail and the revocations are asked over the same pool."""
    async with open_pool(database, max_size=3) as pool:
        site = EnrolmentSite(ProbedEnrolment(pool))
        issuer = Issuer(site.authority, 90)
        enrolments = Enrolments(issuer, site.store, AskedOverPool(pool), site.trail, site.now)
        serials = [(await site.enrol(ONE)).certificate.serial_number for _ in range(5)]
        renewals = [enrolments.reenrol(serial, certificate_request(), HERE) for serial in serials * 4]
        async with asyncio.timeout(ACQUIRE_TIMEOUT_S - 1):
            assert len(await asyncio.gather(*renewals)) == 20
