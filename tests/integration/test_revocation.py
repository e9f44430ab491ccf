"""Reliability rows 9 and 10: a revoked device is put out and stays out, and a list that ends is seen coming."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509

from wayside_server.app import run_jobs
from wayside_server.app.jobs import enforcement
from wayside_server.config import BrokerSettings, DatabaseSettings, ServerSettings
from wayside_server.domain.access import Permission, Principal
from wayside_server.errors import NotFoundError, StorageError
from wayside_server.identity.broker_process import BrokerNotFoundError, find_broker
from wayside_server.identity.crl import Reason
from wayside_server.identity.publication import ListPublisher, ListWatch
from wayside_server.identity.revocation import Revocations
from wayside_server.ingest.takeover import HOLD_S
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.revocation import PostgresRevocations
from wayside_testkit.broker import handshake_and_connect
from wayside_testkit.credentials import Credentials
from wayside_testkit.delivery import edge_side, server_side
from wayside_testkit.installation import Installation, record
from wayside_testkit.roles import Trail

ENGINEER = Principal("person:ada", "Ada", 1, frozenset([Permission.MANAGE]))
STRANGER = Principal("person:eve", "Eve", 2, frozenset([Permission.MANAGE]))


def utc_now() -> datetime:
    return datetime.now(UTC)


def settings(installation: Installation) -> ServerSettings:
    return ServerSettings(broker=BrokerSettings(host="127.0.0.1", port=installation.broker.port))


@asynccontextmanager
async def enforcing(installation: Installation, store: PostgresRevocations) -> AsyncIterator[None]:
    """What the role jobs does."""
    task = asyncio.create_task(enforcement(installation.home, settings(installation), store).run(store.watch))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(pool: Pool, question: str, answer: object) -> None:
    """Returns when `question`, SQL for one value, gives `answer`."""
    async with asyncio.timeout(20):
        while True:
            if await ask(pool, question) == answer:
                return
            await asyncio.sleep(0.05)


async def ask(pool: Pool, question: str) -> object:
    async with connection(pool) as conn:
        row = await (await conn.execute(question.encode())).fetchone()
    return None if row is None else row[0]


def client(installation: Installation, who: Credentials) -> aiomqtt.Client:
    return aiomqtt.Client(
        installation.broker.host,
        installation.broker.port,
        identifier=who.name,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=who.client_context(),
        timeout=3,
    )


async def is_let_in(installation: Installation, who: Credentials) -> bool:
    return await handshake_and_connect(installation.broker, who.client_context()) != b""


async def becomes(installation: Installation, who: Credentials, *, let_in: bool) -> None:
    """Returns when the broker, which reads its list between two looks at its sockets, does as it should."""
    async with asyncio.timeout(20):
        while True:
            if await is_let_in(installation, who) is let_in:
                return


async def test_row_9_a_revoked_device_is_put_out_and_stays_out_and_others_notice_nothing(
    tmp_path: Path, installation: Installation, pool: Pool, database: str
) -> None:
    store, trail = PostgresRevocations(pool, database), Trail()
    bad, good = await installation.enrolled(pool, "boiler-7"), await installation.enrolled(pool, "boiler-8")
    broker = installation.broker
    async with (
        enforcing(installation, store),
        server_side(broker, installation.service(1), pool),
        edge_side(tmp_path / "bad.db", broker, bad) as revoked,
        edge_side(tmp_path / "good.db", broker, good) as other,
    ):
        for edge in (revoked, other):
            await edge.accept([1.0])
            await edge.delivered()
        loop = asyncio.get_running_loop()
        began = loop.time()
        marked = await Revocations(store, trail, utc_now).revoke(
            "boiler-7", ENGINEER, Reason.KEY_COMPROMISE, "192.0.2.1"
        )
        assert marked.certificates == 1
        await revoked.accept([2.0])
        await until(pool, "SELECT session_ended_at IS NOT NULL FROM device WHERE name = 'boiler-7'", True)
        # Two seconds of it are for seeing that it stays away.
        assert loop.time() - began < 60
        assert not await is_let_in(installation, bad)
        await other.accept([2.0])
        await other.delivered()
        assert f"as {good.name} " in broker.log()
        assert broker.log().count(f"as {good.name} ") == 1, "the session of another device has stayed"
    stored = "SELECT sum(s.stored)::int FROM stream s JOIN device d ON d.id = s.device_id WHERE d.name = 'boiler-7'"
    assert await ask(pool, stored) == 1
    assert await ask(pool, "SELECT state FROM device WHERE name = 'boiler-7'") == "offline"
    assert await retained_state(installation, "boiler-7") == b"revoked"
    assert [(act.actor, act.action, act.subject, act.address) for act in trail.acts] == [
        ("person:ada", "device.revoke", "device:boiler-7", "192.0.2.1")
    ]


async def retained_state(installation: Installation, device: str) -> bytes:
    """The reason in what the broker keeps on the device's topic."""
    async with client(installation, installation.service(2)) as service:
        await service.subscribe(f"wayside/1/{device}/state", qos=1)
        async with asyncio.timeout(20):
            message = await anext(aiter(service.messages))
    return bytes(message.payload).partition(b'"reason": "')[2].partition(b'"')[0]


