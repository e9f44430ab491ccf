"""The script that installs an agent, made out for one server; it holds no secret."""

import shlex
from dataclasses import dataclass
from pathlib import Path

_TEMPLATE = Path(__file__).with_name("install.sh")


@dataclass(frozen=True, slots=True)
class Site:
    """Where boards find a server, and whom they believe that it is the server.

    Args:
        url: of the packages, https://….
        enrol_url: of the server itself, where devices enrol; no proxy ends the TLS there.
        root_pem: the root certificate of the installation.
    """

    url: str
    enrol_url: str
    root_pem: str

    @property
    def trust(self) -> str:
        """`server`: the installation's own CA; `system`: publicly trusted, because a proxy shows the packages."""
        return "server" if self.url == self.enrol_url else "system"


def installer(site: Site) -> str:
    """install.sh for the boards of `site`."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    values = {"@SERVER@": site.url, "@ENROL_AT@": site.enrol_url, "@TRUST@": site.trust, "@ROOT@": site.root_pem}
    for name, value in values.items():
        text = text.replace(name, shlex.quote(value), 1)
    return text


def excuse(reason: str) -> str:
    """A script that says why there is nothing to install, for whoever pipes it into a shell."""
    return f"#!/bin/sh\nprintf 'wayside: %s\\n' {shlex.quote(reason)} >&2\nexit 1\n"
