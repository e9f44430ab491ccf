"""What `wayside-server init` makes: the authority, the server's own certificates, the broker's configuration.

Running it again changes nothing that is good: keys are never replaced, certificates only when they are due or the
host names have changed.
"""

import getpass
import socket
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wayside_server.errors import ConfigError
from wayside_server.identity.authority import (
    SERVER_DAYS,
    SERVICE_INSTANCES,
    Authority,
    PrivateKey,
    PublicKey,
    Signer,
    create_authority,
    new_key,
    service_name,
)
from wayside_server.identity.broker import BrokerPlan, render, render_acl
from wayside_server.identity.crl import issuer_of, key_identifier, sign_lists
from wayside_server.identity.home import Home, make_folder, read_whole, write_whole
from wayside_server.identity.secret_box import ensure_box_key

LOCAL_HOSTS = ("localhost", "127.0.0.1")
"""Always in the server's certificates: ingest and commands on the machine itself connect by these."""
RENEW_BEFORE = timedelta(days=SERVER_DAYS / 3)
FIRST_LIST_LIFE = timedelta(days=7)
"""Of revocation lists made by `init`: as those that follow, if nobody sets it otherwise."""


def default_hosts() -> list[str]:
    """The names that this machine has for itself."""
    return list(dict.fromkeys([socket.getfqdn(), socket.gethostname()]))


def install(home: Home, hosts: Sequence[str], now: datetime) -> Authority:
    """Makes what is missing of the authority and the server's certificates.

    Args:
        home: the installation.
        hosts: names and addresses by which devices and people reach it; empty keeps those it has, or takes
            `default_hosts`.
        now: the time, aware.

    Raises:
        ConfigError: a file cannot be read or written, or a host name is no name.
    """
    make_folder(home.path)
    make_folder(home.tls)
    complete_rollover(home)
    if not home.ca.exists():
        make_authority(home.ca, now)
    authority = load_authority(home)
    write_roots(home, authority)
    issue_own(home, hosts, now)
    ensure_box_key(home)
    # A broker without its lists does not start; the first ones name nobody.
    if not home.revocation_list.exists():
        write_whole(home.revocation_list, sign_lists(load_signers(home), [], 1, now, FIRST_LIST_LIFE))
    return authority


def write_roots(home: Home, authority: Authority) -> None:
    """Writes what everyone trusts, when it has changed: by the file's age a broker that has old ones is known.

    Raises:
        ConfigError: it cannot be written.
    """
    if not home.ca_file.exists() or read_whole(home.ca_file) != authority.root_pem:
        write_whole(home.ca_file, authority.root_pem)


def issue_own(home: Home, hosts: Sequence[str], now: datetime) -> None:
    """Issues what is due of the certificates of the server itself, by the CA that every device trusts.

    Args:
        home: an installation with an authority.
        hosts: as for `install`.
        now: the time, aware.

    Raises:
        ConfigError: as `install`.
    """
    authority = load_serving(home)
    wanted = list(dict.fromkeys([*(hosts or _hosts_of(home) or default_hosts()), *LOCAL_HOSTS]))
    for holder in ("api", "broker"):
        _ensure(home, authority, holder, wanted, now, lambda key: _issue_server(authority, wanted, key, now))
    for instance in range(1, SERVICE_INSTANCES + 1):

        def issue(key: PublicKey, number: int = instance) -> x509.Certificate:
            return authority.issue_service(number, key, now=now, days=SERVER_DAYS)

        _ensure(home, authority, service_name(instance), None, now, issue)


def write_broker_files(home: Home, host: str, port: int) -> None:
    """Writes the broker's configuration and rules, for a broker run by this account.

    Args:
        home: an installation that `install` has made.
        host: address to listen on.
        port: its TLS port.
    """
    make_folder(home.broker_config.parent)
    plan = BrokerPlan(
        host=host,
        port=port,
        ca_file=home.ca_file,
        cert_file=home.certificate("broker"),
        key_file=home.key("broker"),
        crl_file=home.revocation_list,
        pid_file=home.broker_pid,
        acl_file=home.broker_acl,
        user=getpass.getuser(),
    )
    write_whole(home.broker_acl, render_acl().encode(), mode=0o600)
    write_whole(home.broker_config, render(plan).encode())


