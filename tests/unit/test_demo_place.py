"""Where a demo lives, and what it removes of those that were killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wayside_firmware.demo.place import LOCK, PREFIX, place_of, remove_stale


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where demos put their folders: short, as a socket's path must be."""
    path = Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield path
    shutil.rmtree(path)


def left(folder: Path, name: str = f"{PREFIX}killed_1", mode: int = 0o700) -> Path:
    """What a killed demo leaves."""
    path = folder / name
    path.mkdir(mode=mode)
    path.chmod(mode)
    (path / "server").mkdir()
    (path / "server" / "data").touch()
    os.close(os.open(path / LOCK, os.O_CREAT | os.O_WRONLY, 0o600))
    return path


def test_what_a_killed_demo_left_is_removed(folder: Path) -> None:
    path = left(folder)
    assert remove_stale() == [path]
    assert list(folder.iterdir()) == []


def test_a_living_demo_keeps_its_folder_and_takes_it_along(folder: Path) -> None:
    with place_of(None) as place:
        assert place.path.parent == folder
        assert [entry.name for entry in place.path.iterdir()] == [LOCK]
        assert remove_stale() == []
        assert place.path.is_dir()
    assert list(folder.iterdir()) == []


def test_a_folder_is_stale_only_once_its_last_process_is_gone(folder: Path) -> None:
    path = left(folder)
    child = os.open(path / LOCK, os.O_RDWR)
    fcntl.flock(child, fcntl.LOCK_EX)
    parent = os.dup(child)
    os.close(parent)
    assert remove_stale() == []
    os.close(child)
    assert remove_stale() == [path]


@pytest.mark.parametrize("name", ["wayside-", "wayside-killed", "other-12345678", "wayside-killed_12"])
def test_folders_of_other_names_are_left(folder: Path, name: str) -> None:
    path = left(folder, name)
    assert remove_stale() == []
    assert path.is_dir()


def test_what_is_not_provably_a_demo_is_left(folder: Path) -> None:
    left(folder, f"{PREFIX}not_ours", mode=0o755)
    unlocked = left(folder, f"{PREFIX}unlocked")
    (unlocked / LOCK).unlink()
    linked = left(folder, f"{PREFIX}linked_1")
    (linked / LOCK).unlink()
    (linked / LOCK).symlink_to(unlocked / "server" / "data")
    target = left(folder, "elsewhere")
    (folder / f"{PREFIX}link_123").symlink_to(target)
    (folder / f"{PREFIX}file_123").touch()
    before = sorted(folder.rglob("*"))
    assert remove_stale() == []
    assert sorted(folder.rglob("*")) == before


def test_a_chosen_folder_stays_and_is_never_taken_for_a_stale_one(folder: Path) -> None:
    chosen = folder / f"{PREFIX}chosen_1"
    with place_of(chosen) as place:
        assert (place.path, place.lock) == (chosen, ())
    assert remove_stale() == []
    assert list(chosen.iterdir()) == []