async def test_row_9_what_a_revoked_device_still_sends_is_refused_counted_and_kept_by_it(
    tmp_path: Path, installation: Installation, pool: Pool, database: str
) -> None:
    store, trail = PostgresRevocations(pool, database), Trail()
    who = await installation.enrolled(pool, "boiler-7")
    broker, revocations = installation.broker, Revocations(store, trail, utc_now)
    async with server_side(broker, installation.service(1), pool), edge_side(tmp_path / "o.db", broker, who) as edge:
        await edge.accept([1.0])
        await edge.delivered()
        # Nobody enforces: its session stays, and only ingest stands in its way.
        await revocations.revoke("boiler-7", ENGINEER, Reason.HOLD)
        await edge.accept([2.0, 3.0])
        await until(pool, "SELECT count FROM incident WHERE kind = 'revoked device sends'", 1)
        assert await ask(pool, "SELECT count FROM tenant_refusal WHERE kind = 'revoked device'") == 1
        assert await ask(pool, "SELECT sum(stored)::int FROM stream") == 1
        assert await ask(pool, "SELECT count(*) FROM dead_letter") == 0
        marked = await revocations.restore("boiler-7", ENGINEER)
        assert (marked.released, marked.certificates) == (1, 0)
    async with server_side(broker, installation.service(1), pool), edge_side(tmp_path / "o.db", broker, who) as edge:
        await edge.delivered()
    assert await ask(pool, "SELECT sum(stored)::int FROM stream") == 3


async def test_a_device_of_another_tenant_is_not_found(installation: Installation, pool: Pool, database: str) -> None:
    await installation.enrolled(pool, "boiler-7")
    revocations = Revocations(PostgresRevocations(pool, database), Trail(), utc_now)
    for change in (revocations.revoke("boiler-7", STRANGER, Reason.HOLD), revocations.restore("boiler-7", STRANGER)):
        with pytest.raises(NotFoundError):
            await change


async def test_what_cannot_be_recorded_is_not_done(installation: Installation, pool: Pool, database: str) -> None:
    await installation.enrolled(pool, "boiler-7")
    store, trail = PostgresRevocations(pool, database), Trail()
    trail.full = True
    with pytest.raises(StorageError):
        await Revocations(store, trail, utc_now).revoke("boiler-7", ENGINEER, Reason.HOLD)
    assert await ask(pool, "SELECT revoked_at FROM device") is None
    assert await ask(pool, "SELECT count(*) FROM certificate WHERE revoked_at IS NOT NULL") == 0


