"""A private key in a PKCS#11 token, for certificate requests: made in it, and signing in it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity.settings import TokenSettings

try:
    import pkcs11
    from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature, encode_named_curve_parameters
except ImportError as missing:
    raise ConfigError("keys in tokens need python-pkcs11; type: pip install 'wayside[pkcs11]'") from missing


class TokenKey:
    """The P-256 key that `settings` names; it is made, never to leave the token, when there is none.

    Args:
        settings: where it is.

    Raises:
        ConfigError: the token, its library or its PIN is not as configured.
        TransientError: the token refuses.
    """

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._label = settings.attribute("object")
        with self._session() as session:
            keys = session.get_objects(self._sought(pkcs11.ObjectClass.PUBLIC_KEY))
            public = next(iter(keys), None)
            self._public = encode_ec_public_key(public if public is not None else self._make(session))

    def public_der(self) -> bytes:
        """See `Signer`."""
        return bytes(self._public)

    def sign(self, message: bytes) -> bytes:
        """See `Signer`."""
        with self._session() as session:
            private = next(iter(session.get_objects(self._sought(pkcs11.ObjectClass.PRIVATE_KEY))), None)
            if private is None:
                raise ConfigError(f"the token holds no private key {self._label!r}, only its public half")
            digest = hashlib.sha256(message).digest()
            return bytes(encode_ecdsa_signature(private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)))

    def remove(self) -> None:
        """Destroy both halves of the key."""
        with self._session() as session:
            for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
                for key in list(session.get_objects(self._sought(kind))):
                    key.destroy()

    def _sought(self, kind: Any) -> dict[Any, Any]:
        return {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: self._label}

    def _make(self, session: Any) -> Any:
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
        )
        never_out = {pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.SENSITIVE: True}
        public, _ = curve.generate_keypair(
            store=True, label=self._label, id=hashlib.sha256(self._label.encode()).digest()[:8],
            private_template=never_out,
        )  # fmt: skip
        return public

    @contextmanager
    def _session(self) -> Iterator[Any]:
        try:
            token = pkcs11.lib(str(self._settings.module)).get_token(token_label=self._settings.attribute("token"))
            with token.open(user_pin=self._settings.pin(), rw=True) as session:
                yield session
        except (pkcs11.NoSuchToken, pkcs11.MultipleTokensReturned) as error:
            raise ConfigError(f"there is not one token {self._settings.attribute('token')!r}; see its label") from error
        except pkcs11.PinIncorrect as error:
            raise ConfigError(f"the token does not take the PIN in {self._settings.pin_file}") from error
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise TransientError(f"the token refuses: {str(error) or type(error).__name__}") from error
