"""Arguments of `wayside-server init` that cannot be: each is named with its fix, and nothing is written."""

import subprocess
import sys
from pathlib import Path

import pytest


def init(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wayside_server", "init", "--home", str(home), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "bad host!"), "--host: 'bad host!' is neither a DNS name nor an IP address"),
        (("--host", "*.example"), "--host: '*.example' is neither"),
        (("--host", "300.1.1.1"), "such as telemetry.example or 192.0.2.7"),
        (("--host", "höhe.example"), "--host: 'höhe.example' is neither"),
        (("--listen", "300.1.1.1"), "--listen: '300.1.1.1' is no IP address; give one that this machine has"),
        (("--api-port", "99999"), "--api-port: '99999' is no port; give a number from 1 to 65535"),
        (("--broker-port", "0"), "--broker-port: '0' is no port"),
        (("--api-port", "8883"), "--api-port 8883 is the broker's port too; choose another one"),
        (("--broker-port", "8443"), "--broker-port 8443 is the API's port too; choose another one"),
        (("--broker-port", "4000", "--api-port", "4000"), "--api-port 4000 is the broker's port too"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    ended = init(tmp_path / "home", *words)
    assert ended.returncode != 0
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "home").exists()


def test_an_installation_that_says_otherwise_stays_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    hosts = ("--host", "xn--hhe-sna.example", "--host", "2001:db8::7", "--host", "my_host")
    assert init(home, *hosts, "--listen", "::1", "--api-port", "9443").returncode == 0
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    ended = init(home, "--host", "other.example", "--api-port", "9444")
    assert (ended.returncode, ended.stderr) == (
        78,
        f"wayside-server: --api-port 9444: {home}/server.toml has 9443; change it there, then run init again\n",
    )
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
