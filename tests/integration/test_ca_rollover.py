"""Reliability section 3.2, CA rollover: two CAs overlap and the old one goes, with sessions that lose nothing."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from wayside_server.app.authorities import _roots_changed
from wayside_server.errors import ConfigError
from wayside_server.identity import rollover
from wayside_server.identity.home import Home
from wayside_server.identity.installation import install, load_authority, load_signers
from wayside_server.identity.publication import ListPublisher
from wayside_server.storage.certificates import PostgresCertificates
from wayside_server.storage.database import Pool, connection
from wayside_testkit.broker import handshake_and_connect
from wayside_testkit.credentials import Credentials
from wayside_testkit.delivery import EdgeSide, edge_side, server_side
from wayside_testkit.installation import Installation, record

STORED = """
SELECT d.name, sum(s.stored)::int,
       (SELECT count(*)::int FROM sample v JOIN series e ON e.id = v.series_id WHERE e.device_id = d.id)
FROM stream s JOIN device d ON d.id = s.device_id
GROUP BY d.id
ORDER BY d.name
"""


def utc_now() -> datetime:
    return datetime.now(UTC)


async def recorded() -> None:
    """An audit trail takes it."""


def publisher(installation: Installation) -> ListPublisher:
    return ListPublisher(installation.home, timedelta(days=7), utc_now)


class Board:
    """A device that keeps its certificate, key and roots in files of its own, as an agent does."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self.who = Credentials(name, folder / "ca.pem", folder / "device.pem", folder / "device.key")
        self.accepted = 0
        self.edge: EdgeSide | None = None

    async def renew(self, installation: Installation, pool: Pool) -> None:
        """Gets a certificate and every root from the CA that issues now."""
        made = installation.device(self.who.name)
        await record(pool, made)
        for old, new in (
            (self.who.cert_file, made.cert_file),
            (self.who.key_file, made.key_file),
            (self.who.ca_file, made.ca_file),
        ):
            shutil.copy(new, old)

    async def accept(self, count: int) -> None:
        """Measures."""
        assert self.edge is not None
        await self.edge.accept([float(self.accepted + i) for i in range(count)])
        self.accepted += count

    async def delivered(self) -> None:
        assert self.edge is not None
        await self.edge.delivered()


async def test_a_rollover_with_live_sessions_loses_nothing_and_shuts_the_old_ca_out(
    tmp_path: Path, installation: Installation, pool: Pool
) -> None:
    home, broker, issued = installation.home, installation.broker, PostgresCertificates(pool)
    boards = [Board(tmp_path / name, name) for name in ("boiler-7", "boiler-8", "boiler-9")]
    stranger = Board(tmp_path / "lost-one", "lost-one")
    async with AsyncExitStack() as running:
        await running.enter_async_context(server_side(broker, installation.service(1), pool))

        async def start(board: Board) -> None:
            await board.renew(installation, pool)
            board.edge = await running.enter_async_context(
                edge_side(tmp_path / f"{board.who.name}.db", broker, board.who)
            )

        async def measure() -> None:
            for board in boards[: len([board for board in boards if board.edge])]:
                await board.accept(5)

        for board in boards[:2]:
            await start(board)
        await stranger.renew(installation, pool)
        await measure()
        await rollover.roll(home, utc_now(), recorded)
        publisher(installation).renew()
        await measure()
        broker.restart()
        await measure()
        for board in boards[:2]:
            await board.delivered()
        # A board that is enrolled meanwhile is of the new CA from the start.
        await start(boards[2])
        await measure()
        await boards[2].delivered()
        with pytest.raises(
            ConfigError, match="3 devices have only certificates of the old CA: boiler-7, boiler-8, lost"
        ):
            await rollover.finish(home, issued, utc_now(), recorded)
        for board in boards[:2]:
            await board.renew(installation, pool)
        async with connection(pool) as conn:
            await conn.execute("UPDATE device SET revoked_at = now() WHERE name = 'lost-one'")
        await rollover.finish(home, issued, utc_now(), recorded)
        rollover.complete(home, utc_now())
        publisher(installation).renew()
        async with asyncio.timeout(20):
            # Its list is gone from the file, which is as good as its root.
            while await lets_in(installation, stranger.who, boards[0].who):
                pass
        await measure()
        broker.restart()
        await measure()
        for board in boards:
            await board.delivered()
    async with connection(pool) as conn:
        rows = await (await conn.execute(STORED)).fetchall()
    assert rows == [(board.who.name, board.accepted, board.accepted) for board in boards]
    assert await lets_in(installation, boards[0].who, boards[0].who)
    assert not await lets_in(installation, stranger.who, boards[0].who)


async def lets_in(installation: Installation, who: Credentials, roots: Credentials) -> bool:
    context = roots.client_context()
    context.load_cert_chain(who.cert_file, who.key_file)
    return await handshake_and_connect(installation.broker, context) != b""


async def test_both_roots_are_given_out_and_the_server_changes_last(installation: Installation, pool: Pool) -> None:
    home = installation.home
    before, own = load_authority(home).fingerprint, home.certificate("api").read_bytes()
    await rollover.roll(home, utc_now(), recorded)
    between = load_authority(home)
    given = pkcs7.load_der_pkcs7_certificates(between.cacerts_pkcs7())
    assert len(given) == 3
    assert between.fingerprint == before, "what a device can compare is what the server shows"
    assert home.ca_file.read_bytes() == between.root_pem
    install(home, [], utc_now())
    assert home.certificate("api").read_bytes() == own
    assert len(load_signers(home)) == 2
    with pytest.raises(ConfigError, match="a rollover is under way"):
        await rollover.roll(home, utc_now(), recorded)
    await rollover.finish(home, PostgresCertificates(pool), utc_now(), recorded)
    rollover.complete(home, utc_now())
    after = load_authority(home)
    assert after.fingerprint != before
    assert home.certificate("api").read_bytes() != own
    assert x509.load_pem_x509_certificates(home.ca_file.read_bytes()) == [
        x509.load_pem_x509_certificate(after.root_pem)
    ]
    with pytest.raises(ConfigError, match="no rollover is under way"):
        await rollover.finish(home, PostgresCertificates(pool), utc_now(), recorded)


async def test_a_finish_that_was_interrupted_is_completed_by_init(tmp_path: Path, pool: Pool) -> None:
    home = Home(tmp_path / "home")
    install(home, ["localhost"], utc_now())
    await rollover.roll(home, utc_now(), recorded)
    new = load_authority(home).root_pem
    home.ca.rename(home.path / "ca.retired-half")
    install(home, [], utc_now())
    assert not home.next_ca.exists()
    assert load_authority(home).root_pem in new
    assert home.ca_file.read_bytes() == load_authority(home).root_pem


async def test_a_broker_that_runs_since_before_its_roots_changed_is_told_of_and_restarted(
    installation: Installation,
) -> None:
    home, broker = installation.home, installation.broker
    await rollover.roll(home, utc_now(), recorded)
    assert rollover.authorities(home).broker_is_behind
    before = broker.pid

    async def service_manager() -> None:
        await asyncio.to_thread(broker.await_end)
        await asyncio.to_thread(broker.start)

    restarting = asyncio.create_task(service_manager())
    assert await _roots_changed(home, restart=True) == ["the broker was restarted"]
    await restarting
    assert broker.pid != before
