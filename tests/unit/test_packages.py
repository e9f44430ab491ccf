"""Locked requirements, kinds of board, the wheel of the running version, and the folder that holds all."""

import subprocess
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home
from wayside_server.packages.fetch import OPTIONAL, add
from wayside_server.packages.own_wheel import repack
from wayside_server.packages.pins import locked, parse, render
from wayside_server.packages.shelf import Shelf
from wayside_server.packages.targets import Target, targets
from wayside_testkit.packages import fill, make_wheel

LOCK = """cbor2==6.2.1 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via wayside (pyproject.toml)
Zope.Interface==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:{a}
    # via
    #   wayside
""".format(a="a" * 64, b="b" * 64)


def test_a_lock_file_is_read_and_written_for_pip() -> None:
    pins = parse(LOCK)
    assert [(pin.project, pin.version, pin.marker, len(pin.hashes)) for pin in pins] == [
        ("cbor2", "6.2.1", None, 2),
        ("zope-interface", "1.0", "python_full_version < '3.12'", 1),
    ]
    assert parse(render(pins)) == pins


def test_markers_are_those_of_the_board() -> None:
    marked = parse(LOCK)[1]
    assert marked.holds_in(Target("aarch64", "3.11").environment)
    assert not marked.holds_in(Target("aarch64", "3.13").environment)


def test_the_lock_files_that_are_shipped_name_what_a_board_needs() -> None:
    edge = {pin.project for pin in locked("edge")}
    assert {"cryptography", "paho-mqtt", *OPTIONAL} <= edge
    assert edge < {pin.project for pin in locked("compute")}
    assert [pin.project for pin in locked("installer")] == ["pip"]


@pytest.mark.parametrize(
    ("wheel", "takes"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-cp311-cp311-manylinux_2_36_aarch64.whl", True),
        ("a-1-cp39-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", True),
        ("a-1-cp311-cp311-linux_aarch64.whl", True),
        ("a-1-cp311-cp311-manylinux_2_39_aarch64.whl", False),
        ("a-1-cp312-cp312-manylinux_2_17_aarch64.whl", False),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp311-cp311-musllinux_1_2_aarch64.whl", False),
        ("a-1.tar.gz", False),
    ],
)
def test_a_board_takes_the_wheels_that_run_there(wheel: str, takes: bool) -> None:
    assert Target("aarch64", "3.11").takes(wheel) is takes


def test_wheels_of_old_systems_run_on_new_ones() -> None:
    # wasmtime's and others' for x86-64 are tagged so.
    assert Target("x86_64", "3.13").takes("a-1-py3-none-manylinux1_x86_64.whl")
    assert Target("x86_64", "3.13").takes("a-1-cp313-cp313-manylinux2010_x86_64.whl")


def test_targets_are_every_combination() -> None:
    assert [str(target) for target in targets(["x86_64", "aarch64"], ["3.11", "3.13"])] == [
        "aarch64-3.11",
        "aarch64-3.13",
        "x86_64-3.11",
        "x86_64-3.13",
    ]
    with pytest.raises(ConfigError, match="--platform sparc: must be one of aarch64"):
        targets(["sparc"], [])


def test_an_installed_version_is_a_wheel_again(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "wayside", "0.1.0")
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    (found,) = Distribution.discover(name="wayside", path=[str(site)])
    (tmp_path / "again").mkdir()
    again = repack(found, tmp_path / "again")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert second.testzip() is None
        for name in first.namelist():
            if not name.endswith("/RECORD"):
                assert second.read(name) == first.read(name)
        assert sorted(second.namelist()) == sorted(first.namelist())
    # The same files make the same wheel.
    (tmp_path / "third").mkdir()
    assert repack(found, tmp_path / "third").read_bytes() == again.read_bytes()

    (site / "wayside_edge" / "__init__.py").write_text("changed = True\n")
    with pytest.raises(ConfigError, match=r"__init__.py is not as it was installed; install wayside again"):
        repack(found, tmp_path / "again")


def test_an_empty_shelf_says_what_fills_it(tmp_path: Path) -> None:
    shelf = Shelf(Home(tmp_path))
    assert shelf.manifest() is None
    with pytest.raises(ConfigError, match="run wayside-server packages fetch"):
        shelf.filled()


def test_damage_is_found(tmp_path: Path) -> None:
    shelf = fill(tmp_path)
    assert {fault for _, fault in shelf.faults()} == {None}
    name = next(file.name for file in shelf.filled().files if file.project == "pip")
    (shelf.files / name).write_bytes(b"other")
    assert [file.name for file, fault in shelf.faults() if fault] == [name]
    (shelf.files / name).unlink()
    assert [fault for _, fault in shelf.faults() if fault] == ["No such file or directory"]


def test_a_wheel_that_was_built_elsewhere_is_offered_by_its_hash(tmp_path: Path) -> None:
    shelf = fill(tmp_path)
    version = next(pin.version for pin in locked("edge") if pin.project == "spidev")
    built = make_wheel(tmp_path, "spidev", version, "cp311-cp311-linux_aarch64")
    manifest = add(shelf, built)
    (file,) = (file for file in manifest.files if file.project == "spidev")
    assert file.own
    assert f"sha256:{file.sha256}" in (shelf.path / "spidev.txt").read_text()
    assert shelf.filled() == manifest


@pytest.mark.parametrize(("name", "version"), [("spidev", "0.1"), ("requests", "2.0")])
def test_nothing_else_is_added(tmp_path: Path, name: str, version: str) -> None:
    shelf = fill(tmp_path)
    with pytest.raises(ConfigError, match="only a wheel of"):
        add(shelf, make_wheel(tmp_path, name, version))
    with pytest.raises(ConfigError, match="there is no such file"):
        add(shelf, tmp_path / "spidev.zip")
    (tmp_path / "spidev.zip").write_bytes(b"")
    with pytest.raises(ConfigError, match="not a wheel by its name"):
        add(shelf, tmp_path / "spidev.zip")


def test_two_do_not_fill_one_folder(tmp_path: Path) -> None:
    import fcntl

    shelf = fill(tmp_path)
    version = next(pin.version for pin in locked("edge") if pin.project == "spidev")
    built = make_wheel(tmp_path, "spidev", version)
    with (shelf.path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="is being filled by another command"):
            add(shelf, built)
