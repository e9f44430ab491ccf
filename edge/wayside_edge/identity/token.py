"""A private key in a PKCS#11 token, for TLS: OpenSSL's `pkcs11` engine signs with it, the key stays where it is.

Python's ssl module reads keys from files alone. The engine's key is therefore put into the SSLContext by OpenSSL's own
function, in the library that Python itself runs on. Where the SSLContext keeps OpenSSL's object is CPython's matter;
it is its first field in every release this was tested with, and what lies there is compared with what Python says of
it before it is used.
"""

import ctypes
import ssl
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity.settings import TokenSettings

KNOWN: Final = ((3, 11), (3, 14))
"""CPython releases, first and last, whose SSLContext begins as this module expects, by their sources; run with 3.11."""
_LOAD_CONFIG_AND_DYNAMIC: Final = 0x02 | 0x400 | 0x200 | 0x100
"""OPENSSL_INIT_LOAD_CRYPTO_STRINGS, ENGINE_DYNAMIC, ENGINE_RDRAND and ENGINE_OPENSSL of OpenSSL's crypto.h."""


def present_files(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    """Make `context` show this certificate.

    Raises:
        OSError: a file cannot be used.
    """
    context.load_cert_chain(cert_file, key_file)


_keys: dict[TokenSettings, int] = {}


def present_token(context: ssl.SSLContext, cert_file: Path, token: TokenSettings) -> None:
    """Make `context` show this certificate, and sign with the key in `token`.

    Raises:
        ConfigError: this Python or this OpenSSL cannot do that, or the token is not as configured.
        TransientError: the token does not answer, or its key is not that of the certificate.
    """
    native = _native()
    target = _native_context(native, context)
    if token not in _keys:
        # Once a process: a token has few sessions, and logging in anew for each connection would use them up.
        _keys[token] = _load(native, token)
    if native.SSL_CTX_use_certificate_chain_file(target, str(cert_file).encode()) != 1:
        raise TransientError(f"cannot use {cert_file}; enrol this device with wayside-edge enroll")
    if native.SSL_CTX_use_PrivateKey(target, _keys[token]) != 1 or native.SSL_CTX_check_private_key(target) != 1:
        raise TransientError(f"the key {token.uri} is not that of {cert_file}; enrol this device anew")


def _load(native: ctypes.CDLL, token: TokenSettings) -> int:
    label, name = token.attribute("token"), token.attribute("object")
    native.OPENSSL_init_crypto(_LOAD_CONFIG_AND_DYNAMIC, None)
    engine = native.ENGINE_by_id(b"pkcs11")
    if not engine:
        raise ConfigError("OpenSSL has no engine for tokens; type: apt install libengine-pkcs11-openssl")
    orders = ((b"MODULE_PATH", str(token.module)), (b"PIN", token.pin()))
    if not all(native.ENGINE_ctrl_cmd_string(engine, order, value.encode(), 0) for order, value in orders):
        raise ConfigError(f"OpenSSL's engine for tokens does not take {token.module}; correct pkcs11_module")
    if not native.ENGINE_init(engine):
        raise TransientError(f"the token's library {token.module} does not start; is the token there?")
    uri = f"pkcs11:token={label};object={name};type=private"
    key = native.ENGINE_load_private_key(engine, uri.encode(), None, None)
    if not key:
        raise TransientError(f"no key {name!r} in the token {label!r}, or its PIN in {token.pin_file} is wrong")
    return int(key)


def _native() -> ctypes.CDLL:
    """OpenSSL as Python's ssl module is linked with it: the module's own handle reaches it."""
    import _ssl

    first, last = KNOWN
    usual = not sysconfig.get_config_var("Py_TRACE_REFS") and not sysconfig.get_config_var("Py_GIL_DISABLED")
    if sys.implementation.name != "cpython" or not first <= sys.version_info[:2] <= last or not usual:
        raise ConfigError(f"keys in tokens work with CPython {first[1]} to {last[1]} of 3; this is {sys.version}")
    native = ctypes.CDLL(_ssl.__file__)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    shapes: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "OPENSSL_init_crypto": (ctypes.c_int, (ctypes.c_uint64, pointer)),
        "ENGINE_by_id": (pointer, (text,)),
        "ENGINE_ctrl_cmd_string": (ctypes.c_int, (pointer, text, text, ctypes.c_int)),
        "ENGINE_init": (ctypes.c_int, (pointer,)),
        "ENGINE_load_private_key": (pointer, (pointer, text, pointer, pointer)),
        "SSL_CTX_get_options": (ctypes.c_uint64, (pointer,)),
        "SSL_CTX_use_certificate_chain_file": (ctypes.c_int, (pointer, text)),
        "SSL_CTX_use_PrivateKey": (ctypes.c_int, (pointer, pointer)),
        "SSL_CTX_check_private_key": (ctypes.c_int, (pointer,)),
    }
    try:
        for name, (result, arguments) in shapes.items():
            function = getattr(native, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise ConfigError(f"this Python's OpenSSL cannot use keys in tokens: {error}") from error
    return native


def _native_context(native: ctypes.CDLL, context: ssl.SSLContext) -> int:
    address = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if not address or native.SSL_CTX_get_options(address) != int(context.options):
        raise ConfigError("this Python keeps OpenSSL's context elsewhere; keys in tokens do not work with it")
    return address