async def test_a_certificate_that_the_database_does_not_know_is_not_fought_for_ever(
    installation: Installation, pool: Pool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside_server.jobs.enforcement.ATTEMPTS", 2)
    store = PostgresRevocations(pool, database)
    async with connection(pool) as conn:
        await conn.execute("INSERT INTO device (name) VALUES ('boiler-7')")
    await Revocations(store, Trail(), utc_now).revoke("boiler-7", ENGINEER, Reason.UNSPECIFIED)
    work = enforcement(installation.home, settings(installation), store)
    async with stubborn(installation, installation.device("boiler-7")):
        assert not await work.enforce()
        assert await work.enforce()
    assert await ask(pool, "SELECT count FROM incident WHERE kind = 'revoked device connects'") == 1
    async with store.sessions_to_end() as waiting, store.sessions_to_end() as for_another:
        assert (waiting, for_another) == ([], None)


@asynccontextmanager
async def stubborn(installation: Installation, who: Credentials) -> AsyncIterator[None]:
    """A client that comes back at once whenever it is put out; it is connected when the block begins."""
    connected = asyncio.Event()

    async def insist() -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with client(installation, who) as device:
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


async def test_many_sessions_are_ended_at_once(installation: Installation, pool: Pool, database: str) -> None:
    store = PostgresRevocations(pool, database)
    names = [f"boiler-{i}" for i in range(20)]
    async with contextlib.AsyncExitStack() as connected:
        # Each complains of the broken connection when it is left.
        links = [client(installation, await installation.enrolled(pool, name)) for name in names]
        for link in links:
            connected.push(lambda kind, *_: kind is not None and issubclass(kind, aiomqtt.MqttError))
            await connected.enter_async_context(link)
        for name in names:
            await Revocations(store, Trail(), utc_now).revoke(name, ENGINEER, Reason.KEY_COMPROMISE)
        began = asyncio.get_running_loop().time()
        assert await enforcement(installation.home, settings(installation), store).enforce()
        # One after the other they would take twice that.
        assert asyncio.get_running_loop().time() - began < len(names) * HOLD_S / 2
        for link in links:
            with pytest.raises(aiomqtt.MqttError):
                await link.publish("wayside/1/x/up", b"x", qos=1)


async def test_the_revocation_list_says_which_certificates_are_good(
    installation: Installation, pool: Pool, database: str
) -> None:
    store = PostgresRevocations(pool, database)
    who = await installation.enrolled(pool, "boiler-7")
    serial = x509.load_pem_x509_certificate(who.cert_file.read_bytes()).serial_number
    assert not await store.is_revoked(serial)
    assert not await store.is_revoked(serial + 1)
    await Revocations(store, Trail(), utc_now).revoke("boiler-7", ENGINEER, Reason.CESSATION)
    assert await store.is_revoked(serial)
    await Revocations(store, Trail(), utc_now).restore("boiler-7", ENGINEER)
    assert await store.is_revoked(serial), "only a hold is taken back"


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def test_row_10_the_list_is_renewed_daily_and_keeps_its_number_rising(
    installation: Installation, pool: Pool, database: str
) -> None:
    store, clock = PostgresRevocations(pool, database), Clock()
    publisher = ListPublisher(installation.home, timedelta(days=7), clock)
    first = await publisher.publish(store)
    assert (first.signed, first.told) == (True, True)
    again = await publisher.publish(store)
    assert (again.signed, again.told) == (False, None)
    clock.ahead = timedelta(hours=25)
    later = await publisher.publish(store)
    assert later.signed
    assert later.lists.number > first.lists.number
    assert later.lists.next_update - clock() > timedelta(days=6.9)


async def test_row_10_an_expired_list_refuses_every_device_and_a_renewed_one_none(
    installation: Installation, pool: Pool, database: str
) -> None:
    who = await installation.enrolled(pool, "boiler-7")
    home, store = installation.home, PostgresRevocations(pool, database)
    short = ListPublisher(home, timedelta(seconds=1), utc_now)
    watch = ListWatch(home, utc_now)
    assert watch.complaint() is None
    ends = (await short.publish(store)).lists.next_update
    await asyncio.sleep(max(0.0, (ends - utc_now()).total_seconds()) + 0.1)
    await becomes(installation, who, let_in=False)
    assert "has expired" in (watch.complaint() or "")
    # The database is not asked: what is on disk is signed again.
    renewed = ListPublisher(home, timedelta(days=7), utc_now).renew(0.5)
    assert renewed is not None
    assert renewed.told
    assert watch.complaint() is None
    await becomes(installation, who, let_in=True)


async def test_a_list_renewed_without_the_database_loses_no_revocation_of_a_restored_one(
    installation: Installation, pool: Pool, database: str
) -> None:
    who = await installation.enrolled(pool, "boiler-7")
    store, publisher = PostgresRevocations(pool, database), ListPublisher(installation.home, timedelta(days=7), utc_now)
    await Revocations(store, Trail(), utc_now).revoke("boiler-7", ENGINEER, Reason.KEY_COMPROMISE)
    published = await publisher.publish(store)
    async with connection(pool) as conn:
        # As in a backup from before.
        await conn.execute("UPDATE certificate SET revoked_at = NULL, revoked_reason = NULL")
        await conn.execute("UPDATE device SET revoked_at = NULL")
        await conn.execute("UPDATE revocation_list SET number = 0, pem = ''")
    for _ in range(2):
        again = await publisher.publish(store)
        assert again.lists.revoked.keys() == published.lists.revoked.keys()
        assert again.lists.number > published.lists.number
    await becomes(installation, who, let_in=False)


async def test_processes_that_publish_at_once_do_not_get_in_each_others_way(
    installation: Installation, pool: Pool, database: str
) -> None:
    store = PostgresRevocations(pool, database)

    def renew() -> int:
        published = ListPublisher(installation.home, timedelta(days=7), utc_now).renew()
        assert published is not None
        return published.lists.number

    publishers = [ListPublisher(installation.home, timedelta(days=7), utc_now) for _ in range(4)]
    async with asyncio.TaskGroup() as tasks:
        renewed = [tasks.create_task(asyncio.to_thread(renew)) for _ in range(8)]
        for publisher in publishers:
            tasks.create_task(publisher.publish(store))
    numbers = [task.result() for task in renewed]
    assert len(set(numbers)) == len(numbers)
    newest = await publishers[0].publish(store)
    assert newest.lists.number > max(numbers)


async def test_a_certificate_that_is_issued_to_a_revoked_device_is_revoked_whoever_comes_first(
    installation: Installation, pool: Pool, database: str
) -> None:
    store = PostgresRevocations(pool, database)
    names = [f"boiler-{i}" for i in range(8)]
    async with connection(pool) as conn:
        await conn.execute("INSERT INTO device (name) SELECT unnest(%s::text[])", [names])
    revocations = Revocations(store, Trail(), utc_now)
    made = [installation.device(name) for name in names]
    async with asyncio.TaskGroup() as tasks:
        for name, who in zip(names, made, strict=True):
            tasks.create_task(revocations.revoke(name, ENGINEER, Reason.KEY_COMPROMISE))
            tasks.create_task(record(pool, who))
    assert await ask(pool, "SELECT count(*) FROM certificate WHERE revoked_reason = 'key-compromise'") == len(names)


async def test_row_10_a_server_that_starts_renews_the_list_before_it_has_a_database(
    installation: Installation,
) -> None:
    home = installation.home
    ListPublisher(home, timedelta(days=7), lambda: utc_now() - timedelta(days=8)).renew()
    watch = ListWatch(home, utc_now)
    assert "has expired" in (watch.complaint() or "")
    unreachable = ServerSettings(database=DatabaseSettings(url="host=127.0.0.1 port=1 user=nobody dbname=none"))
    starting = asyncio.create_task(run_jobs(home, unreachable))
    async with asyncio.timeout(10):
        while watch.complaint() is not None:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.02)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await becomes(installation, installation.device("boiler-7"), let_in=True)