def load_authority(home: Home) -> Authority:
    """The authority that issues devices' certificates, without the root's key, which may be kept elsewhere.

    In a rollover the new CA issues them already, while the server still shows certificates of the old one.

    Raises:
        ConfigError: its files are missing or broken.
    """
    complete_rollover(home)
    if not home.next_ca.exists():
        return _authority(home.ca)
    serving = _read_certificate(home.ca / "root.pem")
    return Authority(serving, _signer(home.next_ca), [_read_certificate(home.next_ca / "root.pem")])


def load_serving(home: Home) -> Authority:
    """The authority that everybody trusts and the broker knows, also before it has read the roots of a rollover.

    Raises:
        ConfigError: its files are missing or broken.
    """
    complete_rollover(home)
    return _authority(home.ca)


def load_signers(home: Home) -> list[Signer]:
    """Every issuing CA whose certificates are in use, the one that issues new ones last.

    Raises:
        ConfigError: their files are missing or broken.
    """
    complete_rollover(home)
    return [_signer(folder) for folder in (home.ca, home.next_ca) if folder.exists() or folder == home.ca]


def make_authority(folder: Path, now: datetime) -> None:
    """Makes a root and an issuing CA in `folder`, at once: half an authority is never taken for one.

    Raises:
        ConfigError: it cannot be written.
    """
    unfinished = folder.with_name(f"{folder.name}.new")
    make_folder(unfinished)
    for name, signer in zip(("root", "intermediate"), create_authority(now), strict=True):
        write_whole(unfinished / f"{name}.key", _pem(signer.key), mode=0o600)
        write_whole(unfinished / f"{name}.pem", signer.certificate.public_bytes(serialization.Encoding.PEM))
    unfinished.rename(folder)


def complete_rollover(home: Home) -> None:
    """Renames the new CA if a rollover was interrupted between its two renames."""
    if home.next_ca.exists() and not home.ca.exists():
        home.next_ca.rename(home.ca)


def _authority(folder: Path) -> Authority:
    return Authority(_read_certificate(folder / "root.pem"), _signer(folder))


def _signer(folder: Path) -> Signer:
    return Signer(_read_certificate(folder / "intermediate.pem"), _load_key(folder / "intermediate.key"))


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_whole(path))
    except ValueError as error:
        raise ConfigError(f"a certificate in {path.parent} is broken; restore it from a backup") from error


def _ensure(
    home: Home,
    authority: Authority,
    holder: str,
    hosts: list[str] | None,
    now: datetime,
    issue: Callable[[PublicKey], x509.Certificate],
) -> None:
    if not home.key(holder).exists():
        write_whole(home.key(holder), _pem(new_key()), mode=0o600)
    key = _load_key(home.key(holder)).public_key()
    file = home.certificate(holder)
    issuer = key_identifier(_read_certificate(home.ca / "intermediate.pem"))
    if not file.exists() or not _good(x509.load_pem_x509_certificate(read_whole(file)), key, hosts, issuer, now):
        write_whole(file, authority.chain_pem(issue(key)))


def _good(certificate: x509.Certificate, key: PublicKey, hosts: list[str] | None, issuer: bytes, now: datetime) -> bool:
    return (
        certificate.public_key() == key
        and issuer_of(certificate) == issuer
        and certificate.not_valid_after_utc - now > RENEW_BEFORE
        and (hosts is None or sorted(_names(certificate)) == sorted(hosts))
    )


def _names(certificate: x509.Certificate) -> list[str]:
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in alternatives]


def _hosts_of(home: Home) -> list[str]:
    file = home.certificate("api")
    return _names(x509.load_pem_x509_certificate(read_whole(file))) if file.exists() else []


def _issue_server(authority: Authority, hosts: list[str], key: PublicKey, now: datetime) -> x509.Certificate:
    try:
        return authority.issue_server(hosts, key, now=now, days=SERVER_DAYS)
    except ValueError as error:
        raise ConfigError(f"--host: {error}") from error


def _load_key(path: Path) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(read_whole(path), None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is not a private key; restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} is not an EC key; restore it from a backup")
    return key


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
