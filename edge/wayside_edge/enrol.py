"""`wayside-edge enroll URL TOKEN`: a key made here, a certificate from the server, and the configuration to use them.

The token names the root certificate by its SHA-256. The first request therefore needs no trust: whatever server
answers, only the CA that the token names is accepted, and from then on TLS is verified against it.
"""

import base64
import json
import os
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from wayside_edge.config import sample
from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.uplink.placement import place_uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.enrolment import (
    BROKER_HEADER,
    CACERTS_PATH,
    MAX_ANSWER_BYTES,
    SIMPLEENROLL_PATH,
    EnrolmentToken,
    parse_token,
)
from wayside_shared.identifiers import is_device_id

TIMEOUT_S = 30.0
"""For each step of the connection; a cellular link takes seconds to wake, not half a minute."""

_NOT_YET_VALID = 9
_EXPIRED = 10
_HOST_MISMATCH = 62
_IP_MISMATCH = 64
"""X509_V_ERR codes of OpenSSL's x509_vfy.h."""


def enrol(url: str, token: str, config: Path, directory: Path) -> str:
    """Makes this machine a device of the server at `url`; keeps key, certificate and CA in `directory`.

    The token is not spent before everything that can be checked here has been checked.

    Args:
        url: https address of the server.
        token: one-time token from `wayside-server token create`.
        config: the agent's TOML file, whose `[uplink]` is written; a sample is made when there is none.
        directory: for `device.key` (0600), `device.pem` and `ca.pem`; made 0700 when missing.

    Returns:
        The device's name, given by the server.

    Raises:
        ConfigError: a person must act: wrong token or CA, wrong clock, wrong host name, unwritable files; one line.
        TransientError: the server cannot be reached or is not well; the token is good still.
    """
    parsed = parse_token(token)
    server = _Server(url)
    text = _config_text(config)
    place_uplink(text, UplinkSettings(host="host", device="device"), str(config))
    for folder in (directory, config.absolute().parent):
        _try_folder(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    root = _trusted_root(server, parsed)
    answer = server.enrol(root, token.strip(), key)
    device, chain, broker = _checked(*answer, key, root)
    files = {name: (directory / name).absolute() for name in ("ca.pem", "device.pem", "device.key")}
    uplink = UplinkSettings(
        host=broker[0],
        port=broker[1],
        device=device,
        ca_file=files["ca.pem"],
        cert_file=files["device.pem"],
        key_file=files["device.key"],
    )
    _refuse_other_device(files["device.pem"], device)
    _write(files["ca.pem"], root.public_bytes(serialization.Encoding.PEM), 0o644)
    _write(files["device.key"], _key_pem(key), 0o600)
    _write(files["device.pem"], b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain), 0o644)
    _write(config, place_uplink(text, uplink, str(config)).encode(), 0o644)
    return device


