"""A whole installation for measuring: PostgreSQL, broker and roles as they run in production, each in its process."""

import asyncio
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg

from wayside_server.identity.home import Home
from wayside_server.identity.installation import load_authority
from wayside_server.storage.embedded import EmbeddedPostgres
from wayside_server.storage.schema import migrate
from wayside_testkit.broker import free_port, mosquitto_binary
from wayside_testkit.credentials import CredentialsFactory

DISK = Path("/var/tmp")
"""On a disk: a PostgreSQL in memory would make fsync, and so every figure, too good."""
START_S = 60
STOP_S = 30


class Role:
    """A running role of wayside-server.

    Args:
        process: with pipes for standard input and standard error.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.pid = process.pid
        self._process = process
        self._said: list[str] = []
        self._spoke = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_for(self, text: str) -> None:
        """Returns when it has logged `text`."""
        with self._spoke:
            if not self._spoke.wait_for(lambda: any(text in line for line in self._said), START_S):
                raise RuntimeError(f"the role did not say {text!r}: {''.join(self._said)}")

    def stop(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(STOP_S)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._spoke:
                self._said.append(line)
                self._spoke.notify_all()


class Installation:
    """Files, database and ports of one installation; see `installed`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "home")
        self.broker_port, self.api_port = free_port(), free_port()
        self.command(
            *("init", "--host", "127.0.0.1", "--listen", "127.0.0.1"),
            *("--broker-port", str(self.broker_port), "--api-port", str(self.api_port)),
        )
        self.postgres = EmbeddedPostgres(self.home.postgres)
        certificates = folder / "devices"
        certificates.mkdir()
        self.credentials = CredentialsFactory(certificates, load_authority(self.home))

    @property
    def conninfo(self) -> str:
        """The database."""
        return self.postgres.conninfo

    def command(self, *arguments: str) -> str:
        """What `wayside-server` with `arguments` prints."""
        return subprocess.run(
            [sys.executable, "-m", "wayside_server", *arguments, "--home", str(self.home.path)],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout.strip()  # fmt: skip

    def database(self) -> psycopg.Connection:
        """A connection of the superuser that commits each statement."""
        return psycopg.connect(self.postgres.superuser_conninfo, autocommit=True)

    @contextmanager
    def role(self, *arguments: str, ready: str) -> Iterator[Role]:
        """A role that has logged `ready`, while the block runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "wayside_server", *arguments, "--home", str(self.home.path), "--supervised"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        role = Role(process)
        try:
            role.wait_for(ready)
            yield role
        finally:
            role.stop()

    def ingest(self) -> AbstractContextManager[Role]:
        """A connected ingest session."""
        return self.role("ingest", ready="ingest session began")

    @contextmanager
    def broker(self) -> Iterator[int]:
        """Mosquitto with the installation's own configuration; its process id."""
        with (self.folder / "broker.log").open("ab") as log:
            process = subprocess.Popen([mosquitto_binary(), "-c", str(self.home.broker_config)], stderr=log)
        try:
            _await_port(self.broker_port)
            yield process.pid
        finally:
            process.terminate()
            process.wait(STOP_S)


@contextmanager
def installed(*, commit_times: bool = False) -> Iterator[Installation]:
    """A fresh installation with its database running and migrated, while the block runs.

    Args:
        commit_times: let PostgreSQL keep the time of every commit.
    """
    with tempfile.TemporaryDirectory(prefix="wayside-", dir=DISK) as folder:
        made = Installation(Path(folder))
        try:
            made.postgres.start()
            if commit_times:
                with made.database() as connection:
                    connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
                made.postgres.stop()
                made.postgres.start()
            asyncio.run(migrate(made.conninfo))
            yield made
        finally:
            made.postgres.stop()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}")
