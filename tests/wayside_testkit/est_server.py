"""An EST server over real HTTPS that keeps the contract of enrolment in memory; the real one passes the same suite."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from wayside_server.identity.authority import Authority, read_request
from wayside_shared.enrolment import (
    BROKER_HEADER,
    CACERTS_PATH,
    DEVICE_HEADER,
    SIMPLEENROLL_PATH,
    SIMPLEREENROLL_PATH,
    claim_code,
    new_token,
    parse_token,
)
from wayside_testkit.credentials import CredentialsFactory


class EstServer(Protocol):
    """What the contract suite needs of a server."""

    @property
    def url(self) -> str:
        """Its address."""

    def token(self, device: str) -> str:
        """A one-time token for this name."""

    def claim(self, code: str, device: str) -> None:
        """An operator typed `code` and chose this name."""

    def refuse(self, code: str) -> None:
        """An operator refused the device with this code."""

    def approve_renewal(self, device: str) -> None:
        """An operator agrees that this expired device gets a new certificate."""

    def revoke(self, device: str) -> None:
        """The device's certificates are good no more."""


class FakeEst:
    """See `EstServer`. What it is asked stands in `asked`, as method and path.

    Args:
        credentials: whose CA signs.
        broker: what devices are told.
    """

    def __init__(self, credentials: CredentialsFactory, broker: str = "broker.example:8883") -> None:
        self.credentials = credentials
        self.broker = broker
        self.authority: Authority = credentials.authority
        self.life = timedelta(days=90)
        self.begins_ago = timedelta(days=1)
        self.extra_roots: Sequence[x509.Certificate] = ()
        self.listed: Sequence[x509.Certificate] | None = None
        """Roots to show in place of the authority's and the extra ones."""
        self.retry_after_s = 1
        self.fault: int | None = None
        """Status that every question is answered with."""
        self.asked: list[tuple[str, str]] = []
        self.issued: list[x509.Certificate] = []
        self._tokens: dict[bytes, str] = {}
        self._claims: dict[str, str | None] = {}
        self._known: dict[bytes, str] = {}
        self._approved: set[str] = set()
        self._revoked: set[str] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def token(self, device: str) -> str:
        made = new_token(self.authority.fingerprint)
        self._tokens[made.digest] = device
        return str(made)

    def claim(self, code: str, device: str) -> None:
        self._claims[code] = device

    def refuse(self, code: str) -> None:
        self._claims[code] = None

    def approve_renewal(self, device: str) -> None:
        self._approved.add(device)

    def revoke(self, device: str) -> None:
        self._revoked.add(device)

    def know(self, certificate: x509.Certificate) -> None:
        """Take a certificate that was issued elsewhere for one of this server's."""
        der = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._known[der] = str(next(iter(certificate.subject)).value)

    def roots(self) -> list[x509.Certificate]:
        """What `cacerts` lists, without the issuing CA."""
        if self.listed is not None:
            return [*self.listed]
        return [*x509.load_pem_x509_certificates(self.authority.root_pem), *self.extra_roots]

    def answer(
        self, method: str, path: str, body: bytes, authorization: str, device: str | None, peer: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for one question."""
        self.asked.append((method, path))
        if self.fault is not None:
            return self.fault, {}, json.dumps({"detail": "out of order"}).encode()
        if (method, path) == ("GET", CACERTS_PATH):
            issuing = pkcs7.load_der_pkcs7_certificates(self.authority.cacerts_pkcs7())[-1:]
            return 200, {}, _pkcs7([*self.roots(), *issuing])
        key = _public(base64.b64decode(body))
        if path == SIMPLEREENROLL_PATH:
            return self._give(peer, key) if peer and peer not in self._revoked else _problem(403, "revoked or unknown")
        if path != SIMPLEENROLL_PATH:
            return _problem(404, "not found")
        if authorization:
            secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")[2]
            name = self._tokens.pop(parse_token(secret).digest, None)
            return self._give(name, key) if name else _problem(401, "the enrolment token was used before or is unknown")
        if device is not None:
            return self._renewed_late(device, key)
        code = claim_code(self.authority.fingerprint, key)
        name = self._claims.setdefault(code, "")
        if name is None:
            return _problem(403, "an operator refused this device")
        return self._give(name, key) if name else self._later()

    def _renewed_late(self, device: str, key: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._known.get(key) != device or device in self._revoked:
            return _problem(403, "this key is not known")
        if device not in self._approved:
            return self._later()
        self._approved.discard(device)
        return self._give(device, key)

    def _later(self) -> tuple[int, dict[str, str], bytes]:
        return 202, {"Retry-After": str(self.retry_after_s)}, b""

    def _give(self, name: str, key: bytes) -> tuple[int, dict[str, str], bytes]:
        public = read_public(key)
        began = datetime.now(UTC) - self.begins_ago + timedelta(days=1)
        days = self.life // timedelta(days=1)
        leaf = self.authority.issue_device(name, public, now=began, days=days)
        self._known[key] = name
        self.issued.append(leaf)
        chain = base64.encodebytes(self.authority.chain_pkcs7(leaf))
        return 200, {BROKER_HEADER: self.broker}, chain


def read_public(key: bytes):  # type: ignore[no-untyped-def]
    """The public key in this SubjectPublicKeyInfo."""
    return serialization.load_der_public_key(key)


def _public(request: bytes) -> bytes:
    return read_request(request).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _pkcs7(certificates: Sequence[x509.Certificate]) -> bytes:
    return base64.encodebytes(pkcs7.serialize_certificates([*certificates], serialization.Encoding.DER))


def _common_name(der: bytes | None) -> str | None:
    return None if der is None else str(next(iter(x509.load_der_x509_certificate(der).subject)).value)


def _problem(status: int, detail: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/problem+json"}, json.dumps({"detail": detail}).encode()


@contextmanager
def serving_est(est: FakeEst) -> Iterator[FakeEst]:
    """`est` answers within the block.

    Args:
        est: what to serve.
    """
    server = est.credentials.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert_file, server.key_file)
    context.load_verify_locations(server.ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            self._deal()

        def do_POST(self) -> None:
            self._deal()

        def _deal(self) -> None:
            assert isinstance(self.connection, ssl.SSLSocket)
            name = _common_name(self.connection.getpeercert(binary_form=True))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            authorization, device = self.headers.get("Authorization", ""), self.headers.get(DEVICE_HEADER)
            status, headers, content = est.answer(self.command, self.path, body, authorization, device, name)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    class Server(ThreadingHTTPServer):
        def get_request(self):  # type: ignore[no-untyped-def]
            link, address = self.socket.accept()
            return context.wrap_socket(link, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust this server ends the handshake: its test says what it expects."""
            del request, client_address

    with Server(("127.0.0.1", est.port), Handler) as http:
        est.port = http.server_address[1]
        thread = threading.Thread(target=lambda: http.serve_forever(0.02), daemon=True)
        thread.start()
        try:
            yield est
        finally:
            http.shutdown()
            thread.join()
