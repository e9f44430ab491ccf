"""A name that another board was given: the certificates of the board before are out, and so is its session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import aiomqtt
import pytest
from cryptography.hazmat.primitives import serialization

from wayside_server.app.jobs import enforcement
from wayside_server.config import BrokerSettings, ServerSettings
from wayside_server.domain.access import Permission, Principal
from wayside_server.identity.authority import PrivateKey, new_key
from wayside_server.identity.claims import Claims
from wayside_server.identity.crl import Reason
from wayside_server.identity.enrolment import CertificateRefusedError, Enrolments
from wayside_server.identity.installation import load_authority
from wayside_server.identity.issuing import Enrolled, Issuer, key_der
from wayside_server.identity.publication import ListPublisher, ListWatch, Published
from wayside_server.identity.revocation import Revocations, RevocationStore
from wayside_server.identity.tokens import TokenOrder, Tokens
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.revocation import PostgresRevocations
from wayside_shared.enrolment import claim_code
from wayside_testkit.broker import handshake_and_connect
from wayside_testkit.credentials import Credentials
from wayside_testkit.enrolment import OPERATOR, certificate_request
from wayside_testkit.installation import Installation
from wayside_testkit.roles import Trail

ADA = Principal("person:ada", "Ada", 1, frozenset([Permission.MANAGE]))
HERE = "192.0.2.9"
PATIENCE_S = 60


def utc_now() -> datetime:
    return datetime.now(UTC)


class Office:
    """Enrolment and revocation at one installation, and what the role jobs does."""

    def __init__(self, installation: Installation, pool: Pool, database: str) -> None:
        self.installation, self.trail = installation, Trail()
        self.authority = load_authority(installation.home)
        self.marks = PostgresRevocations(pool, database)
        self.revocations = Revocations(self.marks, self.trail, utc_now)
        store = PostgresEnrolment(pool)
        parts = Issuer(self.authority, 90), store, self.marks, self.trail, utc_now
        self.enrolments, self.claims = Enrolments(*parts), Claims(*parts)
        self.tokens = Tokens(self.authority.fingerprint, store, self.trail, utc_now)
        port = installation.broker.port
        settings = ServerSettings(broker=BrokerSettings(host="127.0.0.1", port=port))
        self.work = enforcement(installation.home, settings, self.marks)

    async def enrol(self, key: PrivateKey | None = None) -> tuple[Enrolled, Credentials]:
        """A board that is given the name boiler-7 by a token."""
        key = key or new_key()
        token = await self.tokens.create(TokenOrder(life=timedelta(hours=1), name="boiler-7", replace=True), OPERATOR)
        return self.kept(await self.enrolments.enrol(token.digest, certificate_request(key), HERE), key)

    async def reenrol(self, before: Enrolled) -> tuple[Enrolled, Credentials]:
        key = new_key()
        serial = before.certificate.serial_number
        return self.kept(await self.enrolments.reenrol(serial, certificate_request(key), HERE), key)

    async def claim(self) -> tuple[Enrolled, Credentials]:
        """A board that is given the name boiler-7 by its code."""
        key = new_key()
        await self.claims.ask(certificate_request(key), None, HERE)
        code = claim_code(self.authority.fingerprint, key_der(key.public_key()))
        await self.claims.claim(code, None, "boiler-7", OPERATOR, replace=True)
        enrolled = await self.claims.ask(certificate_request(key), None, HERE)
        assert isinstance(enrolled, Enrolled)
        return self.kept(enrolled, key)

    def kept(self, enrolled: Enrolled, key: PrivateKey) -> tuple[Enrolled, Credentials]:
        serial = enrolled.certificate.serial_number
        folder = self.installation.home.path / "devices"
        chain, secret = folder / f"{serial}.pem", folder / f"{serial}.key"
        chain.write_bytes(self.authority.chain_pem(enrolled.certificate))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return enrolled, Credentials("boiler-7", self.installation.home.ca_file, chain, secret)

    def listed(self) -> dict[int, Reason]:
        """What the list on disk names."""
        lists = ListWatch(self.installation.home, utc_now).lists()
        assert lists is not None
        return {serial: one.reason for serial, one in lists.revoked.items()}


@pytest.fixture
def office(installation: Installation, pool: Pool, database: str) -> Office:
    return Office(installation, pool, database)


@asynccontextmanager
async def enforcing(office: Office) -> AsyncIterator[None]:
    task = asyncio.create_task(office.work.run(office.marks.watch))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def client(installation: Installation, who: Credentials) -> aiomqtt.Client:
    return aiomqtt.Client(
        installation.broker.host,
        installation.broker.port,
        identifier=who.name,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=who.client_context(),
        timeout=3,
    )


async def let_in(installation: Installation, who: Credentials) -> bool:
    return await handshake_and_connect(installation.broker, who.client_context()) != b""


async def disconnected(link: aiomqtt.Client) -> None:
    """Returns when the broker has ended the session."""
    with suppress(aiomqtt.MqttError):
        async for _ in link.messages:
            pass


async def ask(pool: Pool, question: str) -> object:
    async with connection(pool) as conn:
        row = await (await conn.execute(question.encode())).fetchone()
    return None if row is None else row[0]


@pytest.mark.parametrize("way", ["token", "claim"])
async def test_the_board_before_is_put_out_and_stays_out_and_the_new_one_comes_back(
    installation: Installation, pool: Pool, office: Office, way: str
) -> None:
    old, old_board = await office.enrol()
    async with enforcing(office):
        with suppress(aiomqtt.MqttError):
            async with client(installation, old_board) as link:
                began = asyncio.get_running_loop().time()
                _, new_board = await (office.enrol() if way == "token" else office.claim())
                async with asyncio.timeout(PATIENCE_S):
                    await disconnected(link)
        assert asyncio.get_running_loop().time() - began < PATIENCE_S
        assert office.listed() == {old.certificate.serial_number: Reason.SUPERSEDED}
        async with asyncio.timeout(PATIENCE_S):
            while await ask(pool, "SELECT count(*) FROM session_to_end") != 0:  # noqa: ASYNC110 - a row tells nobody
                await asyncio.sleep(0.1)
    assert not await let_in(installation, old_board)
    assert await let_in(installation, new_board)
    assert await ask(pool, "SELECT count(*) FROM incident") == 0
    assert await ask(pool, "SELECT revoked_at IS NULL FROM device") is True
    assert office.trail.acts[-1].detail["replaced"] == 1
    with pytest.raises(CertificateRefusedError) as refusal:
        await office.reenrol(old)
    assert refusal.value.kind == "certificate_replaced"


async def test_the_new_board_that_comes_back_at_once_is_no_trouble(
    installation: Installation, pool: Pool, office: Office
) -> None:
    await office.enrol()
    _, new_board = await office.enrol()
    connected = asyncio.Event()

    async def insist() -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                async with client(installation, new_board) as link:
                    connected.set()
                    await disconnected(link)

    task = asyncio.create_task(insist())
    await connected.wait()
    assert await office.work.enforce()
    async with asyncio.timeout(PATIENCE_S):
        while installation.broker.log().count(" as boiler-7 ") < 3:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # One session that it lost, and perhaps the name that it took back before it was let go: no identity used twice.
    assert installation.broker.log().count("already connected") <= 2
    assert await ask(pool, "SELECT count(*) FROM session_to_end") == 0
    assert await ask(pool, "SELECT count(*) FROM incident") == 0


async def test_nobody_is_put_out_before_the_list_that_names_them(
    installation: Installation, pool: Pool, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the board before comes back in between, and stays."""
    await office.enrol()
    publish = ListPublisher.publish

    async def publish_and_replace(self: ListPublisher, store: RevocationStore) -> Published:
        published = await publish(self, store)
        await office.enrol()
        return published

    with monkeypatch.context() as patched:
        patched.setattr(ListPublisher, "publish", publish_and_replace)
        assert await office.work.enforce()
    assert await ask(pool, "SELECT count(*) FROM session_to_end") == 1
    assert await office.work.enforce()
    assert await ask(pool, "SELECT count(*) FROM session_to_end") == 0


