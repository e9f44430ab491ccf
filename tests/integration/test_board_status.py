"""Standing at a board: the running agent answers, measures itself, and is asked to say more."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from wayside_server.storage.database import Pool
from wayside_testkit.agent import TRUSTED, AgentProcess, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.delivery import server_side

pytest_plugins = ["wayside_testkit.postgres", "wayside_testkit.broker", "wayside_testkit.credentials"]


async def typed(*words: str) -> tuple[int, str, str]:
    """What `wayside-edge WORDS` gives: status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wayside_edge", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def told(config: Path) -> Any:
    status, out, err = await typed("status", "--json", "--config", str(config))
    assert status == 0, err
    return json.loads(out)


async def until(config: Path, agent: AgentProcess, sensor: str) -> Any:
    """The status, once `sensor` has a value in it."""
    async with asyncio.timeout(30):
        while True:
            status = await told(config)
            if any(each["name"] == sensor and each["last"] for each in status["sensors"]):
                return status
            assert agent.running


async def test_the_agent_tells_how_it_is_and_says_more_when_asked(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    more += f'[log]\nfile = "{tmp_path / "agent.log"}"\n[health]\ninterval_s = 1\nprometheus = "127.0.0.1:0"\n'
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    status, _, err = await typed("status", "--config", str(config))
    assert status == 1
    (line,) = err.splitlines()
    assert "no agent runs" in line
    assert "wayside-edge run" in line
    async with agent_process(config) as agent:
        await agent.says("uplink up")
        found = await until(config, agent, "host")
        assert found["device"] == "boiler-7"
        assert found["link"]["connected"]
        assert found["certificate"].startswith("ends 20")
        assert found["account"]["outbox"]["pending_batches"] >= 0
        assert found["board"]["memory"] > 5e6
        status, out, _ = await typed("status", "--config", str(config))
        assert "link       up for" in out
        assert "\nhost " in out
        status, out, _ = await typed("log-level", "wayside_edge.uplink", "debug", "--for", "5", "--config", str(config))
        held = "all modules: info\nwayside_edge.uplink: debug\ncopied to the server: nothing\n"
        assert out == held
        await agent.says("the log of wayside_edge.uplink is at debug for 5 minutes")
        await typed("log-level", "wayside_edge.acquisition", "debug", "--config", str(config))
        await agent.says("read host: ")
        await typed("log-level", "wayside_edge.acquisition", "default", "--config", str(config))
        assert (await typed("log-level", "--config", str(config)))[1] == held
        status, out, _ = await typed("log-level", "wayside_edge.uplink", "default", "--config", str(config))
        assert out == "all modules: info\ncopied to the server: nothing\n"
        status, _, err = await typed("log-level", "wayside_edge.uplnk", "debug", "--config", str(config))
        assert "no part of the agent logs as 'wayside_edge.uplnk'; did you mean 'wayside_edge.uplink" in err
        status, _, err = await typed("log-level", "a", "b", "c", "--config", str(config))
        assert "type: wayside-edge log-level [MODULE] LEVEL [--for MINUTES]" in err
        status, _, err = await typed("log-level", "loud", "--config", str(config))
        assert (status, err) == (
            1,
            "wayside-edge: the agent says: level 'loud' must be one of debug, info, warning, error\n",
        )
    assert not (tmp_path / "outbox.sock").exists()
    assert "uplink up" in (tmp_path / "agent.log").read_text()
    assert agent.troubles == []


async def scraped(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_what_the_agent_measures_of_itself_is_stored_like_any_series_and_scraped(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    more += f'[health]\ninterval_s = 1\nprometheus = "127.0.0.1:{port}"\n'
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    async with server_side(broker, credentials.service(), pool), agent_process(config) as agent:
        await agent.says("uplink up")
        stored: set[str] = set()
        async with asyncio.timeout(30), pool.connection() as conn:
            while "agent.memory" not in stored:
                stored = {name for (name,) in await (await conn.execute("SELECT name FROM series")).fetchall()}
        text = await scraped(port)
        account = (await told(config))["account"]
    assert stored >= {f"agent.{name}" for name in ("cpu", "pending_samples", "link_up", "clock_synced", "accepted")}
    assert "\nwayside_agent_link_up 1.0\n" in text
    metrics = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE) == metrics
    assert "\n# TYPE wayside_agent_accepted_total counter\n" in text
    assert 'wayside_reading{series="host.disk_used",unit="%"}' in text
    assert account["refused"] == {}
    assert agent.troubles == []


async def test_a_sensor_may_not_take_the_name_of_the_agents_own(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    sensor = '[[sensor]]\nname = "agent"\nkind = "host"\n'
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), sensor=sensor)
    status, _, err = await typed("check-config", "--config", str(config))
    assert status == 78
    assert "interval_s = 0 under [health]" in err
    config = agent_config(
        tmp_path, broker.port, credentials.device("boiler-7"), more="[health]\ninterval_s = 0", sensor=sensor
    )
    assert (await typed("check-config", "--config", str(config)))[0] == 0


def ignores_hangup(pid: int) -> bool:
    (mask,) = re.findall(r"SigIgn:\s*(\S+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) & 1 << (signal.SIGHUP - 1))


async def test_a_reload_that_comes_while_the_agent_starts_ends_nothing(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=TRUSTED)
    async with agent_process(config) as agent:
        while not ignores_hangup(agent.pid):
            pass
        while "uplink up" not in str(agent.lines):
            os.kill(agent.pid, signal.SIGHUP)
            await asyncio.sleep(0.02)
        assert await agent.stop() == 0


async def test_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "edge.toml")
    status, _, err = await typed("check-config", "--config", str(tmp_path / "edge.toml"))
    assert status == 78
    assert "must be a file" in err
    config = tmp_path / "open.toml"
    config.write_text('[[sensor]]\nname = "pi"\nkind = "host"\n[health]\nprometheus = "0.0.0.0:9469"\n')
    status, _, err = await typed("check-config", "--config", str(config))
    assert status == 78
    assert "must be of this machine" in err
