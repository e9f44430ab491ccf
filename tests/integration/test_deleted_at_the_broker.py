"""A tenant that is deleted by force leaves nothing at the broker, and what its devices still send becomes nobody's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest

from wayside_server.app.jobs import enforcement
from wayside_server.config import BrokerSettings, ServerSettings
from wayside_server.domain.caller import Caller
from wayside_server.domain.limits import DeviceLimits
from wayside_server.domain.tenants import Quota
from wayside_server.errors import StorageError
from wayside_server.identity.enrolment import CertificateRefusedError, Enrolments
from wayside_server.identity.installation import load_authority
from wayside_server.identity.issuing import Issuer
from wayside_server.identity.tenants import Tenants
from wayside_server.identity.tokens import TokenOrder, TokenRefusedError, Tokens
from wayside_server.jobs.enforcement import Enforcement
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.revocation import PostgresRevocations
from wayside_server.storage.tenants import PostgresTenants
from wayside_testkit.audit import MemoryTrail
from wayside_testkit.batches import Device, column
from wayside_testkit.broker import handshake_and_connect
from wayside_testkit.credentials import Credentials
from wayside_testkit.delivery import edge_side, server_side
from wayside_testkit.enrolment import certificate_request
from wayside_testkit.installation import Installation
from wayside_testkit.telemetry import add_device, add_tenant

HERE = "192.0.2.9"


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def tenants(pool: Pool) -> Tenants:
    return Tenants(PostgresTenants(pool), MemoryTrail())


@pytest.fixture
def store(pool: Pool, database: str) -> PostgresRevocations:
    return PostgresRevocations(pool, database)


@pytest.fixture
def jobs(installation: Installation, store: PostgresRevocations) -> Enforcement:
    settings = ServerSettings(broker=BrokerSettings(host="127.0.0.1", port=installation.broker.port))
    return enforcement(installation.home, settings, store)


class Desk:
    """Enrolment of one tenant's devices."""

    def __init__(self, pool: Pool, store: PostgresRevocations, installation: Installation, tenant_id: int) -> None:
        authority, enrolment, trail = load_authority(installation.home), PostgresEnrolment(pool), MemoryTrail()
        self.enrolments = Enrolments(Issuer(authority, 90), enrolment, store, trail, utc_now)
        self._tokens = Tokens(authority.fingerprint, enrolment, trail, utc_now)
        self._caller = Caller("person:eve", tenant_id, HERE)

    async def token(self, name: str | None = None, prefix: str | None = None) -> bytes:
        order = TokenOrder(life=timedelta(hours=1), name=name, prefix=prefix, replace=name is not None)
        return (await self._tokens.create(order, self._caller)).digest

    async def enrol(self, name: str | None = None, prefix: str | None = None) -> str:
        token = await self.token(name, prefix)
        return (await self.enrolments.enrol(token, certificate_request(), HERE)).device


async def _belongs_to(pool: Pool, device: str, tenant: str) -> None:
    async with connection(pool) as conn:
        await conn.execute(
            "UPDATE device SET tenant_id = (SELECT id FROM tenant WHERE name = %s) WHERE name = %s", [tenant, device]
        )


async def _delete(tenants: Tenants, name: str) -> None:
    async for _ in tenants.delete(name, actor="test", force=True):
        pass


async def ask(pool: Pool, question: str) -> object:
    async with connection(pool) as conn:
        row = await (await conn.execute(question.encode())).fetchone()
    return None if row is None else row[0]


async def until(pool: Pool, question: str, answer: object) -> None:
    async with asyncio.timeout(30):
        while await ask(pool, question) != answer:  # noqa: ASYNC110 - a row tells nobody
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(jobs: Enforcement, store: PostgresRevocations) -> AsyncIterator[None]:
    task = asyncio.create_task(jobs.run(store.watch))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def retained(installation: Installation, device: str) -> list[str]:
    """Topics of the device on which the broker keeps something."""
    kept: list[str] = []
    service = installation.service(2)
    async with aiomqtt.Client(
        installation.broker.host,
        installation.broker.port,
        identifier=service.name,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=service.client_context(),
    ) as client:
        for channel in ("up", "state", "log", "res", "reported", "hello/device"):
            await client.subscribe(f"wayside/1/{device}/{channel}", qos=1)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    message = await anext(aiter(client.messages))
                    kept += [str(message.topic)] * message.retain
    return kept


