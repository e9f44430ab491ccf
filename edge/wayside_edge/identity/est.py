"""Enrolment over Secure Transport as far as a device needs it (RFC 7030): CA certificates, a certificate, another one.

One `EstClient` a server. Every call is one connection; errors are one line each and say who must act.
"""

import base64
import binascii
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException, HTTPMessage, HTTPSConnection
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from wayside_edge.errors import ConfigError, TransientError
from wayside_shared.enrolment import (
    BROKER_HEADER,
    CACERTS_PATH,
    DEVICE_HEADER,
    MAX_ANSWER_BYTES,
    SIMPLEENROLL_PATH,
    SIMPLEREENROLL_PATH,
)
from wayside_shared.identifiers import is_device_id
from wayside_shared.renewal import Life

TIMEOUT_S: Final = 30.0
"""For each step of the connection; a cellular link takes seconds to wake, not half a minute."""
DEFAULT_RETRY_S: Final = 60.0
"""Of a server that says "later" without saying when."""

_NOT_YET_VALID = 9
_EXPIRED = 10
_HOST_MISMATCH = 62
_IP_MISMATCH = 64
"""X509_V_ERR codes of OpenSSL's x509_vfy.h."""
_NO_HTTPS = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "WRONG_VERSION_NUMBER")
"""Endings of OpenSSL's reasons where something else than the server answers."""


class RefusedError(ConfigError):
    """The server refuses this device for good: revoked, unknown, refused by an operator, or too late."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate as a server gave it: the leaf, what is between it and the root, and where the broker is."""

    leaf: x509.Certificate
    chain: Sequence[x509.Certificate]
    broker: str | None

    @property
    def device(self) -> str:
        """The device's name in it."""
        names = [str(attribute.value) for attribute in self.leaf.subject]
        return names[0] if len(names) == 1 else ""

    @property
    def pem(self) -> bytes:
        """Leaf and chain as TLS sends them."""
        return pem(self.chain)


@dataclass(frozen=True, slots=True)
class Pending:
    """An operator must act first; ask again after this time."""

    retry_after_s: float


class EstClient:
    """HTTPS to one server.

    Args:
        url: its address.

    Raises:
        ConfigError: the address is none.
    """

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

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self._port}"

    def cacerts(self, context: ssl.SSLContext) -> list[x509.Certificate]:
        """The CA certificates that the server shows.

        Args:
            context: `blind()` where something else than TLS decides whether they are to be trusted.

        Raises:
            ConfigError: it is not a Wayside server, or not to be trusted.
            TransientError: it cannot be reached, or is not well.
        """
        status, _, body = self._request(context, "GET", CACERTS_PATH)
        if status >= 500:
            raise TransientError(f"{self.name} answers {status}")
        if status != 200:
            raise ConfigError(f"{self.name} answers {status} where its CA certificates should be; is this the server?")
        return self._certificates(body)

    def enroll(
        self, context: ssl.SSLContext, request: bytes, *, token: str | None = None, device: str | None = None
    ) -> Certificates | Pending:
        """A certificate for the PKCS#10 `request` (DER): with a token, or once an operator has agreed.

        Args:
            context: from `trusting`.
            request: signed with the device's key.
            token: one-time token; None where an operator decides.
            device: the name of a device whose certificate has ended; None where there is no name yet.

        Raises:
            RefusedError: it refuses for good.
            ConfigError: it does not answer as it should, or is not to be trusted.
            TransientError: it cannot be reached, or is not well.
        """
        headers = {}
        if token is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"device:{token}".encode()).decode()
        if device is not None:
            headers[DEVICE_HEADER] = device
        return self._post(context, SIMPLEENROLL_PATH, request, headers)

    def reenroll(self, context: ssl.SSLContext, request: bytes) -> Certificates | Pending:
        """A new certificate for a device that shows its present one; see `enroll`."""
        return self._post(context, SIMPLEREENROLL_PATH, request, {})

    def _post(
        self, context: ssl.SSLContext, path: str, request: bytes, headers: Mapping[str, str]
    ) -> Certificates | Pending:
        more = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64", **headers}
        status, told, body = self._request(context, "POST", path, base64.encodebytes(request), more)
        if status == 202:
            return Pending(_seconds(told.get("Retry-After")))
        if status == 200:
            return self._issued(self._certificates(body), told.get(BROKER_HEADER))
        message = f"{self.name} refuses: {_detail(status, body)}"
        if status in (403, 410):
            raise RefusedError(message)
        raise ConfigError(message) if 400 <= status < 500 and status != 429 else TransientError(message)

    def _issued(self, certificates: Sequence[x509.Certificate], broker: str | None) -> Certificates:
        # The order within PKCS#7 is not fixed: the leaf is what issued none of the others.
        issuers = {certificate.issuer for certificate in certificates}
        leaves = [certificate for certificate in certificates if certificate.subject not in issuers]
        if len(leaves) != 1:
            raise ConfigError(f"{self.name} does not answer with one certificate for this device")
        chain, rest = [leaves[0]], [c for c in certificates if c is not leaves[0] and c.subject != c.issuer]
        while above := [c for c in rest if c.subject == chain[-1].issuer and c not in chain]:
            chain.append(above[0])
        return Certificates(leaves[0], chain, broker)

    def _certificates(self, body: bytes) -> list[x509.Certificate]:
        try:
            return pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
        except (ValueError, binascii.Error) as error:
            raise ConfigError(f"{self.name} does not answer as a Wayside server does") from error

    def _request(
        self,
        context: ssl.SSLContext,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, HTTPMessage, bytes]:
        connection = HTTPSConnection(self.host, self._port, timeout=TIMEOUT_S, context=context)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES + 1)
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(self._certificate_fault(error)) from error
        except (OSError, HTTPException) as error:
            raise TransientError(f"cannot reach {self.name}: {_reach_fault(error)}") from error
        finally:
            connection.close()
        if len(content) > MAX_ANSWER_BYTES:
            raise ConfigError(f"{self.name} does not answer as a Wayside server does")
        return response.status, response.headers, content

    def _certificate_fault(self, error: ssl.SSLCertVerificationError) -> str:
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            state = "not valid yet" if error.verify_code == _NOT_YET_VALID else "no longer valid"
            clock = f"this device's clock ({now():%Y-%m-%d %H:%M} UTC)"
            return f"the server's certificate is {state} by {clock}: set the clock"
        if error.verify_code in (_HOST_MISMATCH, _IP_MISMATCH):
            return (
                f"the server's certificate is not for {self.host!r}: on it, run wayside-server init --host {self.host}"
            )
        return f"the server's certificate does not come from a CA that this device trusts: {error.verify_message}"


