"""A real PostgreSQL of our own, in a folder, reached through a Unix socket inside that folder and nothing else."""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from wayside_server.errors import ConfigError, StorageError
from wayside_server.storage.embedded_roles import DATABASE, OWNER, READER, SUPERUSER, prepare
from wayside_server.storage.postgres_program import Program, find_program

MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path, from unix(7)."""
MAX_LOG_BYTES = 16 * 1024 * 1024
STOP_TIMEOUT_S = 60.0
"""A fast shutdown writes one checkpoint; 128 MB of buffers take seconds even on an SD card."""
END_TIMEOUT_S = 10.0
POLL_S = 0.02

# fsync, full_page_writes and synchronous_commit stay at PostgreSQL's defaults, on; the pool asserts them.
SETTINGS = {
    "listen_addresses": "",
    # The process works inside its data folder; a relative path keeps folders above out of play.
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    # Steady ingest at 100,000 rows/s writes about 15 MB of WAL a second; the default of 1 GB would force a checkpoint,
    # and a full page image of every page touched again, each minute.
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    # The wheel is built without lz4. Full page images are most of what follows a checkpoint, and flash wears.
    "wal_compression": "pglz",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "max_connections": "60",
    # The default of 64 runs out when one query locks every week of two years.
    "max_locks_per_transaction": "256",
}


class EmbeddedPostgres:
    """A PostgreSQL in `directory`, started and stopped by this process.

    Args:
        directory: made when missing; holds the data, the log and the lock. Folders above it stay as they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._log = self._directory / "postgres.log"
        self._log_start = 0
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def conninfo(self) -> str:
        """How its owner connects, whether it runs or not."""
        return self._conninfo(DATABASE, OWNER)

    @property
    def reader_conninfo(self) -> str:
        """How those connect who only answer for tenants."""
        return self._conninfo(DATABASE, READER)

    @property
    def superuser_conninfo(self) -> str:
        """How its superuser connects, whom nothing but starting it takes."""
        return self._conninfo(DATABASE)

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> str:
        """Starts it, making it first when the folder is empty; waits for as long as its recovery takes.

        What an unclean end of the previous run left behind is ended first. Starting twice changes nothing.

        Returns:
            `conninfo`.

        Raises:
            ConfigError: the folder is in use, the path is too long, or PostgreSQL refuses to start; a person must act.
        """
        if self.pid is not None:
            return self.conninfo
        if len(os.fsencode(self._data / ".s.PGSQL.5432")) > MAX_SOCKET_PATH:
            raise ConfigError(
                f"{self._directory} is too long a path for a Unix socket; choose a shorter data directory"
            )
        program = find_program()
        self._acquire()
        try:
            self._check_owner(program)
            self._end_leftovers()
            self._initialise(program)
            self._launch(program)
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self.conninfo

    def attach(self) -> str | None:
        """`conninfo` when another process runs this database now, else None. For commands beside a running server."""
        try:
            with psycopg.connect(self.conninfo, connect_timeout=5):
                return self.conninfo
        except psycopg.OperationalError:
            return None

    def stop(self) -> None:
        """Stops it after a checkpoint; stopping what does not run changes nothing."""
        process, self._process = self._process, None
        if process is not None:
            for number, patience_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, END_TIMEOUT_S)):
                if process.poll() is None:
                    process.send_signal(number)
                    _wait_child(process, patience_s)
            if process.poll() is None:
                process.kill()
                process.wait()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _conninfo(self, database: str, user: str = SUPERUSER) -> str:
        return psycopg.conninfo.make_conninfo(host=str(self._data), user=user, dbname=database)

    def _acquire(self) -> None:
        if self._lock is not None:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            # os.path, for a Path raises when the folder above cannot be entered.
            if os.path.exists(self._directory) and self._directory.stat().st_uid != os.geteuid():  # noqa: PTH110
                owner = _account(self._directory.stat().st_uid)
                reason = f"it belongs to {owner}; run wayside-server as {owner}, or choose another data directory"
            else:
                reason = "choose a data directory that can be written"
            raise ConfigError(f"{self._directory}: {error.strerror}; {reason}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise ConfigError(
                f"{self._directory} is in use by another wayside-server; stop it, or choose another data directory"
            ) from error

    def _check_owner(self, program: Program) -> None:
        """PostgreSQL runs on a folder of its own account only."""
        if not self._data.exists():
            return
        found = self._data.stat().st_uid
        wanted = os.geteuid() if program.uid is None else program.uid
        if found != wanted:
            owner, account = _account(found), _account(wanted)
            raise ConfigError(
                f"{self._data} belongs to {owner}, and PostgreSQL would run as {account}; run wayside-server as "
                f"{owner}, or type: sudo chown -R {account}: {self._data}"
            )

    def _end_leftovers(self) -> None:
        """Ends processes of a previous run: without their parent they would hold the data folder for ever."""
        folder = self._data.resolve()
        for number, patience_s in (
            (signal.SIGINT, STOP_TIMEOUT_S),
            (signal.SIGQUIT, END_TIMEOUT_S),
            (signal.SIGKILL, END_TIMEOUT_S),
        ):
            pids = _processes_in(folder)
            for pid in pids:
                _signal(pid, number)
            deadline = time.monotonic() + patience_s
            while pids and time.monotonic() < deadline:
                time.sleep(POLL_S)
                pids = _processes_in(folder)
        # No process of ours is left, so its pid, perhaps another program's by now, must not stop the start.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self, program: Program) -> None:
        if self._data.exists():
            return
        # Made beside its place and renamed when whole: a folder called `data` is never removed.
        unfinished = self._directory / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if program.uid is not None and program.gid is not None:
            os.chown(unfinished, program.uid, program.gid)
        # The socket lies in a folder that only its owner and root can enter: whoever reaches it is trusted.
        command = ["initdb", "-D", "/proc/self/cwd", "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
        # The builtin collation does not change with the system's C library, so indexes stay valid over its upgrades.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        child = program.popen(command, unfinished, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = child.communicate()
        if child.returncode != 0:
            raise self._refused(output.decode(errors="replace"))
        unfinished.rename(self._data)
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)

    def _launch(self, program: Program) -> None:
        if self._log.exists() and self._log.stat().st_size > MAX_LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        command = ["postgres", "-D", "/proc/self/cwd"]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            log.seek(0, os.SEEK_END)
            self._log_start = log.tell()
            self._process = program.popen(command, self._data, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _await_ready(self) -> None:
        """Waits without a deadline while the postmaster lives: crash recovery takes what it takes."""
        while self._process is not None and self._process.poll() is None:
            try:
                prepare(self._conninfo)
                return
            except psycopg.OperationalError:
                time.sleep(POLL_S)
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            raise self._refused(log.read().decode(errors="replace"))

    def _refused(self, output: str) -> ConfigError:
        lines = [line for line in output.splitlines() if any(word in line for word in ("FATAL", "PANIC", "error:"))]
        reason = lines[-1] if lines else output.strip()[-200:] or "it says nothing"
        fix = f"see {self._log}, or set a database URL"
        if "No space left" in output:
            fix = f"free space on the disk that holds {self._directory}"
        elif "incompatible" in output:
            fix = "start the version of wayside that made it, or restore a dump into a new data directory"
        return ConfigError(f"PostgreSQL does not start in {self._directory}: {reason}; {fix}")


def _account(uid: int) -> str:
    """The name of an account, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _wait_child(process: "subprocess.Popen[bytes]", patience_s: float) -> None:
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        return


def _processes_in(folder: Path) -> list[int]:
    """The PostgreSQL processes that work inside `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if (entry / "cwd").readlink() == folder and (entry / "comm").read_text().startswith("postgres"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise StorageError(f"process {pid} of a previous run belongs to another user and still runs; end it") from error
