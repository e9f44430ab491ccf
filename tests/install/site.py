"""A server as people run it, with the packages that boards install: real broker, real database, real HTTPS."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from ssl import create_default_context
from typing import Any

from wayside_server.identity.home import Home
from wayside_server.packages.shelf import Shelf
from wayside_testkit.broker import free_port, mosquitto_binary

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0
ARRIVAL_DEADLINE_S = 60.0
COMMAND_DEADLINE_S = 300.0
"""Fetching packages takes as long as the index does."""


class Site:
    """A running server on 127.0.0.1.

    Args:
        home: its folder.
        api_port: where it serves.
    """

    def __init__(self, home: Home, api_port: int) -> None:
        self.home = home
        self.shelf = Shelf(home)
        self.url = f"https://127.0.0.1:{api_port}"
        self._key = ""

    def command(self, *words: str) -> tuple[str, str]:
        """Output and error output of a wayside-server command that succeeds."""
        ended = command(*words, "--home", str(self.home.path))
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip(), ended.stderr.strip()

    def line(self, device: str) -> str:
        """The line to type on a board, as `token create` prints it."""
        _, told = self.command("token", "create", "--name", device)
        return told.splitlines()[-1]

    def get(self, path: str) -> Any:
        """An answer of the API."""
        if not self._key:
            self._key = self.command("api-key", "create", "tests")[0]
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self._key}"})
        context = create_default_context(cafile=str(self.home.ca_file))
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return json.load(answer)

    def stored(self, device: str) -> int:
        """Samples of `device` in the database, once there are any."""
        deadline = time.monotonic() + ARRIVAL_DEADLINE_S
        while time.monotonic() < deadline:
            count = int(self.get(f"/api/v1/devices/{device}/account")["stored"])
            if count:
                return count
        raise AssertionError(f"nothing of {device} arrived")


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """A wayside-server command."""
    return subprocess.run(
        [sys.executable, "-m", "wayside_server", *words],
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE_S,
        check=False,
    )


@contextmanager
def serving(folder: Path, targets: list[str]) -> Iterator[Site]:
    """A server with packages for `targets`, such as `x86_64`, and Python 3.11.

    Args:
        folder: an empty folder; short, because a Unix socket goes below it.
        targets: machines of the boards.
    """
    home, api_port, broker_port = Home(folder / "home"), free_port(), free_port()
    site = Site(home, api_port)
    ports = ["--broker-port", str(broker_port), "--api-port", str(api_port)]
    site.command("init", "--host", "127.0.0.1", "--listen", "127.0.0.1", *ports)
    site.command("packages", "fetch", "--platform", *targets, "--python", "3.11")
    with (folder / "log").open("wb") as log, ExitStack() as processes:
        for words in (
            [mosquitto_binary(), "-c", str(home.broker_config)],
            [sys.executable, "-m", "wayside_server", "run", "--home", str(home.path)],
        ):
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            processes.callback(process.wait, STOP_DEADLINE_S)
            processes.callback(process.terminate)
        _await_health(site, folder / "log")
        yield site


def _await_health(site: Site, log: Path) -> None:
    context = create_default_context(cafile=str(site.home.ca_file))
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{site.url}/healthz", timeout=5, context=context) as answer:
                if answer.status == 200:
                    return
        except OSError:
            continue
    raise AssertionError(f"the server did not start: {log.read_text()}")
