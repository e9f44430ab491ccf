"""The folder that holds one installation, and the files that `wayside-server init` puts there."""

import os
from dataclasses import dataclass
from pathlib import Path

from wayside_server.errors import ConfigError

DEFAULT_HOME = Path("/var/lib/wayside-server")


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the installation's folder; nothing is read or made here.

    Args:
        path: the folder; it is kept as an absolute one, since what the server starts has another working directory.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.path.absolute())

    @property
    def settings_file(self) -> Path:
        """`server.toml`."""
        return self.path / "server.toml"

    @property
    def ca(self) -> Path:
        """Folder of `root.pem`, `root.key`, `intermediate.pem`, `intermediate.key`; 0700."""
        return self.path / "ca"

    @property
    def next_ca(self) -> Path:
        """The same of the CA that is taking the place of `ca`; it is there in a rollover only."""
        return self.path / "ca.next"

    @property
    def tls(self) -> Path:
        """Folder of `ca.pem`, of `api`, `broker` and the ingest sessions' `.pem` and `.key`; 0700."""
        return self.path / "tls"

    @property
    def ca_file(self) -> Path:
        """The root certificate, for clients and servers alike."""
        return self.tls / "ca.pem"

    @property
    def revocation_list(self) -> Path:
        """The revocation lists of every issuing CA in force, for the broker."""
        return self.tls / "crl.pem"

    @property
    def broker_pid(self) -> Path:
        """Where the broker leaves its process id."""
        return self.path / "broker" / "mosquitto.pid"

    @property
    def broker_config(self) -> Path:
        """mosquitto.conf."""
        return self.path / "broker" / "mosquitto.conf"

    @property
    def broker_acl(self) -> Path:
        """The broker's access rules."""
        return self.path / "broker" / "acl"

    @property
    def postgres(self) -> Path:
        """Folder of the embedded PostgreSQL."""
        return self.path / "postgres"

    @property
    def metrics(self) -> Path:
        """Folder in which the roles of one `run` leave their counters for /metrics; emptied at each start."""
        return self.path / "metrics"

    @property
    def audit(self) -> Path:
        """Folder of the audit log's heads and of the key that signs them; 0700."""
        return self.path / "audit"

    @property
    def secret_key(self) -> Path:
        """Key that seals secrets in the database, mode 0600; whoever has the database alone cannot open them."""
        return self.path / "people" / "secret.key"

    @property
    def setup_code(self) -> Path:
        """Code that makes the first person, mode 0600; gone once there is one."""
        return self.path / "people" / "setup-code"

    def certificate(self, holder: str) -> Path:
        """PEM file of a certificate and the intermediate; `holder` is `api`, `broker` or a service's name."""
        return self.tls / f"{holder}.pem"

    def key(self, holder: str) -> Path:
        """PEM file of the private key that belongs to `certificate(holder)`, mode 0600."""
        return self.tls / f"{holder}.key"


def make_folder(path: Path) -> None:
    """Makes a folder of the installation, mode 0700, when it is missing.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {path}: {error.strerror}") from error


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replaces `path` at once and durably: a reader, or a power cut, finds the old content or the new.

    Raises:
        ConfigError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def read_whole(path: Path) -> bytes:
    """The content of one of the installation's files.

    Raises:
        ConfigError: it cannot be read; the message says what makes it.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing; run wayside-server init --home {path.parent.parent}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