def test_a_process_that_is_not_this_broker_gets_no_signal(installation: Installation) -> None:
    home = installation.home
    assert find_broker(home).pid == installation.broker.pid
    for content, what in ((str(os.getpid()), "which is not this broker"), ("", "names no broker"), ("0", "names no")):
        home.broker_pid.write_text(content)
        with pytest.raises(BrokerNotFoundError, match=what):
            find_broker(home)


async def test_row_10_a_list_that_cannot_be_written_is_an_incident(
    installation: Installation, pool: Pool, database: str
) -> None:
    store = PostgresRevocations(pool, database)
    # Root may write everywhere, but nobody writes over a folder.
    installation.home.revocation_list.unlink()
    (installation.home.revocation_list / "in the way").mkdir(parents=True)
    async with enforcing(installation, store):
        await until(pool, "SELECT count FROM incident WHERE kind = 'revocation list stale'", 1)
        shutil.rmtree(installation.home.revocation_list)
        await Revocations(store, Trail(), utc_now).revoke(
            (await installation.enrolled(pool, "boiler-7")).name, ENGINEER, Reason.HOLD
        )
        await until(pool, "SELECT session_ended_at IS NOT NULL FROM device", True)
    lists = ListWatch(installation.home, utc_now).lists()
    assert lists is not None
    assert len(lists.revoked) == 1
