"""One certificate authority takes the place of another, while devices of both are connected.

1. `roll` makes the new CA beside the old one. Server and broker trust both roots; devices' certificates come from the
   new CA; the server still shows certificates of the old one, for that is what devices trust.
2. Each device gets both roots and a certificate of the new CA when it renews its own, at two thirds of its life.
3. `finish`, once no device has only a certificate of the old CA: the server's own certificates come from the new CA,
   and the old root is trusted no more.

Roots are read by servers and brokers when they start. What devices measure meanwhile waits on them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from wayside_server.errors import ConfigError
from wayside_server.identity.authority import BACKDATING
from wayside_server.identity.broker_process import BrokerNotFoundError, find_broker
from wayside_server.identity.crl import key_identifier
from wayside_server.identity.home import Home, read_whole
from wayside_server.identity.installation import issue_own, load_authority, make_authority, write_roots

RETIRED_PREFIX = "ca.retired-"
"""Of the folder that the old CA goes to: nothing reads it, and nobody may need it any more."""
SHOWN_DEVICES = 20


@dataclass(frozen=True, slots=True)
class Authorities:
    """The CAs of an installation.

    Args:
        current: root that the server's own certificates descend from.
        following: root of the CA that takes its place; None when there is none.
        broker_is_behind: the broker runs since before its roots changed; None when no broker runs here.
    """

    current: x509.Certificate
    following: x509.Certificate | None
    broker_is_behind: bool | None


class IssuedCertificates(Protocol):
    """Which devices have which CA's certificates."""

    async def only_of_others(self, issuer: bytes, now: datetime, limit: int) -> tuple[int, Sequence[str]]:
        """Devices in good standing that have good certificates, none of them signed by `issuer`, a key identifier.

        Returns:
            How many there are, and the names of the first `limit`.

        Raises:
            StorageError: the database is away.
        """


def authorities(home: Home) -> Authorities:
    """The CAs of the installation in `home`.

    Raises:
        ConfigError: files are missing or broken.
    """
    following = _root(home.next_ca) if home.next_ca.exists() else None
    try:
        started_at = find_broker(home).started_at.timestamp()
    except BrokerNotFoundError:
        behind = None
    else:
        behind = started_at < home.ca_file.stat().st_mtime
    return Authorities(_root(home.ca), following, behind)


async def roll(home: Home, now: datetime, record: Callable[[], Awaitable[None]]) -> Authorities:
    """Makes the CA that is to take the present one's place.

    Args:
        home: the installation.
        now: the time, aware.
        record: called when nothing stands against it, before it is done.

    Raises:
        ConfigError: a rollover is under way already, or a file cannot be read or written.
    """
    load_authority(home)
    if home.next_ca.exists():
        since = _root(home.next_ca).not_valid_before_utc + BACKDATING
        raise ConfigError(f"a rollover is under way since {since:%Y-%m-%d}; finish it")
    await record()
    make_authority(home.next_ca, now)
    # The lists of both CAs come with the next publication; a broker needs them before it takes the new certificates.
    write_roots(home, load_authority(home))
    return authorities(home)


async def finish(home: Home, issued: IssuedCertificates, now: datetime, record: Callable[[], Awaitable[None]]) -> Path:
    """Lets go of the old CA.

    Args:
        home: the installation.
        issued: what devices have.
        now: the time, aware.
        record: called when nothing stands against it, before it is done.

    Returns:
        The folder that the old CA is in now.

    Raises:
        ConfigError: no rollover is under way, devices have only certificates of the old CA (it lists them), or a file
            cannot be read or written.
        StorageError: nothing was changed.
    """
    load_authority(home)
    if not home.next_ca.exists():
        raise ConfigError("no rollover is under way; wayside-server ca roll begins one")
    issuer = key_identifier(x509.load_pem_x509_certificate(read_whole(home.next_ca / "intermediate.pem")))
    count, names = await issued.only_of_others(issuer, now, SHOWN_DEVICES)
    if count:
        rest = f" and {count - len(names)} more" if count > len(names) else ""
        raise ConfigError(
            f"{count} devices have only certificates of the old CA: {', '.join(names)}{rest}; they get one of the new"
            " CA when they renew theirs. Wait until then, or revoke those that do not come back"
        )
    await record()
    old = _root(home.ca)
    retired = home.path / f"{RETIRED_PREFIX}{old.fingerprint(hashes.SHA256()).hex()[:16]}"
    home.ca.rename(retired)
    home.next_ca.rename(home.ca)
    return retired


def complete(home: Home, now: datetime) -> None:
    """What follows from `finish`, and may be done again: roots, and the server's own certificates.

    Raises:
        ConfigError: a file cannot be read or written.
    """
    issue_own(home, [], now)
    write_roots(home, load_authority(home))


def _root(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(read_whole(folder / "root.pem"))
