"""Whether the files of `[uplink]` let this device connect, as far as that can be seen without connecting."""

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from wayside_edge.errors import ConfigError
from wayside_edge.uplink.settings import UplinkSettings

ENROL = "wayside-edge enroll https://SERVER:8443 TOKEN"


def check(settings: UplinkSettings, now: datetime, *, in_token: bool = False) -> None:
    """Whether CA, certificate and key can be read, belong together and to the device, and are valid.

    Args:
        settings: `[uplink]`.
        now: the time, with its zone.
        in_token: the key is in a token, and not looked for.

    Raises:
        ConfigError: they are not; one sentence that names file and fix.
    """
    for authority in _certificates(settings.ca_file, "ca_file"):
        _check_period(authority, settings.ca_file, now)
    own = _certificates(settings.cert_file, "cert_file")[0]
    _check_period(own, settings.cert_file, now)
    names = [str(name.value) for name in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [settings.device]:
        said = names[0] if names else "nobody"
        raise ConfigError(
            f"{settings.cert_file} is the certificate of {said}, not of {settings.device}; correct 'device', or type:"
            f" {ENROL}"
        )
    if in_token:
        return
    try:
        key = load_pem_private_key(_read(settings.key_file, "key_file"), None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{settings.key_file} holds no private key without a passphrase; type: {ENROL}") from error
    if key.public_key() != own.public_key():
        raise ConfigError(f"{settings.key_file} is not the key of {settings.cert_file}; type: {ENROL}")


def expires(settings: UplinkSettings) -> datetime:
    """When the device's certificate ends.

    Raises:
        ConfigError: there is none.
    """
    return _certificates(settings.cert_file, "cert_file")[0].not_valid_after_utc


def _certificates(path: Path, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path, setting))
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate; correct '{setting}', or type: {ENROL}") from error


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing; correct '{setting}', or enrol this device: {ENROL}") from error
    except PermissionError as error:
        raise ConfigError(f"cannot read {path}: it is not this user's; run this as the user of the agent") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; correct '{setting}'") from error


def _check_period(certificate: x509.Certificate, path: Path, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        raise ConfigError(f"{path} expired on {ends:%Y-%m-%d}; get a new token and type: {ENROL}")
    if now < begins:
        raise ConfigError(f"{path} is not valid before {begins:%Y-%m-%d %H:%M} UTC; set this machine's clock")
