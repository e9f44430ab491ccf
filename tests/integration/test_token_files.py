"""A file with an enrolment token does not outlive its use, or it is said that it does."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wayside_edge.__main__ import main
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.est_server import FakeEst, serving_est


@pytest.fixture
def est(credentials: CredentialsFactory) -> Iterator[FakeEst]:
    with serving_est(FakeEst(credentials)) as serving:
        yield serving


def enroll(folder: Path, est: FakeEst, file: Path, *more: str) -> int:
    words = ["enroll", est.url, "--token-file", str(file), "--config", str(folder / "edge.toml")]
    return main([*words, "--dir", str(folder / "identity"), *more])


def test_it_is_wiped_once_the_device_is_enrolled(
    tmp_path: Path, est: FakeEst, capsys: pytest.CaptureFixture[str]
) -> None:
    file, other_name = tmp_path / "token", tmp_path / "the same bytes"
    file.write_text(est.token("boiler-7"))
    os.link(file, other_name)
    assert enroll(tmp_path, est, file) == 0
    assert not file.exists()
    assert not other_name.read_bytes().strip(b"\0"), "it is overwritten before it is removed"
    assert f"{file} is wiped" in capsys.readouterr().out


def test_it_stays_while_the_device_is_not_enrolled(tmp_path: Path, est: FakeEst) -> None:
    file = tmp_path / "token"
    file.write_text("mistyped")
    assert enroll(tmp_path, est, file) != 0
    assert file.read_text() == "mistyped"


def test_it_stays_when_it_is_for_other_devices_too_and_that_is_said(
    tmp_path: Path, est: FakeEst, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(est.token("boiler-7"))
    kept = file.read_text()
    assert enroll(tmp_path, est, file, "--keep-token-file") == 0
    assert file.read_text() == kept
    assert f"the token still lies in {file} (--keep-token-file); as long as it has uses" in capsys.readouterr().err


def test_a_link_is_not_followed_and_that_is_said(
    tmp_path: Path, est: FakeEst, capsys: pytest.CaptureFixture[str]
) -> None:
    file, link = tmp_path / "token", tmp_path / "link"
    file.write_text(est.token("boiler-7"))
    kept = file.read_text()
    link.symlink_to(file)
    assert enroll(tmp_path, est, link) == 0
    assert link.read_text() == kept
    assert f"the token still lies in {link} (a link)" in capsys.readouterr().err


def test_a_pipe_has_nothing_to_wipe(tmp_path: Path, est: FakeEst, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.write(writing, est.token("boiler-7").encode())
    os.close(writing)
    assert enroll(tmp_path, est, Path(f"/dev/fd/{reading}")) == 0
    os.close(reading)
    said = capsys.readouterr()
    assert "wiped" not in said.out
    assert "still lies" not in said.err
