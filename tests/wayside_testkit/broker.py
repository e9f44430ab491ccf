"""A real mosquitto with the configuration that we ship, on a port of its own."""

import asyncio
import getpass
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from wayside_firmware.demo.place import free_ports
from wayside_server.identity.broker import BrokerPlan, render, render_acl
from wayside_testkit.credentials import Credentials, CredentialsFactory

START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 10.0
REFUSED_S = 5.0


def mosquitto_binary() -> str:
    """Where mosquitto is; Debian puts it in /usr/sbin, which is not on every PATH."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found is not None, "mosquitto is missing; type: make setup"
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    return free_ports(1)[0]


class Broker:
    """One broker; `start` and the like return when the change is complete.

    Args:
        directory: an existing directory for its files.
        credentials: whose clients it accepts.
        port: 0 takes a free one at the first start and keeps it.
        server: its own certificate; a good one by default.
    """

    host = "127.0.0.1"

    def __init__(
        self, directory: Path, credentials: CredentialsFactory, port: int = 0, server: Credentials | None = None
    ) -> None:
        self.credentials = credentials
        self.port = port
        self.log_file = directory / "mosquitto.log"
        self.config_file = directory / "mosquitto.conf"
        self.pid_file = directory / "mosquitto.pid"
        self._acl_file = directory / "acl"
        self._server = server or credentials.server()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it accepts connections."""
        assert self._process is None
        chosen = self.port
        for attempt in range(3):
            self.port = chosen or free_port()
            if self._start_once():
                return
            # Another process may have taken the port between the probe and the start.
            assert chosen == 0, f"the broker did not start: {self.log()}"
            assert attempt < 2, f"the broker did not start: {self.log()}"

    def stop(self) -> None:
        """SIGTERM, as a service manager would; nothing happens when it is not running."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_DEADLINE_S)
            self._process = None

    def kill(self) -> None:
        """SIGKILL: sessions, queues and retained messages are gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_DEADLINE_S)
        self._process = None

    def await_end(self) -> None:
        """Returns when somebody else has ended it."""
        assert self._process is not None
        self._process.wait(STOP_DEADLINE_S)
        self._process = None

    def restart(self) -> None:
        """Kills it and starts it on the same port."""
        self.kill()
        self.start()

    def reload(self) -> None:
        """Makes it read its revocation list, its rules and its own certificate again."""
        os.kill(self.pid, signal.SIGHUP)

    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _configure(self) -> None:
        """Writes its files, for `self.port`."""
        server = self._server
        plan = BrokerPlan(
            host=self.host,
            port=self.port,
            ca_file=server.ca_file,
            cert_file=server.cert_file,
            key_file=server.key_file,
            crl_file=self.credentials.crl_file,
            pid_file=self.pid_file,
            acl_file=self._acl_file,
            user=getpass.getuser(),
        )
        self.config_file.write_text(render(plan))
        self._acl_file.write_text(render_acl())

    def _start_once(self) -> bool:
        self._configure()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [mosquitto_binary(), "-c", str(self.config_file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._process = None
                return False
            try:
                socket.create_connection((self.host, self.port), 1.0).close()
            except ConnectionRefusedError:
                # Not a wait for a state of ours: the kernel gives no event for another process's listen().
                time.sleep(0.01)
            else:
                return True
        self.kill()
        return False


async def handshake_and_connect(broker: Broker, context: ssl.SSLContext) -> bytes:
    """What the broker answers to a CONNECT over TLS; empty when it refuses the client.

    TLS 1.3 reports a refused certificate on the first read after the client's own handshake has ended.
    """
    reader, writer = await asyncio.open_connection(broker.host, broker.port, ssl=context, server_hostname="localhost")
    try:
        writer.write(bytes.fromhex("100d00044d51545405020014000000"))
        await writer.drain()
        async with asyncio.timeout(REFUSED_S):
            return await reader.read(64)
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        writer.close()
        with suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()


@contextmanager
def running_broker(
    directory: Path, credentials: CredentialsFactory, port: int = 0, server: Credentials | None = None
) -> Iterator[Broker]:
    """A broker that runs within the block; see `Broker`."""
    broker = Broker(directory, credentials, port, server)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def broker(tmp_path: Path, credentials: CredentialsFactory) -> Iterator[Broker]:
    """A running broker of the test's own."""
    directory = tmp_path / "broker"
    directory.mkdir()
    with running_broker(directory, credentials) as started:
        yield started
