"""The agent renews its certificate over a real broker and a real EST server, and loses nothing meanwhile (row 11)."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from wayside_edge.__main__ import main
from wayside_edge.enrol import enrol
from wayside_edge.identity.store import Files
from wayside_edge.identity.worker import Job, refresh, renew
from wayside_edge.ports import LinkState
from wayside_edge.uplink.mqtt import MqttConnection, MqttTransport
from wayside_server.identity.authority import Authority, create_authority
from wayside_server.storage.database import Pool
from wayside_testkit.agent import TRUSTED, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.delivery import server_side
from wayside_testkit.est_server import FakeEst, serving_est
from wayside_testkit.renewing import Places, RenewingDevice, renewing

DEADLINE_S = 30.0
NAME = "boiler-7"


@pytest.fixture
def est(credentials: CredentialsFactory) -> Iterator[FakeEst]:
    with serving_est(FakeEst(credentials)) as served:
        yield served


def enrolled(est: FakeEst, folder: Path, broker: Broker, *, days: int, began_days_ago: int) -> Files:
    """Enrols NAME with a certificate of that life; the next one is a fresh one."""
    est.broker = f"{broker.host}:{broker.port}"
    est.life, est.begins_ago = timedelta(days=days), timedelta(days=began_days_ago)
    folder.mkdir()
    names = ("ca.pem", "device.pem", "device.key")
    # An expired certificate is refused at enrolment, so it is put in place as by a board that was off for long.
    enrol(est.url, est.token(NAME), folder / "edge.toml", folder) if days > began_days_ago else put(est, folder)
    est.life, est.begins_ago = timedelta(days=90), timedelta(days=1)
    return Files(*(folder / name for name in names))


def make_unwritable(files: Files) -> None:
    """Flat files, with something in the way of versions; root may write to any folder."""
    assert files.key_file is not None
    for path in files.each():
        content = path.read_bytes()
        path.unlink()
        path.touch(0o600)
        path.write_bytes(content)
    shutil.rmtree(files.cert_file.parent / "versions")
    (files.cert_file.parent / "versions").write_text("in the way")


def put(est: FakeEst, folder: Path) -> None:
    who = est.credentials.device(NAME, days=-1)
    (folder / "ca.pem").write_bytes(who.ca_file.read_bytes())
    (folder / "device.pem").write_bytes(who.cert_file.read_bytes())
    (folder / "device.key").touch(0o600)
    (folder / "device.key").write_bytes(who.key_file.read_bytes())
    est.know(x509.load_pem_x509_certificate(who.cert_file.read_bytes()))


def device(files: Files, est: FakeEst, broker: Broker, folder: Path) -> AbstractAsyncContextManager[RenewingDevice]:
    """NAME delivers, and looks after its certificate, within the block."""
    return renewing(NAME, files, Places(broker.host, broker.port, est.url, folder / "outbox.db"))


async def stored(pool: Pool) -> list[float]:
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT value FROM sample ORDER BY value")).fetchall()
    return [float(row[0]) for row in rows]


async def test_a_certificate_is_renewed_while_samples_flow_row_11(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, est: FakeEst, pool: Pool
) -> None:
    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=40, began_days_ago=36)
    async with server_side(broker, credentials.service(), pool), device(files, est, broker, tmp_path) as board:
        first, count = board.serial(), 0
        async with asyncio.timeout(DEADLINE_S):
            while board.serial() == first or board.uplink.state.sessions < 2 or board.versions > 1:
                await board.accept([float(count)])
                count += 1
                await asyncio.sleep(0.01)
        await board.accept([float(count)])
        await board.delivered()
        assert board.serial() == est.issued[-1].serial_number != first
        assert (board.trouble, board.uplink.state.sessions) == ("", 2)
    assert await stored(pool) == [float(value) for value in range(count + 1)]


async def test_a_new_certificate_that_the_broker_refuses_costs_nothing_row_11(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, est: FakeEst, pool: Pool
) -> None:
    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=40, began_days_ago=36)
    root, intermediate = create_authority(datetime.now(UTC))
    est.extra_roots, est.authority = [*est.roots()], Authority(root.certificate, intermediate)
    async with server_side(broker, credentials.service(), pool), device(files, est, broker, tmp_path) as board:
        first = board.serial()
        await board.accept([1.0])
        await board.comes_to(lambda: "the broker refuses the new certificate" in board.trouble)
        await board.accept([2.0])
        await board.delivered()
        assert board.serial() == first
    assert await stored(pool) == [1.0, 2.0]


async def test_a_server_that_is_away_stops_nothing_and_is_told_once(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, est: FakeEst, pool: Pool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=40, began_days_ago=36)
    est.fault = 503
    async with server_side(broker, credentials.service(), pool), device(files, est, broker, tmp_path) as board:
        await board.accept([1.0])
        await board.comes_to(lambda: "out of order" in board.trouble)
        await board.delivered()
    assert sum("the certificate is not renewed" in line for line in caplog.messages) == 1
    assert await stored(pool) == [1.0]


async def test_an_expired_device_measures_on_and_is_renewed_with_consent_rows_8_and_11(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, est: FakeEst, pool: Pool
) -> None:
    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=1, began_days_ago=30)
    est.fault = 503
    async with server_side(broker, credentials.service(), pool), device(files, est, broker, tmp_path) as board:
        await board.accept([1.0])
        await board.comes_to(lambda: "expired on" in board.uplink.state.trouble)
        assert "by its own clock" in board.uplink.state.trouble
    est.fault = None
    est.approve_renewal(NAME)
    async with server_side(broker, credentials.service(), pool), device(files, est, broker, tmp_path) as board:
        await board.accept([2.0])
        await board.delivered()
    assert await stored(pool) == [1.0, 2.0]


async def test_the_agent_renews_and_says_so(
    tmp_path: Path, broker: Broker, est: FakeEst, capsys: pytest.CaptureFixture[str]
) -> None:
    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=40, began_days_ago=36)
    assert files.key_file is not None
    who = Credentials(NAME, files.ca_file, files.cert_file, files.key_file)
    more = f'{TRUSTED}{outbox_table(tmp_path / "outbox.db")}[identity]\nserver = "{est.url}"\n'
    async with agent_process(agent_config(tmp_path, broker.port, who, more=more)) as agent:
        await agent.says("a new certificate is in use")
        assert agent.troubles == []
        status = ["status", "--config", str(tmp_path / "edge.toml")]
        assert await asyncio.to_thread(main, status) == 0
    assert re.search(r"^certificate ends .*; will renew about 20\d\d-\d\d-\d\d ", capsys.readouterr().out, re.MULTILINE)


async def test_an_agent_that_ended_before_the_proof_goes_on_with_it_row_11(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, est: FakeEst, pool: Pool
) -> None:
    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=90, began_days_ago=1)
    await asyncio.to_thread(renew, Job(est.url, NAME, files, None, rotate_key=True), expired=False)
    async with server_side(broker, credentials.service(), pool), device(files, est, broker, tmp_path) as board:
        await board.accept([1.0])
        await board.comes_to(lambda: board.serial() == est.issued[-1].serial_number)
        await board.delivered()
    assert await stored(pool) == [1.0]


async def test_a_disk_that_takes_no_certificate_stops_nothing(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, est: FakeEst, pool: Pool
) -> None:
    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=40, began_days_ago=36)
    await asyncio.to_thread(make_unwritable, files)
    async with server_side(broker, credentials.service(), pool), device(files, est, broker, tmp_path) as board:
        await board.accept([1.0])
        await board.comes_to(lambda: "the identity cannot be kept" in board.trouble)
        await board.delivered()
    assert await stored(pool) == [1.0]


async def test_a_session_that_is_being_opened_is_not_taken_for_the_one_before_row_11(
    tmp_path: Path, broker: Broker, est: FakeEst, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the old certificate would be wiped before the new one has shown that it is good."""
    states: list[LinkState] = []
    connect = MqttTransport.connect

    async def watched(self: MqttTransport) -> MqttConnection:
        connection = await connect(self)
        states.append(board.uplink.state)
        return connection

    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=90, began_days_ago=1)
    async with device(files, est, broker, tmp_path) as board:
        await board.comes_to(lambda: board.uplink.connected)
        monkeypatch.setattr(MqttTransport, "connect", watched)
        before_ns = board.clock.boottime_ns()
        board.uplink.give_way()
        await board.comes_to(lambda: board.uplink.state.sessions == 2)
        assert [state.connected for state in states] == [False]
        assert board.uplink.state.since_ns > before_ns


