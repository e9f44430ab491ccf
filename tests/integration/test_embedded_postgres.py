import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from wayside_server.errors import ConfigError
from wayside_server.storage.embedded import SETTINGS, EmbeddedPostgres
from wayside_server.storage.postgres_program import PACKAGE, find_program, installed_package
from wayside_testkit.postgres import kill_postgres


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="wayside-pg-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(folder / "postgres")
    yield made
    made.stop()


def _rows(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return int(row[0])


def test_what_is_committed_survives_stop_kill_and_a_second_start(server: EmbeddedPostgres, folder: Path) -> None:
    mode_above = folder.stat().st_mode
    conninfo = server.start()
    assert server.start() == conninfo == server.conninfo
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE kept (x int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    server.stop()
    server.stop()
    assert server.pid is None
    server.start()
    with psycopg.connect(conninfo) as connection:
        connection.execute("INSERT INTO kept VALUES (2)")
    kill_postgres(server)
    server.start()
    assert _rows(conninfo) == 2
    assert folder.stat().st_mode == mode_above
    assert (folder / "postgres" / "data").stat().st_mode & 0o777 == 0o700


def test_a_server_left_running_by_a_killed_parent_is_replaced(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    left = server.pid
    assert left is not None
    # What a killed parent leaves: the postmaster runs, the lock is free, nobody knows the process.
    orphaned, server._process = server._process, None
    server.stop()
    successor = EmbeddedPostgres(folder / "postgres")
    try:
        with psycopg.connect(successor.start()) as connection:
            assert connection.info.server_version >= 180000
        assert successor.pid != left
    finally:
        successor.stop()
        assert orphaned is not None
        orphaned.wait(10)


def test_the_folder_belongs_to_one_process_and_others_can_attach(server: EmbeddedPostgres, folder: Path) -> None:
    other = EmbeddedPostgres(folder / "postgres")
    assert other.attach() is None
    server.start()
    with pytest.raises(ConfigError, match="in use by another wayside-server; stop it"):
        other.start()
    assert other.attach() == server.conninfo


def test_it_listens_on_no_port_and_has_the_settings_it_was_given(server: EmbeddedPostgres) -> None:
    server.start()
    with psycopg.connect(server.superuser_conninfo) as connection:
        for name, value in SETTINGS.items():
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row == (value,), name


def test_a_folder_that_postgres_refuses_is_named_with_the_fix(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    server.stop()
    (folder / "postgres" / "data" / "PG_VERSION").write_text("9.1\n")
    with pytest.raises(ConfigError, match=r"incompatible.*restore a dump into a new data directory"):
        server.start()
    assert server.pid is None


def test_a_path_too_long_for_a_socket_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="choose a shorter data directory"):
        EmbeddedPostgres(folder / ("x" * 100)).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL under another account")
def test_programs_that_the_account_cannot_reach_are_copied_and_no_folder_is_opened(folder: Path) -> None:
    closed, shelf = folder / "closed", folder / "shelf"
    closed.mkdir(mode=0o700)
    folder.chmod(0o711)
    package = installed_package()
    shutil.copytree(package, closed / PACKAGE, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "include"))
    libraries = package.with_name(f"{PACKAGE}.libs")
    shutil.copytree(libraries, closed / libraries.name)
    program = find_program(closed / PACKAGE, shelf)
    assert program.folder.is_relative_to(shelf)
    assert find_program(closed / PACKAGE, shelf) == program
    child = program.popen(["postgres", "--version"], folder, stdout=subprocess.PIPE)
    output, _ = child.communicate(timeout=30)
    assert output.startswith(b"postgres (PostgreSQL) 18")
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to others")
def test_a_folder_of_another_account_is_refused_with_the_fix(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    server.stop()
    data = folder / "postgres" / "data"
    account = data.owner()
    os.chown(data, 54_321, -1)
    with pytest.raises(ConfigError) as caught:
        server.start()
    assert str(caught.value) == (
        f"{data} belongs to 54321, and PostgreSQL would run as {account}; run wayside-server as 54321, "
        f"or type: sudo chown -R {account}: {data}"
    )
    os.chown(data, pwd.getpwnam(account).pw_uid, -1)
    folder.chmod(0o755)
    os.seteuid(54_321)
    try:
        with pytest.raises(ConfigError, match=r"it belongs to root; run wayside-server as root, or choose another"):
            EmbeddedPostgres(folder / "postgres").start()
    finally:
        os.seteuid(0)
    server.start()