def _refuse_other_device(cert_file: Path, device: str) -> None:
    """What another device has in its outbox would be sent under this one's name."""
    try:
        present = x509.load_pem_x509_certificate(cert_file.read_bytes())
    except (OSError, ValueError):
        return
    names = [str(name.value) for name in present.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [device]:
        raise ConfigError(
            f"{cert_file} is of device {names[0] if names else '?'}, the token was for {device}; choose another --dir"
            " and another outbox, or remove both when that device is no more, and ask for a new token"
        )


class _Server:
    """HTTPS to one server, with errors as one line each."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{url!r} is not an address: {error}") from error
        if parts.scheme != "https" or not parts.hostname:
            raise ConfigError(f"{url!r}: the server's address must start with https://")
        self.host = parts.hostname
        self._port = port or 443

    def cacerts(self) -> list[x509.Certificate]:
        """The CA certificates that the server shows; nothing is verified, the token's fingerprint decides."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        status, body, _ = self._request(context, "GET", CACERTS_PATH)
        if status != 200:
            raise ConfigError(f"{self._name} answers {status} where its CA certificates should be; is this the server?")
        try:
            return pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
        except ValueError as error:
            raise ConfigError(f"{self._name} does not answer as a Wayside server does") from error

    def enrol(
        self, root: x509.Certificate, token: str, key: ec.EllipticCurvePrivateKey
    ) -> tuple[list[x509.Certificate], str]:
        """The server's answer to a certificate request: certificates in any order, and where the broker is."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=root.public_bytes(serialization.Encoding.PEM).decode())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        csr = base64.b64encode(request.public_bytes(serialization.Encoding.DER))
        headers = {
            "Content-Type": "application/pkcs10",
            "Authorization": "Basic " + base64.b64encode(f":{token}".encode()).decode(),
        }
        status, answer, broker = self._request(context, "POST", SIMPLEENROLL_PATH, csr, headers)
        if status == 200:
            try:
                return pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer)), broker
            except ValueError as error:
                raise ConfigError(f"{self._name} does not answer as a Wayside server does") from error
        try:
            content = json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise TransientError(f"{self._name} answers {status} without saying why") from error
        detail = str(content.get("detail") if isinstance(content, dict) else None)[:300]
        message = f"{self._name} refuses: {detail}"
        raise ConfigError(message) if 400 <= status < 500 and status != 429 else TransientError(message)

    @property
    def _name(self) -> str:
        return f"{self.host}:{self._port}"

    def _request(
        self,
        context: ssl.SSLContext,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[int, bytes, str]:
        """Status, body, and where the answer says that the broker is."""
        connection = HTTPSConnection(self.host, self._port, timeout=TIMEOUT_S, context=context)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES + 1)
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(self._certificate_fault(error)) from error
        except (OSError, HTTPException) as error:
            raise TransientError(f"cannot reach {self._name}: {str(error) or type(error).__name__}") from error
        finally:
            connection.close()
        if len(content) > MAX_ANSWER_BYTES:
            raise ConfigError(f"{self._name} does not answer as a Wayside server does")
        return response.status, content, response.headers.get(BROKER_HEADER, "")

    def _certificate_fault(self, error: ssl.SSLCertVerificationError) -> str:
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            state = "not valid yet" if error.verify_code == _NOT_YET_VALID else "no longer valid"
            clock = f"this device's clock ({_now():%Y-%m-%d %H:%M} UTC)"
            return f"the server's certificate is {state} by {clock}: set the clock"
        if error.verify_code in (_HOST_MISMATCH, _IP_MISMATCH):
            return (
                f"the server's certificate is not for {self.host!r}: on it, run wayside-server init --host {self.host}"
            )
        return f"the server's certificate does not come from the CA in the token: {error.verify_message}"


def _trusted_root(server: _Server, token: EnrolmentToken) -> x509.Certificate:
    for certificate in server.cacerts():
        if certificate.fingerprint(hashes.SHA256()) == token.fingerprint:
            return certificate
    raise ConfigError(
        f"{server.host} shows another CA than the one in the token: the token is for another server, "
        "or someone stands between; nothing was sent"
    )


def _checked(
    certificates: list[x509.Certificate], place: str, key: ec.EllipticCurvePrivateKey, root: x509.Certificate
) -> tuple[str, list[x509.Certificate], tuple[str, int]]:
    """Device name, chain and broker in the server's answer, once they are what they should be."""
    try:
        leaf, issuer = sorted(certificates, key=lambda each: each.public_key() != key.public_key())
        leaf.verify_directly_issued_by(issuer)
        issuer.verify_directly_issued_by(root)
    except (TypeError, ValueError, InvalidSignature) as error:
        raise ConfigError("the server's answer is not an enrolment, or its certificates do not fit together") from error
    names = [str(attribute.value) for attribute in leaf.subject]
    if leaf.public_key() != key.public_key() or len(names) != 1 or not is_device_id(names[0]):
        raise ConfigError("the server's answer holds a certificate for another key or name")
    host, _, port = place.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError("the server's answer does not say where the broker is")
    for certificate in (leaf, issuer, root):
        if not certificate.not_valid_before_utc <= _now() < certificate.not_valid_after_utc:
            raise ConfigError(
                f"the certificate is good from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, but this "
                f"device's clock says {_now():%Y-%m-%d %H:%M} UTC: set the clock"
            )
    return names[0], [leaf, issuer], (host.strip("[]"), int(port))


def _try_folder(folder: Path) -> None:
    """Makes `folder` when missing and writes a file in it: better to fail now than with the token spent."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}") from error
    probe = folder / ".enrol"
    _write(probe, b"", 0o600)
    probe.unlink()


def _config_text(config: Path) -> str:
    try:
        return config.read_text(encoding="utf-8")
    except FileNotFoundError:
        return sample()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read the configuration: {reason}", source=str(config)) from error


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replaces `path` at once and durably; an existing file keeps its mode unless `mode` is stricter."""
    new = path.with_name(f".{path.name}.new")
    try:
        if path.exists():
            mode &= path.stat().st_mode
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
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
