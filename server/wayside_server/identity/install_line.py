"""The one line that makes a machine a device: what people are shown when they make a token."""

import base64
import hashlib
import shlex
from collections.abc import Callable
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home, read_whole

SCRIPT_PATH = "/install.sh"


def install_line(url: str, pin: str | None, token: str | None) -> str:
    """The line to paste into a board's terminal, by a user who may sudo.

    curl cannot check the server's certificate, which comes from the installation's own CA; the pin makes it take the
    script from the holder of the server's key and from nobody else. The token goes through a pipe, because arguments
    of programs can be read by every user of the board.

    Args:
        url: where boards reach the server, https://host:port.
        pin: of the server's key, from `server_pin`; None when a proxy with a publicly trusted certificate is there.
        token: the enrolment token; None when an operator will claim the device.
    """
    unverified = f"-k --pinnedpubkey {shlex.quote(pin)} " if pin is not None else ""
    download = f"curl -fsS {unverified}{shlex.quote(url + SCRIPT_PATH)}"
    if token is not None:
        download = f"{{ echo WAYSIDE_TOKEN={shlex.quote(token)}; {download}; }}"
    return f"{download} | sudo sh"


def line_for(home: Home, url: str, *, own_ca: bool) -> Callable[[str], str]:
    """Makes of a token what to type on a device to install the agent and enrol it.

    Args:
        home: the installation.
        url: where boards reach the server.
        own_ca: whether it shows a certificate of the installation's own CA there.

    Raises:
        ConfigError: the server's certificate is missing or broken.
    """
    return partial(install_line, url, server_pin(home) if own_ca else None)


def server_pin(home: Home) -> str:
    """The pin of the key that the API serves with, as curl takes it; renewed certificates keep the key.

    Raises:
        ConfigError: the certificate is missing or broken.
    """
    try:
        certificate = x509.load_pem_x509_certificate(read_whole(home.certificate("api")))
    except ValueError as error:
        raise ConfigError(f"{home.certificate('api')} is broken; remove it and run wayside-server init") from error
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "sha256//" + base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
