"""The running agent in trouble: one clear line when it begins, one when it ends, and it goes on by itself."""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_testkit.agent import TRUSTED, AgentProcess, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.disks import small_disk

pytest_plugins = ["wayside_testkit.broker", "wayside_testkit.credentials"]


async def test_a_second_agent_on_one_outbox_ends_with_78(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    async with agent_process(config) as first:
        await first.says("uplink up")
        async with agent_process(config) as second:
            assert await second.ended() == 78
        (line,) = [text for _, text in second.lines]
        assert line.startswith(
            f"wayside-edge: outbox {tmp_path / 'outbox.db'} is in use by another agent; stop that one"
        )
        assert first.troubles == []


@pytest.mark.skipif(SystemClock(ClockSettings()).synced(), reason="this machine's clock is synchronised")
@pytest.mark.parametrize("hold_s", [0.0, 120.0])
async def test_a_clock_that_nobody_set_is_one_line(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, hold_s: float
) -> None:
    folder = tmp_path / "agent"
    folder.mkdir()
    more = f"[clock]\nhold_s = {hold_s}\n" + outbox_table(folder / "outbox.db")
    async with agent_process(agent_config(folder, broker.port, credentials.device("boiler-7"), more=more)) as agent:
        await agent.says("uplink up")
        await agent.says("waiting for the time: the clock is not synchronised")
        if not hold_s:
            await agent.says("still without the time after 0 s")
    assert len(agent.troubles) == (1 if hold_s else 2)


async def settled_lines(agent: AgentProcess, broker: Broker, attempts: int = 2) -> None:
    """Returns once the broker has seen that many attempts to connect, so that a second line would be there."""
    async with asyncio.timeout(200):  # the pauses between attempts grow, by lot
        while broker.log().count("New connection from") < attempts:
            assert agent.running, agent.troubles
            await asyncio.sleep(0.1)
    assert agent.running


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["another authority", "expired", "wrong CA"])
async def test_a_refused_certificate_is_told_within_three_tries_and_ends_with_the_right_one_row_8(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, kind: str
) -> None:
    good = credentials.device("boiler-7")
    (tmp_path / "foreign").mkdir()
    foreign = CredentialsFactory(tmp_path / "foreign")
    who, said = {
        "another authority": (replace(foreign.device("boiler-7"), ca_file=good.ca_file), "does not know its CA"),
        "expired": (credentials.device("boiler-7", days=-1), "by its own clock"),
        "wrong CA": (replace(good, ca_file=foreign.ca_file), "its certificate is not signed by"),
    }[kind]
    used = Credentials(who.name, tmp_path / "used-ca.pem", tmp_path / "used.pem", tmp_path / "used.key")
    put(who, used)
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    async with agent_process(agent_config(tmp_path, broker.port, used, more=more)) as agent:
        if kind == "wrong CA":
            await settled_lines(agent, broker)
        else:
            await agent.says("rejected: the broker has refused boiler-7 3 times in a row")
        lines = list(agent.troubles)
        assert lines[0].startswith("uplink down: ")
        assert [said in line for line in lines] == [True] * (1 if kind == "wrong CA" else 2)
        put(good, used)
        await agent.says("uplink up after")
    assert agent.troubles == lines


def put(who: Credentials, at: Credentials) -> None:
    """Copies the files of `who` to where `at` says."""
    at.key_file.touch(0o600)
    for name in ("ca_file", "cert_file", "key_file"):
        getattr(at, name).write_bytes(getattr(who, name).read_bytes())


async def test_a_broker_that_speaks_only_tls_1_2_is_one_line(tmp_path: Path, credentials: CredentialsFactory) -> None:
    server = credentials.server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.cert_file, server.key_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def shake_hands(link: socket.socket) -> None:
        link.settimeout(10)
        with suppress(OSError), context.wrap_socket(link, server_side=True):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        more = TRUSTED + outbox_table(tmp_path / "outbox.db")
        config = agent_config(tmp_path, port, credentials.device("boiler-7"), more=more)
        async with agent_process(config) as agent, asyncio.timeout(60):
            for _ in range(3):
                link, _ = await asyncio.get_running_loop().sock_accept(listener)
                await asyncio.to_thread(shake_hands, link)
            await agent.says("it must speak TLS 1.3")
        (line,) = agent.troubles
        assert line.startswith("uplink down: broker 127.0.0.1:")


async def test_no_broker_is_one_line_and_ends_by_itself(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    broker.stop()
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    async with agent_process(config) as agent:
        await agent.says("cannot be reached")
        broker.start()
        await agent.says("uplink up after")
    assert len(agent.troubles) == 1


async def test_a_name_that_runs_twice_is_explained_once_however_often_it_is_taken(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    who = credentials.device("boiler-7")
    configs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        more = TRUSTED + outbox_table(tmp_path / name / "outbox.db")
        configs.append(agent_config(tmp_path / name, broker.port, who, more=more))
    async with agent_process(configs[0]) as one:
        await one.says("uplink up")
        async with agent_process(configs[1]) as two:
            for agent in (one, two):
                await agent.says("does another board use the name boiler-7?")
            assert len(two.troubles) == 2, "that it was lost, and once why"
        lost, taken, *_ = one.troubles
        assert lost.startswith("uplink lost (the connection broke)")
        assert "does another board use the name boiler-7?" in taken
        before = one.count("uplink up")
        await one.says("uplink up", before + 1)


async def test_topics_of_another_device_are_one_line(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    who = replace(credentials.device("boiler-7"), name="boiler-8")
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    async with agent_process(agent_config(tmp_path, broker.port, who, more=more)) as agent:
        await agent.says("the broker refuses what boiler-8 publishes: Not authorized")
        await settled_lines(agent, broker, attempts=1)
    assert len(agent.troubles) == 1


async def test_an_outbox_that_cannot_be_made_is_one_line_and_ends_by_itself(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    folder = tmp_path / "disk"
    folder.write_text("in the way")
    more = TRUSTED + outbox_table(folder / "outbox.db")
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    async with agent_process(config) as agent:
        await agent.says("measuring goes on, trying again")
        folder.unlink()
        await agent.says("the outbox takes samples again")
        await agent.says("uplink up")
    assert len(agent.troubles) <= 2, "one of the outbox, one of the samples that wait for it"


async def test_a_bus_that_is_missing_is_one_line(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    sensor = (
        '[[bus]]\nname = "main"\nkind = "i2c"\nnumber = 1023\n'
        '[[sensor]]\nname = "air"\nkind = "bme280"\nbus = "main"\ninterval_s = 0.1\n'
    )
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more, sensor=sensor)
    async with agent_process(config) as agent:
        await agent.says("sensor air began to fail")
        await agent.says("uplink up")
    assert len(agent.troubles) == 1


async def test_a_full_disk_is_survived_through_a_reconnection(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    with small_disk(tmp_path / "disk", 6144) as disk:
        more = TRUSTED + outbox_table(disk.path / "outbox.db")
        config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
        async with agent_process(config) as agent:
            await agent.says("uplink up")
            disk.fill()
            await agent.says("the outbox takes no samples")
            broker.restart()
            await agent.says("uplink lost")
            await settled_lines(agent, broker, attempts=2)
            disk.clear()
            await agent.says("the outbox takes samples again")
            if agent.count("nothing is delivered"):
                await agent.says("the outbox delivers again")
            assert agent.running
        assert agent.count("the outbox takes no samples") == 1
        assert agent.count("nothing is delivered") <= 1