def _reach_fault(error: Exception) -> str:
    if isinstance(error, ssl.SSLEOFError) or (
        isinstance(error, ssl.SSLError) and str(error.reason).endswith(_NO_HTTPS)
    ):
        # So does a broker, which wants a certificate of the device first.
        return (
            f"TLS failed ({error.reason or 'it hung up'}); is that the server's own HTTPS port, 8443 unless somebody"
            " chose another, rather than the broker's?"
        )
    return str(error) or type(error).__name__


def blind() -> ssl.SSLContext:
    """TLS that verifies nothing: what comes over it is compared with a fingerprint, or decides a claim code."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trusting(roots: Sequence[x509.Certificate]) -> ssl.SSLContext:
    """TLS that trusts these CA certificates and no others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem(roots).decode())
    return context


def check(issued: Certificates, key_der: bytes, roots: Sequence[x509.Certificate], device: str | None = None) -> None:
    """Whether a certificate is what this device asked for.

    Args:
        issued: what came.
        key_der: DER of the SubjectPublicKeyInfo in the request.
        roots: whom this device trusts.
        device: the name that it must have; None where the server chooses.

    Raises:
        ConfigError: it is for another key or name, does not lead to a root, or is not valid now.
    """
    if public_der(issued.leaf) != key_der or not is_device_id(issued.device) or device not in (None, issued.device):
        raise ConfigError("the server's answer holds a certificate for another key or name")
    top = issued.chain[-1]
    if not leads(issued.chain) or not any(_issued_by(top, root) for root in roots):
        raise ConfigError("the server's answer is not an enrolment, or its certificates do not fit together")
    for certificate in issued.chain:
        if not certificate.not_valid_before_utc <= now() < certificate.not_valid_after_utc:
            raise ConfigError(
                f"the certificate is good from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, but this "
                f"device's clock says {now():%Y-%m-%d %H:%M} UTC: set the clock"
            )


def leads(chain: Sequence[x509.Certificate]) -> bool:
    """Whether each certificate is issued by the next."""
    return all(_issued_by(lower, upper) for lower, upper in pairwise(chain))


def under(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> bool:
    """Whether `chain` leads to one of `roots`."""
    return leads(chain) and any(_issued_by(chain[-1], root) for root in roots)


def roots_of(certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Those that signed themselves."""
    return [certificate for certificate in certificates if _issued_by(certificate, certificate)]


def public_der(certificate: x509.Certificate) -> bytes:
    """DER of its SubjectPublicKeyInfo."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def life_of(certificate: x509.Certificate) -> Life:
    """What counts of `certificate` for its renewal."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Life(certificate.serial_number, int(begins.timestamp()), int(ends.timestamp()))


def pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """`certificates`, one after the other."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def now() -> datetime:
    """The time, with its zone."""
    return datetime.fromtimestamp(time.time(), UTC)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _seconds(retry_after: str | None) -> float:
    """`Retry-After` in seconds (RFC 9110, section 10.2.3); a date there is not used by our server."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else DEFAULT_RETRY_S


def _detail(status: int, body: bytes) -> str:
    """Why the server refuses, in one line, as its problem document says it (RFC 9457)."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return f"it answers {status} without saying why"
    detail = content.get("detail") if isinstance(content, dict) else None
    return " ".join(str(detail)[:300].split()) if detail else f"it answers {status} without saying why"
