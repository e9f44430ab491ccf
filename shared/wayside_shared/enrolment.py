"""What a device and the server must agree on before they know each other: the one-time token and the resources.

A token is `wst1.<secret>.<fingerprint>`: a secret of 32 random bytes and the SHA-256 of the root certificate (DER),
both in base64url without padding. Whoever hands over the token hands over the trust: the device accepts exactly the
CA that the token names (the explicit bootstrap of RFC 7030 section 4.1.1, with the comparison done by the agent
instead of by a person).
"""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass

from wayside_shared.errors import ConfigError

TOKEN_VERSION = "wst1"  # noqa: S105 - a version, not a secret
SECRET_BYTES = 32
FINGERPRINT_BYTES = 32

CACERTS_PATH = "/.well-known/est/cacerts"
SIMPLEENROLL_PATH = "/.well-known/est/simpleenroll"
SIMPLEREENROLL_PATH = "/.well-known/est/simplereenroll"

BROKER_HEADER = "Wayside-Broker"
"""Of an answer with a certificate: `host:port` of the broker."""
DEVICE_HEADER = "Wayside-Device"
"""Of a request for a certificate after the last one has ended: the device's name."""

CLAIM_LETTERS = 12
"""60 bits: an attacker has minutes until an operator has typed the code, and needs a key whose code is that one."""

BROKER_HEADER = "Wayside-Broker"
"""Of an answer with a certificate: `host:port` of the broker."""
DEVICE_HEADER = "Wayside-Device"
"""Of a request for a certificate after the last one has ended: the device's name."""

CLAIM_LETTERS = 12
"""60 bits: an attacker has minutes until an operator has typed the code, and needs a key whose code is that one."""

MAX_REQUEST_BYTES = 16 * 1024
"""A certificate request with the largest key taken (RSA 8192) is under 4 KiB, in base64 under 6 KiB."""
MAX_ANSWER_BYTES = 64 * 1024
"""A leaf, an intermediate and a root are under 4 KiB; a device reads no more than this from a server it tests."""


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """A parsed token.

    Args:
        secret: 32 random bytes; the server keeps their SHA-256 only.
        fingerprint: SHA-256 of the DER of the root certificate to trust.
    """

    secret: bytes
    fingerprint: bytes

    def __str__(self) -> str:
        return f"{TOKEN_VERSION}.{_text(self.secret)}.{_text(self.fingerprint)}"

    def __repr__(self) -> str:
        return "EnrolmentToken(…)"

    @property
    def digest(self) -> bytes:
        """What the server stores and looks up: SHA-256 of the secret."""
        return hashlib.sha256(self.secret).digest()


def new_token(fingerprint: bytes) -> EnrolmentToken:
    """A fresh random token for the root certificate with this SHA-256."""
    return EnrolmentToken(secrets.token_bytes(SECRET_BYTES), fingerprint)


def parse_token(text: str) -> EnrolmentToken:
    """The token in `text`; space around it is ignored, because tokens are pasted.

    Raises:
        ConfigError: it is not a token; the message does not repeat it.
    """
    parts = text.strip().split(".")
    if len(parts) != 3 or parts[0] != TOKEN_VERSION:
        raise ConfigError(f"this is not an enrolment token: it must look like {TOKEN_VERSION}.<secret>.<fingerprint>")
    secret, fingerprint = (_bytes(part) for part in parts[1:])
    if len(secret) != SECRET_BYTES or len(fingerprint) != FINGERPRINT_BYTES:
        raise ConfigError("the enrolment token is cut short or altered; copy it again as a whole")
    return EnrolmentToken(secret, fingerprint)


def claim_code(root_fingerprint: bytes, key_der: bytes) -> str:
    """What an operator types to claim a device that came without a token; both sides compute it from what they see.

    Args:
        root_fingerprint: SHA-256 of the DER of the root certificate.
        key_der: DER of the device key's SubjectPublicKeyInfo.

    Returns:
        Twelve letters and digits of base32; people read them as XXXX-XXXX-XXXX.
    """
    digest = hashlib.sha256(b"wayside-claim-1" + root_fingerprint + hashlib.sha256(key_der).digest()).digest()
    return base64.b32encode(digest).decode("ascii")[:CLAIM_LETTERS]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return b""
