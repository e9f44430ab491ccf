"""The cache of compiled modules: it gives back what was put in, here and unchanged, and nothing else."""

import os
from pathlib import Path

import pytest

from wayside_edge.compute import compiled
from wayside_edge.compute.compiled import CacheError, CompiledModules


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "modules"
    folder.mkdir(mode=0o700)
    return folder


def _only(folder: Path) -> Path:
    (path,) = folder.glob("*.cwasm")
    return path


def test_what_was_put_in_comes_out_in_another_process_too(folder: Path) -> None:
    cache = CompiledModules(folder)
    assert cache.get("a") is None
    cache.put("a", b"one")
    cache.put("a", b"two")
    assert CompiledModules(folder).get("a") == b"two"
    assert CompiledModules(folder).get("b") is None
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_a_changed_byte_is_found(folder: Path, place: int) -> None:
    CompiledModules(folder).put("a", b"compiled")
    data = bytearray(_only(folder).read_bytes())
    data[place] ^= 1
    _only(folder).write_bytes(data)
    with pytest.raises(CacheError, match="damaged"):
        CompiledModules(folder).get("a")


def test_a_short_or_huge_file_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CompiledModules(folder)
    cache.put("a", b"compiled")
    _only(folder).write_bytes(b"")
    with pytest.raises(CacheError, match="damaged"):
        cache.get("a")
    monkeypatch.setattr(compiled, "MAX_FILE_BYTES", 40)
    _only(folder).write_bytes(b"x" * 41)
    with pytest.raises(CacheError, match="larger"):
        cache.get("a")


def test_a_file_of_another_machine_or_module_is_found(folder: Path, tmp_path: Path) -> None:
    cache = CompiledModules(folder)
    cache.put("a", b"compiled")
    there = _only(folder).read_bytes()
    cache.put("b", b"other")
    for path in folder.glob("*.cwasm"):
        path.write_bytes(there)
    with pytest.raises(CacheError, match="not made here"):
        cache.get("b")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    foreign = CompiledModules(other)
    foreign.put("a", b"compiled")
    _only(other).write_bytes(there)
    with pytest.raises(CacheError, match="not made here"):
        foreign.get("a")


def test_a_folder_or_key_that_others_could_change_is_not_used(folder: Path, tmp_path: Path) -> None:
    CompiledModules(folder)
    (folder / "key").chmod(0o640)
    with pytest.raises(CacheError, match="open to others"):
        CompiledModules(folder)
    (folder / "key").chmod(0o600)
    (folder / "key").write_bytes(b"short")
    with pytest.raises(CacheError, match="5 bytes"):
        CompiledModules(folder)
    (folder / "key").unlink()
    folder.chmod(0o755)
    with pytest.raises(CacheError, match="open to others"):
        CompiledModules(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(CacheError, match="no folder"):
        CompiledModules(link)
    with pytest.raises(CacheError, match="No such file"):
        CompiledModules(tmp_path / "absent")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(folder: Path) -> None:
    os.chown(folder, 12345, -1)
    with pytest.raises(CacheError, match="user 12345"):
        CompiledModules(folder)


def test_the_oldest_files_and_torn_ones_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST_FILES", 3)
    cache = CompiledModules(folder)
    torn, writing = folder / ".new-torn", folder / ".new-now"
    torn.touch()
    os.utime(torn, (0, 0))
    writing.touch()
    for place in range(5):
        cache.put(str(place), b"x")
        newest = max(folder.glob("*.cwasm"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 + place, 1000 + place))
    assert [cache.get(str(place)) for place in range(5)] == [None, None, b"x", b"x", b"x"]
    assert not torn.exists()
    assert writing.exists()
