"""The bundle for whoever helps: all that tells what is wrong, and no secret."""

import asyncio
import json
import os
import stat
import sys
import tarfile
from pathlib import Path

from wayside_edge.commands.diagnose import PROGRAMS
from wayside_testkit.agent import TRUSTED, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory

pytest_plugins = ["wayside_testkit.broker", "wayside_testkit.credentials"]

CANARY = "c4naryC4NARYc4naryC4NARYc4naryC4NARYc4nary0"


async def bundled(config: Path, to: Path) -> tuple[dict[str, str], str]:
    """The texts in the bundle by name, and what was said meanwhile."""
    words = ("diagnose", "--config", str(config), "-o", str(to))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wayside_edge", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert str(to) in out.decode()
    found = {}
    with tarfile.open(to) as archive:
        for entry in archive:
            opened = archive.extractfile(entry)
            assert opened is not None
            found[entry.name.removeprefix("wayside-diagnose/")] = opened.read().decode()
    return found, err.decode()


async def test_a_running_board_is_bundled_without_its_secrets(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    who = credentials.device("boiler-7")
    log = tmp_path / "agent.log"
    more = TRUSTED + outbox_table(tmp_path / "outbox.db") + f'[log]\nfile = "{log}"\n'
    config = agent_config(tmp_path, broker.port, who, more=more)
    key = [line for line in who.key_file.read_text().splitlines() if not line.startswith("---")]
    async with agent_process(config) as agent:
        await agent.says("uplink up")
        # As an agent of an older version, or another program, may have left them.
        with log.open("a") as file:
            file.write(f"Authorization: Bearer {CANARY}\nmqtts://me:{CANARY}@broker\n{who.key_file.read_text()}\n")
        config.write_text(config.read_text() + f"# token = {CANARY}\n")
        found, said = await bundled(config, tmp_path / "bundle.tar.gz")
    everything = "\n".join(found.values())
    assert CANARY not in everything
    assert not [line for line in key if line in everything]
    status = json.loads(found["status.json"])
    assert status["device"] == "boiler-7"
    assert status["link"]["connected"]
    assert "uplink up" in found["log/agent.log"]
    assert 'device = "boiler-7"' in found["configuration.toml"]
    assert json.loads(found["versions.json"])["packages"]["wayside"]
    assert {each["area"] for each in json.loads(found["findings.json"])} >= {"configuration", "broker"}
    assert "[1/" in said
    for name, _ in PROGRAMS:
        assert name in found or f"{name}.missing" in found
    assert stat.S_IMODE((tmp_path / "bundle.tar.gz").stat().st_mode) == 0o600
    assert agent.troubles == []


async def test_a_board_without_an_agent_and_with_a_wrong_file_is_bundled_too(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(f'[uplink]\nhots = "x"\npassword = "{CANARY}"\n')
    found, _ = await bundled(config, tmp_path / "bundle.tar.gz")
    assert "hots" in found["status.json"]
    assert CANARY not in "\n".join(found.values())


async def test_what_another_has_put_beside_the_log_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    config, log, foreign = tmp_path / "edge.toml", folder / "agent.log", tmp_path / "shadow"
    config.write_text(f'[[sensor]]\nname = "pi"\nkind = "host"\n[log]\nfile = "{log}"\n')
    log.write_text("a line\n")
    (folder / "agent.log.1").write_text("an older line\n")
    foreign.write_text("another's")
    (folder / "agent.log.2").symlink_to(foreign)
    os.mkfifo(folder / "agent.log.3")
    (folder / "agent.log.old").write_text("not ours")
    found, _ = await bundled(config, tmp_path / "bundle.tar.gz")
    logs = {name: text for name, text in found.items() if name.startswith("log/")}
    assert logs["log/agent.log"] == "a line\n"
    assert logs["log/agent.log.1"] == "an older line\n"
    assert set(logs) == {"log/agent.log", "log/agent.log.1", "log/agent.log.2.missing", "log/agent.log.3.missing"}
    assert "another's" not in "".join(found.values())


async def test_a_value_without_its_closing_quote_is_hidden_too(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    lines = [f'password = "{CANARY}', f"api_key = first {CANARY}", f'url = "mqtt://me:a@b/{CANARY}@host"']
    config.write_text("\n".join(["[uplink]", *lines]))
    found, _ = await bundled(config, tmp_path / "bundle.tar.gz")
    assert CANARY not in "\n".join(found.values())
