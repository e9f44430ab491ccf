"""What the database must hold but not tell: sealed with a key that only the installation's folder has."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home, make_folder, read_whole, write_whole

KEY_BYTES = 32
_NONCE_BYTES = 12
"""96 bits, as NIST SP 800-38D section 8.2.2 wants random ones; 2^32 texts may be sealed with one key."""


class SealBrokenError(Exception):
    """What was to be opened was sealed with another key, for another purpose, or was changed."""


class SecretBox:
    """Seals with AES-256-GCM.

    Args:
        key: KEY_BYTES random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, text: bytes, purpose: str) -> bytes:
        """`text`, sealed for `purpose`: what is sealed for one opens for no other."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """The text that was sealed.

        Raises:
            SealBrokenError: it was not sealed with this key for this purpose.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError(purpose) from error


def ensure_box_key(home: Home) -> None:
    """Makes the key when there is none.

    Raises:
        ConfigError: it cannot be written.
    """
    make_folder(home.secret_key.parent)
    if not home.secret_key.exists():
        write_whole(home.secret_key, secrets.token_bytes(KEY_BYTES), mode=0o600)


def load_box(home: Home) -> SecretBox:
    """The box of the installation.

    Raises:
        ConfigError: its key is missing or cut off.
    """
    key = read_whole(home.secret_key)
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{home.secret_key} is not {KEY_BYTES} bytes long; restore it from a backup")
    return SecretBox(key)
