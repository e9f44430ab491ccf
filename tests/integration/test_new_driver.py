"""`wayside-edge new-driver`: what it writes is installed, tested and used as it stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wayside_edge.__main__ import main
from wayside_edge.uplink.placement import place_uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.errors import EXIT_CONFIG
from wayside_testkit.credentials import CredentialsFactory

TOOLS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as written, for the kind `acme17`."""
    folder = tmp_path_factory.mktemp("new") / "acme"
    assert main(["new-driver", "acme17", "--dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def installed(written: Path) -> dict[str, str]:
    """An environment in which it is installed."""
    site = written.parent / "site"
    command = [TOOLS / "uv", "pip", "install", "-q", "--offline", "--no-deps", "--no-build-isolation", "--target", site]
    subprocess.run([*command, written], check=True)
    return {**os.environ, "PYTHONPATH": str(site)}


def ran(words: list[str | Path], installed: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *words], env=installed, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_tests_pass(written: Path, installed: dict[str, str]) -> None:
    out = ran(["-m", "pytest", "-q", "-p", "no:cacheprovider"], installed, written)
    assert " passed" in out
    assert "skipped" not in out


def test_the_agent_takes_it_in_a_configuration(
    written: Path, installed: dict[str, str], credentials: CredentialsFactory
) -> None:
    who = credentials.device("bench-1")
    files = UplinkSettings(
        host="localhost", device=who.name, ca_file=who.ca_file, cert_file=who.cert_file, key_file=who.key_file
    )
    example = written / "edge.toml"
    file = credentials.directory / "edge.toml"
    file.write_text(place_uplink(example.read_text(), files, str(example)))
    for each, said in ((example, "this device is not enrolled"), (file, "bench-1 has what it needs")):
        out = ran(["-m", "wayside_edge", "check-config", "--config", each], installed, written)
        assert "is right: 1 sensor, 1 bus" in out
        assert said in out


def test_its_settings_are_in_the_sample(written: Path, installed: dict[str, str]) -> None:
    out = ran(["-m", "wayside_edge", "sample-config", "acme17"], installed, written)
    assert "I2C address: 0x4f with ADDR low, 0x4e with ADDR high." in out


def test_it_is_formatted_and_clean(written: Path) -> None:
    for words in (["check", "--select", "E,F,W,I,N,B,C4,PT,RET,SIM,RUF,UP"], ["format", "--check"]):
        subprocess.run(
            [TOOLS / "ruff", *words, "--isolated", "--no-cache", "--line-length", "120", "."], cwd=written, check=True
        )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bme280", "there is a driver of the kind 'bme280'; choose another name"),
        ("BME-280", "'BME-280' cannot be a kind of sensor: a kind is 2 to 31 small letters and digits"),
        ("import", "'import' cannot be a kind of sensor"),
    ],
)
def test_names_that_cannot_be(name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-driver", name, "--dir", str(tmp_path / "new")]) == EXIT_CONFIG
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (written / "README.md").read_text()
    assert main(["new-driver", "other1", "--dir", str(written)]) == EXIT_CONFIG
    assert f"{written} is there already; choose another with --dir" in capsys.readouterr().err
    assert (written / "README.md").read_text() == before


def test_a_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-driver", "other1", "--dir", "/proc/other1"]) == EXIT_CONFIG
    assert "cannot write /proc/other1" in capsys.readouterr().err
