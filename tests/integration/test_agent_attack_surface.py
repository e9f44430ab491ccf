"""reliability.md row 30: on a board the agent opens no port."""

import socket
from pathlib import Path

import psutil

from wayside_testkit.agent import TRUSTED, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory


async def test_an_agent_listens_on_no_port(tmp_path: Path, broker: Broker, credentials: CredentialsFactory) -> None:
    more = outbox_table(tmp_path / "outbox.db") + TRUSTED
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    async with agent_process(config) as agent:
        await agent.says("uplink up")
        processes = [psutil.Process(agent.pid), *psutil.Process(agent.pid).children(recursive=True)]
        ports = [entry for process in processes for entry in process.net_connections(kind="inet")]
    assert [entry for entry in ports if entry.status == psutil.CONN_LISTEN or entry.type == socket.SOCK_DGRAM] == []
    # One connection out, to the broker; what else there is has both ends in the process (paho's way to wake itself).
    own = {entry.laddr.port for entry in ports}
    assert {entry.raddr.port for entry in ports} - own == {broker.port}
