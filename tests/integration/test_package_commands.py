"""wayside-server packages, as processes and files."""

import os
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wayside_server import config
from wayside_server.identity.home import Home
from wayside_server.identity.install_line import server_pin
from wayside_server.identity.installation import install
from wayside_server.packages.own_wheel import make_wheel
from wayside_server.packages.shelf import Shelf, sha256_of
from wayside_testkit.packages import fill


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation, without packages."""
    folder = tmp_path / "home"
    install(Home(folder), ["server.example"], datetime.now(UTC))
    config.ensure(Home(folder), public_host="server.example", listen=None, broker_port=None, api_port=None)
    return folder


def packages(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wayside_server", "packages", *words, "--home", str(home)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


def test_what_there_is_and_whether_it_is_whole(home: Path) -> None:
    ended = packages(home, "list")
    assert (ended.returncode, ended.stderr.count("\n")) == (78, 1)
    assert "run wayside-server packages fetch" in ended.stderr
    shelf = fill(home)
    assert "wayside-0.1.0-py3-none-any.whl  (built here)" in packages(home, "list").stdout
    assert packages(home, "verify").stdout == "2 files are as they were fetched\n"
    (shelf.files / "pip-1.0-py3-none-any.whl").write_bytes(b"other")
    ended = packages(home, "verify")
    assert ended.returncode == 78
    assert "pip-1.0-py3-none-any.whl: its SHA-256 is" in ended.stdout
    assert "1 of 2 files are damaged or missing" in ended.stderr


def test_a_bundle_holds_all_and_its_hashes(home: Path, tmp_path: Path) -> None:
    shelf = fill(home)
    target = tmp_path / "bundle.tar.gz"
    ended = packages(home, "export", str(target))
    assert ended.stdout == f"{sha256_of(target)}  {target}\n"
    with tarfile.open(target) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "wayside-0.1.0-bundle"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    wheels = {f"files/{file.name}" for file in shelf.filled().files}
    texts = {"install.sh", "README", "SHA256SUMS", "release", "edge.txt", "lgpio.txt", "spidev.txt"}
    assert names == wheels | texts
    checked = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(checked, cwd=folder, check=True, capture_output=True)
    assert "ENROL_AT=https://server.example:8443\n" in (folder / "install.sh").read_text()
    assert "BEGIN CERTIFICATE" in (folder / "install.sh").read_text()
    assert "PRIVATE KEY" not in (folder / "install.sh").read_text()
    ended = packages(home, "export", str(tmp_path / "nowhere" / "bundle.tar.gz"))
    assert (ended.returncode, ended.stderr.count("\n")) == (78, 1)


def test_the_same_content_makes_the_same_bundle(home: Path, tmp_path: Path) -> None:
    fill(home)
    first, second = tmp_path / "bundle.tar.gz", tmp_path / "other.tgz"
    assert packages(home, "export", str(first)).stderr == ""
    content = first.read_bytes()
    # gzip has a place for the second in which it was written.
    assert content[4:8] == bytes(4)
    for path in (Home(home).path / "packages").rglob("*"):
        os.utime(path, (1, 1))
    assert packages(home, "export", str(second)).returncode == 0
    assert second.read_bytes() == content
    again = packages(home, "export", str(first))
    assert again.stderr == "it takes the place of the bundle.tar.gz that was there\n"
    assert first.read_bytes() == content
    for name in ("x.zip", "x", "x.tar.xz"):
        ended = packages(home, "export", str(tmp_path / name))
        assert (ended.returncode, ended.stderr) == (
            78,
            f"wayside-server: {tmp_path / name} is to be a .tar.gz; name it x.tar.gz\n",
        )
        assert not (tmp_path / name).exists()


def test_an_index_out_of_reach_is_no_lack_of_packages(home: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "https://127.0.0.1:1/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull}
    ended = packages(home, "fetch", **nowhere, PIP_FIND_LINKS="", PIP_EXTRA_INDEX_URL="")
    assert ended.returncode == 75, ended.stderr
    assert "check the network" in ended.stderr
    assert Shelf(Home(home)).manifest() is None


def test_an_index_that_is_none_is_said_to_be(home: Path, tmp_path: Path) -> None:
    empty = {"PIP_INDEX_URL": tmp_path.as_uri(), "PIP_CONFIG_FILE": os.devnull}
    ended = packages(home, "fetch", **empty, PIP_FIND_LINKS="", PIP_EXTRA_INDEX_URL="")
    assert ended.returncode == 78, ended.stderr
    assert "pip config list" in ended.stderr


def test_the_pin_is_that_of_the_key_and_outlives_the_certificate(home: Path) -> None:
    certificate = Home(home).certificate("api")
    key = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-pubkey"], check=True, capture_output=True
    ).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, check=True, capture_output=True)
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-binary"], input=der.stdout, check=True, capture_output=True
    )
    text = subprocess.run(["base64"], input=digest.stdout, check=True, capture_output=True).stdout.decode().strip()
    assert server_pin(Home(home)) == f"sha256//{text}"
    certificate.unlink()
    install(Home(home), ["server.example"], datetime.now(UTC))
    assert server_pin(Home(home)) == f"sha256//{text}"


def test_a_home_may_be_named_from_the_working_directory(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = Shelf(Home(Path("home"))).files
    files.mkdir(parents=True)
    # It is built in another working directory.
    assert make_wheel(files).parent == home / "packages" / "files"
    begin = [sys.executable, "-m", "wayside_server", "init", "--home", "srv", "--host", "server.example"]
    ended = subprocess.run(begin, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert f"wayside-server run --home {tmp_path}/srv\n" in ended.stdout