async def test_its_sessions_end_its_topics_are_cleared_and_no_device_of_the_first_tenant_is_made(
    tmp_path: Path, installation: Installation, pool: Pool, tenants: Tenants, store: PostgresRevocations,
    jobs: Enforcement,
) -> None:  # fmt: skip
    await tenants.create("globex", "Globex", Quota(), actor="test")
    theirs, ours = await installation.enrolled(pool, "dev-g"), await installation.enrolled(pool, "boiler-8")
    await _belongs_to(pool, "dev-g", "globex")
    broker = installation.broker
    async with (
        running(jobs, store),
        server_side(broker, installation.service(1), pool),
        edge_side(tmp_path / "theirs.db", broker, theirs) as leaving,
        edge_side(tmp_path / "ours.db", broker, ours) as staying,
    ):
        for edge in (leaving, staying):
            await edge.accept([1.0])
            await edge.delivered()
        assert await retained(installation, "dev-g") == ["wayside/1/dev-g/state"]
        began = asyncio.get_running_loop().time()
        await _delete(tenants, "globex")
        await leaving.accept([2.0])
        await until(pool, "SELECT count(*) FROM session_to_end", 0)
        assert asyncio.get_running_loop().time() - began < 60
        assert await handshake_and_connect(broker, theirs.client_context()) == b""
        assert await retained(installation, "dev-g") == []
        assert broker.log().count("as boiler-8 ") == 1, "the session of another tenant's device has stayed"
        await staying.accept([2.0])
        await staying.delivered()
    assert await ask(pool, "SELECT array_agg(name) FROM device") == ["boiler-8"]
    assert await ask(pool, "SELECT count(*) FROM dead_letter") == 0


async def test_the_topics_are_cleared_though_nobody_is_connected_and_certificates_have_ended(
    installation: Installation, pool: Pool, tenants: Tenants, jobs: Enforcement
) -> None:
    await tenants.create("globex", "Globex", Quota(), actor="test")
    who = await installation.enrolled(pool, "dev-g")
    await _belongs_to(pool, "dev-g", "globex")
    async with aiomqtt.Client(
        installation.broker.host,
        installation.broker.port,
        identifier=who.name,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=who.client_context(),
    ) as client:
        for channel in ("state", "log", "reported"):
            await client.publish(f"wayside/1/dev-g/{channel}", b'{"state": "online"}', qos=1, retain=True)
    async with connection(pool) as conn:
        await conn.execute("UPDATE certificate SET not_after = now() - interval '1 day'")
    await _delete(tenants, "globex")
    async with server_side(installation.broker, installation.service(1), pool):
        assert await jobs.enforce()
    assert await retained(installation, "dev-g") == []
    assert await ask(pool, "SELECT count(*) FROM device") == 0
    assert await ask(pool, "SELECT count(*) FROM deleted_device") == 0, "no certificate of it is good any more"


async def test_what_comes_of_its_devices_is_refused_from_the_first_step_of_the_deletion_on(
    pool: Pool, tenants: Tenants
) -> None:
    globex = await add_tenant(pool, "globex")
    await add_device(pool, "dev-g", globex)
    ingest, device = PostgresIngest(pool, "test", DeviceLimits()), Device("dev-g")
    assert (await ingest.settle([device.item(column("t", [1.0]))])).stored == 1
    await PostgresTenants(pool).close(globex)
    settled = await ingest.settle([device.item(column("t", [2.0])), Device("boiler-8").item(column("t", [1.0]))])
    assert (settled.stored, len(settled.acks)) == (1, 1)
    assert await ask(pool, "SELECT sum(stored)::int FROM stream s WHERE tenant_id <> 1") == 1
    await _delete(tenants, "globex")
    assert not (await ingest.settle([device.item(column("t", [3.0]))])).acks
    assert await ask(pool, "SELECT sum(count)::int FROM refusal WHERE kind = 'deleted device'") == 2
    assert await ask(pool, "SELECT count(*) FROM tenant_refusal") == 0
    assert await ask(pool, "SELECT array_agg(name) FROM device") == ["boiler-8"]


