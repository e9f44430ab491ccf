"""A device that goes out of service keeps nothing that another could use (row 33)."""

import argparse
from pathlib import Path

import pytest

from wayside_edge.__main__ import main
from wayside_edge.commands import reset
from wayside_edge.enrol import enrol
from wayside_edge.errors import ConfigError
from wayside_edge.identity.wiping import wipe_file
from wayside_testkit.agent import TRUSTED, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.est_server import FakeEst, serving_est


def device(folder: Path, est: FakeEst, port: int) -> Path:
    """An enrolled device's configuration, with a log file."""
    identity = folder / "identity"
    enrol(est.url, est.token("boiler-7"), folder / "first.toml", identity)
    who = Credentials("boiler-7", identity / "ca.pem", identity / "device.pem", identity / "device.key")
    more = f'{TRUSTED}{outbox_table(folder / "state" / "outbox.db")}[log]\nfile = "{folder / "logs" / "agent.log"}"\n'
    return agent_config(folder, port, who, more=more)


def key_of(folder: Path) -> bytes:
    """A line of the private key."""
    return next(
        line for line in (folder / "identity" / "device.key").read_bytes().splitlines() if not line.startswith(b"-")
    )


def left_of(folder: Path) -> set[str]:
    """Files of the device that are still there."""
    others = {folder / "broker", folder / "credentials"}
    return {path.name for path in folder.rglob("*") if path.is_file() and not others & {*path.parents}}


async def test_reset_waits_for_the_agent_to_end_and_wipes_all_it_left_row_33(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_est(FakeEst(credentials)) as est:
        file = device(tmp_path, est, broker.port)
    key = key_of(tmp_path)
    async with agent_process(file) as agent:
        await agent.says("uplink up")
        assert main(["reset", "--yes", "--config", str(file)]) == 1
        said = capsys.readouterr().err
        assert "sudo systemctl stop wayside-edge, or where systemd did not start it, kill the process" in said
        assert (tmp_path / "identity" / "device.key").exists()
    (tmp_path / "state" / "stages").mkdir(exist_ok=True)
    (tmp_path / "state" / "stages" / "one.state").write_bytes(b"learnt")
    assert main(["reset", "--yes", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "wayside-server device revoke boiler-7" in said
    assert "may still be in the memory cells" in said
    assert left_of(tmp_path) == {"edge.toml", "first.toml"}
    assert key not in file.read_bytes()
    assert main(["reset", "--yes", "--config", str(file)]) == 0  # twice is as well as once
    assert main(["reset", "--yes", "--all", "--config", str(file)]) == 0
    assert not file.exists()


def test_without_a_person_nothing_is_wiped(tmp_path: Path, credentials: CredentialsFactory) -> None:
    with serving_est(FakeEst(credentials)) as est:
        file = device(tmp_path, est, 1)
    with pytest.raises(ConfigError, match="add --yes"):
        reset.run(argparse.Namespace(config=file, yes=False, all=False))
    assert (tmp_path / "identity" / "device.key").exists()


def test_what_is_wiped_is_overwritten_first(tmp_path: Path) -> None:
    file, other = tmp_path / "key", tmp_path / "same bytes"
    file.write_bytes(b"secret" * 50_000)
    other.hardlink_to(file)
    wipe_file(file)
    assert other.read_bytes() == bytes(300_000)
    assert not file.exists()
