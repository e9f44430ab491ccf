"""Detached Ed25519 signatures of files (RFC 8032): the 64 bytes themselves, as `openssl pkeyutl -rawin` reads them."""

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wayside_shared.errors import ConfigError

SUFFIX: Final = ".sig"
KEY_MODE: Final = 0o600


def sign(file: Path, key: Path) -> Path:
    """Sign `file` with the key in the file `key`; both the signature's file beside it, which is returned.

    A key that is not there yet is made, readable for its owner alone, and its public half beside it as `<key>.pub`.

    Raises:
        ConfigError: the key is none, or others may read it; a file cannot be read or written.
    """
    try:
        if not key.exists():
            _make(key)
        private = _private(key)
        signature = file.with_name(file.name + SUFFIX)
        signature.write_bytes(private.sign(file.read_bytes()))
    except OSError as error:
        raise ConfigError(f"{error.strerror}", source=str(error.filename)) from error
    return signature


def verify(file: Path, key: Path) -> bool:
    """Whether the signature beside `file` is one of it, by the owner of the public key in the file `key`.

    Raises:
        ConfigError: there is no signature, or the key is none.
    """
    beside = file.with_name(file.name + SUFFIX)
    if not beside.exists():
        raise ConfigError(f"not signed: there is no {beside}; wayside-fw model sign makes it", source=str(file))
    if not key.exists():
        raise ConfigError("there is no such key; it is the .pub file beside the key that signed", source=str(key))
    try:
        public = serialization.load_pem_public_key(key.read_bytes())
        signature = beside.read_bytes()
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{error.strerror}", source=str(error.filename)) from error
    except ValueError as error:
        raise ConfigError("no public key in PEM", source=str(key)) from error
    if not isinstance(public, Ed25519PublicKey):
        raise ConfigError("no Ed25519 key", source=str(key))
    try:
        public.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _make(key: Path) -> None:
    private = Ed25519PrivateKey.generate()
    # The mode from the beginning on: there is no moment in which others can read it.
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_MODE), "wb") as file:
        file.write(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key.with_name(key.name + ".pub").write_bytes(public)


def _private(key: Path) -> Ed25519PrivateKey:
    if key.stat().st_mode & 0o077:
        raise ConfigError(f"others may read it; chmod {KEY_MODE:o} it", source=str(key))
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ConfigError("no private key in PEM without a password", source=str(key)) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError("no Ed25519 key", source=str(key))
    return private