async def test_an_enrolment_beside_the_running_agent_counts_without_a_restart(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, est: FakeEst, pool: Pool
) -> None:
    files = await asyncio.to_thread(enrolled, est, tmp_path / "board", broker, days=1, began_days_ago=30)
    est.fault = 503
    async with server_side(broker, credentials.service(), pool), device(files, est, broker, tmp_path) as board:
        await board.accept([1.0])
        await board.comes_to(lambda: "out of order" in board.trouble)
        est.fault = None
        await asyncio.to_thread(enrol, est.url, est.token(NAME), tmp_path / "edge.toml", files.cert_file.parent)
        await board.delivered()
        await board.comes_to(lambda: board.identity.status().get("serial") == f"{est.issued[-1].serial_number:x}")
        assert board.trouble == ""
    assert await stored(pool) == [1.0]


def rolled(est: FakeEst, files: Files) -> tuple[Job, x509.Certificate, x509.Certificate]:
    """A device's job, its root, and one that is to replace it."""
    root, _ = create_authority(datetime.now(UTC))
    (old,) = x509.load_pem_x509_certificates(files.ca_file.read_bytes())
    return Job(est.url, NAME, files, None, rotate_key=True), old, root.certificate


def test_a_root_joins_at_once_and_goes_when_nothing_needs_it(tmp_path: Path, broker: Broker, est: FakeEst) -> None:
    files = enrolled(est, tmp_path / "board", broker, days=90, began_days_ago=1)
    job, old, new = rolled(est, files)
    est.listed = [new, old]
    assert refresh(job) == {"changed": True}
    job.store.promote()
    assert {*x509.load_pem_x509_certificates(files.ca_file.read_bytes())} == {new, old}
    est.listed = [new]  # the server forgets the old one, but this device's certificate still stands on it
    assert refresh(job) == {"changed": False}
    est.listed = [old]
    assert refresh(job) == {"changed": True}
    job.store.promote()
    assert x509.load_pem_x509_certificates(files.ca_file.read_bytes()) == [old]
