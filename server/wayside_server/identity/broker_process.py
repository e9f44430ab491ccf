"""The broker's process on this machine: told to read its files again, or ended so that it begins anew."""

import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wayside_server.errors import WaysideError
from wayside_server.identity.home import Home

NAME = "mosquitto"


class BrokerNotFoundError(WaysideError):
    """There is no broker of the installation here that this account may signal; the message names the fix."""


@dataclass(frozen=True, slots=True)
class BrokerProcess:
    """A running broker of the installation.

    Args:
        pid: its process id.
        started_at: when it began, UTC, by the clock of the file system.
    """

    pid: int
    started_at: datetime

    def reload(self) -> None:
        """Makes it read the revocation lists and its own certificate again; sessions stay.

        Raises:
            BrokerNotFoundError: it has ended.
        """
        self._signal(signal.SIGHUP)

    def end(self) -> None:
        """Ends it; whoever started it must start it again. Only then it reads root certificates.

        Raises:
            BrokerNotFoundError: it has ended.
        """
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.kill(self.pid, number)
        except OSError as error:
            raise BrokerNotFoundError(f"the broker, process {self.pid}, is gone: {error.strerror}") from error


def find_broker(home: Home) -> BrokerProcess:
    """The broker that runs with the configuration in `home`.

    A process id may stand for another process by now, so name, account and configuration must fit too.

    Raises:
        BrokerNotFoundError: there is none, or it belongs to another account.
    """
    fix = "a broker under another unit or account reads new lists by deploy/systemd/wayside-broker-reload.path"
    try:
        pid = int(home.broker_pid.read_text())
        process = Path(f"/proc/{pid}")
        name = (process / "comm").read_text().strip()
        owner = process.stat().st_uid
        arguments = (process / "cmdline").read_bytes().split(b"\0")
        folder = (process / "cwd").readlink()
        # It writes the file when it starts. What /proc says of itself begins with the first look at it.
        started_at = datetime.fromtimestamp(home.broker_pid.stat().st_mtime, UTC)
    except (OSError, ValueError) as error:
        raise BrokerNotFoundError(f"{home.broker_pid} names no broker that runs here; {fix}") from error
    config = home.broker_config.resolve()
    if name != NAME or not any((folder / os.fsdecode(one)).resolve() == config for one in arguments if one):
        raise BrokerNotFoundError(f"{home.broker_pid} names process {pid}, which is not this broker; {fix}")
    if owner != os.geteuid() and os.geteuid() != 0:
        raise BrokerNotFoundError(f"the broker, process {pid}, belongs to another account; {fix}")
    return BrokerProcess(pid, started_at)
