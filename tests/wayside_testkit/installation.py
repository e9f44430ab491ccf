"""An installation as `wayside-server init` makes it, its broker, and devices whose certificates the database knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography import x509

from wayside_server.identity.authority import service_name
from wayside_server.identity.crl import issuer_of
from wayside_server.identity.home import Home
from wayside_server.identity.installation import install, load_authority, write_broker_files
from wayside_server.storage.database import Pool, connection
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory


class InstalledBroker(Broker):
    """A broker with the configuration that `init` writes into `home`."""

    def __init__(self, home: Home, credentials: CredentialsFactory) -> None:
        super().__init__(home.broker_config.parent, credentials)
        self._home = home
        self.config_file = home.broker_config

    def _configure(self) -> None:
        write_broker_files(self._home, self.host, self.port)


@dataclass
class Installation:
    """One installation with a running broker.

    Args:
        home: its folder.
        broker: it.
    """

    home: Home
    broker: InstalledBroker

    def service(self, instance: int = 1) -> Credentials:
        """The certificate of an ingest session."""
        name = service_name(instance)
        return Credentials(name, self.home.ca_file, self.home.certificate(name), self.home.key(name))

    def device(self, name: str) -> Credentials:
        """A device with a certificate of the CA that issues them now, which no database knows."""
        folder = self.home.path / "devices"
        folder.mkdir(exist_ok=True)
        return CredentialsFactory(folder, load_authority(self.home)).device(name)

    async def enrolled(self, pool: Pool, name: str) -> Credentials:
        """A device with a certificate that the database knows."""
        made = self.device(name)
        await record(pool, made)
        return made


async def record(pool: Pool, who: Credentials) -> None:
    """Enters a device and its certificate as enrolment does."""
    found = x509.load_pem_x509_certificate(who.cert_file.read_bytes())
    async with connection(pool) as conn, conn.transaction():
        await conn.execute("INSERT INTO device (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", [who.name])
        await conn.execute(
            "INSERT INTO certificate (serial, device_id, not_before, not_after, issuer)"
            " SELECT %s, id, %s, %s, %s FROM device WHERE name = %s",
            [
                Decimal(found.serial_number),
                found.not_valid_before_utc,
                found.not_valid_after_utc,
                issuer_of(found),
                who.name,
            ],
        )


@contextmanager
def running_installation(folder: Path) -> Iterator[Installation]:
    """An installation in `folder` whose broker runs within the block."""
    home = Home(folder)
    install(home, ["localhost"], datetime.now(UTC))
    (folder / "broker").mkdir(mode=0o700)
    (folder / "devices").mkdir()
    broker = InstalledBroker(home, CredentialsFactory(folder / "devices", load_authority(home)))
    broker.start()
    try:
        yield Installation(home, broker)
    finally:
        broker.stop()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """An installation of the test's own."""
    with running_installation(tmp_path / "home") as running:
        yield running
