"""The device's private key: in a file, or in a token that never gives it out."""

from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from wayside_edge.errors import ConfigError


class Signer(Protocol):
    """A private key that signs."""

    def public_der(self) -> bytes:
        """DER of its SubjectPublicKeyInfo."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256, as DER."""


class FileKey:
    """A P-256 key in PEM."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def fresh(cls) -> "FileKey":
        """A new one."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def read(cls, path: Path) -> "FileKey":
        """The key in `path`.

        Raises:
            ConfigError: there is none that this device made.
        """
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} holds no private key without a passphrase") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{path} holds a key that is not of an elliptic curve; enrol this device anew")
        return cls(key)

    def pem(self) -> bytes:
        """PKCS#8, for a file of mode 0600."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def public_der(self) -> bytes:
        """See `Signer`."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message: bytes) -> bytes:
        """See `Signer`."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier ecdsa-with-SHA256 (RFC 5758, section 3.2)."""


def certificate_request(signer: Signer) -> bytes:
    """PKCS#10 in DER with an empty name: the server chooses it (RFC 2986, section 4).

    Put together here because libraries sign requests with keys that they hold themselves, and not with a token's.
    """
    info = _der(0x30, bytes.fromhex("020100") + _der(0x30, b"") + signer.public_der() + _der(0xA0, b""))
    return _der(0x30, info + _ECDSA_SHA256 + _der(0x03, b"\0" + signer.sign(info)))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
