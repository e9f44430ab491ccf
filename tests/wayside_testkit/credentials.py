"""Certificates for tests: a real authority, and files as devices, ingest sessions and servers have them."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import Certificate, load_pem_x509_certificate

from wayside_server.identity.authority import (
    Authority,
    PrivateKey,
    create_authority,
    new_key,
    service_name,
)
from wayside_server.identity.crl import Reason, Revoked, sign_lists

HOSTS = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files of one certificate holder; `name` is its common name."""

    name: str
    ca_file: Path
    cert_file: Path
    key_file: Path

    def client_context(self) -> ssl.SSLContext:
        """A TLS client that trusts the CA and shows this certificate."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


class CredentialsFactory:
    """Issues certificates into `directory`.

    Args:
        directory: an existing directory of its own.
        authority: who signs; a fresh one by default.
    """

    def __init__(self, directory: Path, authority: Authority | None = None) -> None:
        self.directory = directory
        if authority is None:
            root, intermediate = create_authority(datetime.now(UTC))
            authority = Authority(root.certificate, intermediate)
        self.authority = authority
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.root_pem)
        self.crl_file = directory / "crl.pem"
        self.revoke()

    def revoke(self, *revoked: Credentials, life: timedelta = timedelta(days=7)) -> None:
        """Writes the revocation list, which names `revoked` alone; a broker reads it at its start and on SIGHUP."""
        now = datetime.now(UTC)
        serials = [load_pem_x509_certificate(one.cert_file.read_bytes()).serial_number for one in revoked]
        entries = [Revoked(serial, now, Reason.UNSPECIFIED) for serial in serials]
        self.crl_file.write_bytes(sign_lists([self.authority._intermediate], entries, 1, now, life))

    def device(self, name: str, *, days: int = 90, now: datetime | None = None) -> Credentials:
        """The certificate of the device `name`, as if issued at `now`."""
        key = new_key()
        issued = self.authority.issue_device(name, key.public_key(), now=now or datetime.now(UTC), days=days)
        return self.write(name, issued, key)

    def service(self, instance: int = 1) -> Credentials:
        """The certificate of ingest session `instance`, 1 to 8."""
        key = new_key()
        issued = self.authority.issue_service(instance, key.public_key(), now=datetime.now(UTC), days=90)
        return self.write(service_name(instance), issued, key)

    def server(self, hosts: tuple[str, ...] = HOSTS, *, now: datetime | None = None) -> Credentials:
        """A server certificate for `hosts`, good for 90 days from `now`."""
        key = new_key()
        issued = self.authority.issue_server(hosts, key.public_key(), now=now or datetime.now(UTC), days=90)
        return self.write(hosts[0], issued, key)

    def write(self, name: str, certificate: Certificate, key: PrivateKey) -> Credentials:
        """Files for a certificate and key made elsewhere."""
        stem = f"{name}-{certificate.serial_number:x}"
        made = Credentials(name, self.ca_file, self.directory / f"{stem}.pem", self.directory / f"{stem}.key")
        made.cert_file.write_bytes(self.authority.chain_pem(certificate))
        made.key_file.touch(mode=0o600)
        made.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made


@pytest.fixture
def credentials(tmp_path: Path) -> CredentialsFactory:
    """An authority of the test's own."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    return CredentialsFactory(directory)