async def test_a_broker_that_hears_of_the_list_from_somebody_else_is_given_a_moment(
    installation: Installation, pool: Pool, office: Office
) -> None:
    _, old_board = await office.enrol()
    told = installation.home.broker_pid.read_text()
    installation.home.broker_pid.write_text("0")
    with suppress(aiomqtt.MqttError):
        async with client(installation, old_board) as link:
            await office.enrol()
            assert not await office.work.enforce()
            await link.publish("wayside/1/boiler-7/log", b"still here", qos=1)
            installation.broker.reload()
            assert await office.work.enforce()
            async with asyncio.timeout(PATIENCE_S):
                await disconnected(link)
    installation.home.broker_pid.write_text(told)
    assert not await let_in(installation, old_board)


async def test_a_renewal_and_a_token_for_the_same_key_revoke_nothing(
    installation: Installation, pool: Pool, office: Office
) -> None:
    key = new_key()
    first, board = await office.enrol(key)
    await office.enrol(key)
    await office.reenrol(first)
    assert await office.work.enforce()
    assert office.listed() == {}
    assert await ask(pool, "SELECT count(*) FROM session_to_end") == 0
    assert await let_in(installation, board)


async def test_a_hold_that_is_taken_back_does_not_let_the_board_before_in_again(
    installation: Installation, pool: Pool, office: Office
) -> None:
    old, old_board = await office.enrol()
    new, new_board = await office.enrol()
    await office.revocations.revoke("boiler-7", ADA, Reason.HOLD)
    assert (await office.revocations.restore("boiler-7", ADA)).released == 1
    await office.work.enforce()
    assert office.listed() == {old.certificate.serial_number: Reason.SUPERSEDED}
    assert not await let_in(installation, old_board)
    assert await let_in(installation, new_board)
    assert new.replaced == 1


async def test_a_renewal_that_meets_a_replacement_does_not_slip_through(
    installation: Installation, pool: Pool, office: Office
) -> None:
    for _ in range(5):
        old, _ = await office.enrol()
        renewing = asyncio.create_task(office.reenrol(old))
        new, _ = await office.enrol()
        await asyncio.gather(renewing, return_exceptions=True)
        good = "SELECT count(*) FROM certificate WHERE revoked_at IS NULL AND not_after > now()"
        assert await ask(pool, good) == 1
        assert await ask(pool, good + f" AND serial = {new.certificate.serial_number}") == 1


async def test_a_board_that_was_replaced_and_revoked_is_ended_once(
    installation: Installation, pool: Pool, office: Office
) -> None:
    await office.enrol()
    await office.enrol()
    await office.revocations.revoke("boiler-7", ADA, Reason.KEY_COMPROMISE)
    async with office.marks.sessions_to_end() as endings:
        assert endings is not None
        assert [(one.device, one.cause.value) for one in endings] == [("boiler-7", "revoked")]
    assert await office.work.enforce()
    async with office.marks.sessions_to_end() as endings:
        assert endings == []
