"""How the server asks for the certificates of clients: of devices, and of nobody else.

The request that TLS sends for a certificate names the authorities whose certificates are wanted. Without names a
browser takes it for a request for any certificate, and asks a person with one from elsewhere (of their company, of
their card) which to show. Python's ssl module cannot set the names, so OpenSSL is told them here.
"""

import ctypes
import ssl
from collections.abc import Iterable
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from wayside_server.errors import ConfigError

log = structlog.get_logger(__name__)


def ask_for_certificates(context: ssl.SSLContext, ca_file: Path) -> None:
    """Lets `context` ask clients for a certificate that an authority in `ca_file` (PEM) has issued; none is fine too.

    Raises:
        ConfigError: the file cannot be used.
    """
    try:
        roots = x509.load_pem_x509_certificates(ca_file.read_bytes())
        context.load_verify_locations(ca_file)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise ConfigError(f"{ca_file} holds no certificates; run wayside-server init") from error
    context.verify_mode = ssl.CERT_OPTIONAL
    if not _name_authorities(context, roots):
        log.warning("browsers with certificates of others may ask which to show: this Python hides its OpenSSL")


def _name_authorities(context: ssl.SSLContext, roots: Iterable[x509.Certificate]) -> bool:
    """Puts the names of `roots` into the request for a certificate; False where OpenSSL cannot be reached."""
    library = _openssl()
    if library is None:
        return False
    # An SSLContext of CPython is its object's head and the SSL_CTX behind it (Modules/_ssl.c, PySSLContext).
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    # Some thirty bits that are ours: what is no SSL_CTX will not have them.
    if library.SSL_CTX_get_options(pointer) != context.options:
        return False
    for root in roots:
        der = root.public_bytes(serialization.Encoding.DER)
        start = ctypes.c_char_p(der)
        parsed = library.d2i_X509(None, ctypes.byref(start), len(der))
        # OpenSSL keeps a copy of the name.
        added = library.SSL_CTX_add_client_CA(pointer, parsed)
        library.X509_free(parsed)
        if added != 1:
            return False
    return True


def _openssl() -> ctypes.CDLL | None:
    """The OpenSSL that the ssl module uses; None when it is built into the interpreter."""
    # By its name only: the module is CPython's own affair, and other Pythons have none.
    file = getattr(getattr(ssl, "_ssl", None), "__file__", None)
    if file is None:
        return None
    library = ctypes.CDLL(file)
    try:
        library.SSL_CTX_get_options.argtypes = [ctypes.c_void_p]
        library.SSL_CTX_get_options.restype = ctypes.c_uint64
        library.SSL_CTX_add_client_CA.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        library.d2i_X509.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_char_p), ctypes.c_long]
        library.d2i_X509.restype = ctypes.c_void_p
        library.X509_free.argtypes = [ctypes.c_void_p]
    except AttributeError:
        return None
    return library
