"""Heads of the audit log, told outside of the database: signed lines in a file, which may be shipped elsewhere.

A chain of hashes shows a change in its middle. Whoever can write the whole table can make another chain; the heads that
were told before then do not fit.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wayside_server.domain.moments import to_text
from wayside_server.errors import ConfigError
from wayside_server.identity.home import read_whole, write_whole

CONTEXT: Final = "wayside-audit-head-1"
"""Begins what is signed, so that the signature can be taken for nothing else."""


class Heads:
    """The file of heads and the key that signs them.

    Args:
        folder: holds `heads.jsonl`, `key.pem` (0600) and `public.pem`; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "heads.jsonl"
        self.public_file = folder / "public.pem"
        self._key_file = folder / "key.pem"
        self._folder = folder

    def tell(self, number: int, head: bytes, now: datetime) -> str:
        """Adds a line, durably, and gives it back for the journal.

        Args:
            number: of the last entry.
            head: its hash.
            now: the time, aware.

        Raises:
            ConfigError: the folder cannot be written.
        """
        said = {"entry": number, "hash": head.hex(), "at": to_text(now)}
        signature = base64.b64encode(self._key().sign(_signed(said))).decode()
        line = json.dumps(said | {"signature": signature})
        try:
            handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ConfigError(f"cannot write {self.file}: {error.strerror}") from error
        return line

    def _key(self) -> Ed25519PrivateKey:
        if not self._key_file.exists():
            self._make_key()
        try:
            key = serialization.load_pem_private_key(read_whole(self._key_file), None)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{self._key_file} is no private key; restore it from a backup") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{self._key_file} is no Ed25519 key; restore it from a backup")
        return key

    def _make_key(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make {self._folder}: {error.strerror}") from error
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_whole(self.public_file, public)
        write_whole(self._key_file, private, mode=0o600)


def read_heads(file: Path, public_file: Path) -> dict[int, bytes]:
    """Hashes by the number of their entry, from a file of heads or a copy of it.

    Raises:
        ConfigError: a line is not signed by the key, or contradicts another; it names the line.
    """
    try:
        public = serialization.load_pem_public_key(read_whole(public_file))
    except ValueError as error:
        raise ConfigError(f"{public_file} is no public key") from error
    if not isinstance(public, Ed25519PublicKey):
        raise ConfigError(f"{public_file} is no Ed25519 key")
    heads: dict[int, bytes] = {}
    for place, line in enumerate(_lines(file), start=1):
        number, head = _checked(line, public, f"{file}, line {place}")
        if heads.setdefault(number, head) != head:
            raise ConfigError(f"{file}, line {place}: entry {number} had another hash before: the log was written anew")
    return heads


def _lines(file: Path) -> Iterable[str]:
    return read_whole(file).decode("utf-8", "replace").splitlines()


def _checked(line: str, public: Ed25519PublicKey, where: str) -> tuple[int, bytes]:
    try:
        said: dict[str, Any] = json.loads(line)
        signature = base64.b64decode(said.pop("signature"), validate=True)
        public.verify(signature, _signed(said))
        return int(said["entry"]), bytes.fromhex(said["hash"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, InvalidSignature) as error:
        raise ConfigError(f"{where}: this is no head that the key signed; it was changed or cut off") from error


def _signed(said: dict[str, Any]) -> bytes:
    return json.dumps([CONTEXT, said["entry"], said["hash"], said["at"]]).encode()