async def test_a_name_is_refused_for_as_long_as_a_certificate_of_it_may_last(pool: Pool, tenants: Tenants) -> None:
    globex = await add_tenant(pool, "globex")
    for name, ends in (("dev-a", "90 days"), ("dev-b", "-1 day"), ("dev-c", None), ("dev-d", None)):
        number = await add_device(pool, name, globex)
        async with connection(pool) as conn:
            if ends is not None:
                await conn.execute(
                    "INSERT INTO certificate VALUES (%s, %s, now() - interval '2 days', now() + %s::interval)",
                    [number, number, ends],
                )
            if name == "dev-c":
                await conn.execute("UPDATE device SET last_seen = now() WHERE id = %s", [number])
    await _delete(tenants, "globex")
    async with connection(pool) as conn:
        await conn.execute("DELETE FROM session_to_end")
    ingest = PostgresIngest(pool, "test", DeviceLimits())
    items = [Device(name).item(column("t", [1.0])) for name in ("dev-a", "dev-b", "dev-c", "dev-d")]
    assert (await ingest.settle(items)).stored == 2
    assert await ask(pool, "SELECT array_agg(name ORDER BY name) FROM device") == ["dev-b", "dev-d"]
    assert await ask(pool, "SELECT until > now() + interval '9 years' FROM deleted_device WHERE name = 'dev-c'") is True
    async with connection(pool) as conn:
        await conn.execute("UPDATE deleted_device SET until = now()")
    assert (await ingest.settle([Device("dev-a").item(column("t", [2.0]))])).stored == 1


async def test_the_name_is_another_tenants_once_the_session_has_ended(
    installation: Installation, pool: Pool, tenants: Tenants, store: PostgresRevocations, jobs: Enforcement
) -> None:
    globex, acme = await add_tenant(pool, "globex"), await add_tenant(pool, "acme")
    theirs, ours = (Desk(pool, store, installation, number) for number in (globex, acme))
    assert await theirs.enrol("pump-1") == "pump-1"
    await _delete(tenants, "globex")
    with pytest.raises(TokenRefusedError):
        await ours.enrol("pump-1")
    assert await ours.enrol(prefix="pump-") == "pump-2", "numbers go on behind it"
    assert await jobs.enforce()
    assert await ours.enrol("pump-1") == "pump-1"
    settled = await PostgresIngest(pool, "test", DeviceLimits()).settle([Device("pump-1").item(column("t", [1.0]))])
    assert settled.stored == 1


async def test_a_certificate_that_is_being_issued_when_the_tenant_closes_is_on_the_list_or_refused(
    installation: Installation, pool: Pool, tenants: Tenants, store: PostgresRevocations
) -> None:
    for number in range(5):
        globex = await add_tenant(pool, f"globex-{number}")
        desk = Desk(pool, store, installation, globex)
        await desk.enrol(f"dev-{number}")
        serial = int(str(await ask(pool, "SELECT serial FROM certificate")))
        token = await desk.token(f"dev-{number}")
        issuing = [
            asyncio.create_task(desk.enrolments.reenrol(serial, certificate_request(), HERE)),
            asyncio.create_task(desk.enrolments.enrol(token, certificate_request(), HERE)),
        ]
        with suppress(StorageError):
            await _delete(tenants, f"globex-{number}")
        for result in await asyncio.gather(*issuing, return_exceptions=True):
            if isinstance(result, BaseException):
                assert isinstance(result, (CertificateRefusedError, TokenRefusedError)), repr(result)
            else:
                assert await store.is_revoked(result.certificate.serial_number)


async def test_a_device_that_cannot_be_got_rid_of_is_told_of_though_it_is_no_more(
    installation: Installation, pool: Pool, tenants: Tenants, store: PostgresRevocations,
    jobs: Enforcement, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("wayside_server.jobs.enforcement.ATTEMPTS", 1)
    await add_device(pool, "dev-g", await add_tenant(pool, "globex"))
    await _delete(tenants, "globex")
    async with stubborn(installation, installation.device("dev-g")):
        assert await jobs.enforce()
    assert str(await ask(pool, "SELECT detail FROM incident WHERE device_id IS NULL")).startswith("dev-g: the broker")
    async with store.sessions_to_end() as waiting:
        assert waiting == []


@asynccontextmanager
async def stubborn(installation: Installation, who: Credentials) -> AsyncIterator[None]:
    """A client that comes back at once whenever it is put out; it is connected when the block begins."""
    connected = asyncio.Event()

    async def insist() -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    installation.broker.host,
                    installation.broker.port,
                    identifier=who.name,
                    protocol=aiomqtt.ProtocolVersion.V5,
                    tls_context=who.client_context(),
                ) as device:
                    connected.set()
                    async for _ in device.messages:
                        pass

    task = asyncio.create_task(insist())
    try:
        await connected.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
