"""Locked requirements: exact versions with the SHA-256 of every file that may be taken for them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from wayside_server.errors import ConfigError

_SHIPPED = Path(__file__).parent / "locks"
_CHECKOUT = Path(__file__).parents[3] / "requirements"
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;(?P<marker>[^\\]*))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One locked requirement.

    Args:
        project: its name, normalised (PEP 503).
        version: the only version taken.
        marker: for which Pythons and systems; None for all.
        hashes: SHA-256 of the files that are taken, in hexadecimal.
    """

    project: str
    version: str
    marker: str | None
    hashes: tuple[str, ...]

    def holds_in(self, environment: dict[str, str]) -> bool:
        """Whether it is wanted in this environment (PEP 508)."""
        return self.marker is None or Marker(self.marker).evaluate(environment)

    def __str__(self) -> str:
        head = f"{self.project}=={self.version}" + (f" ; {self.marker}" if self.marker else "")
        return " \\\n    ".join([head, *(f"--hash=sha256:{digest}" for digest in self.hashes)])


def parse(text: str) -> list[Pin]:
    """The pins of a requirements file as `make lock` writes it."""
    pins = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        found = _PIN.match(block)
        if found is not None:
            marker = (found["marker"] or "").strip() or None
            name = str(canonicalize_name(found["name"]))
            pins.append(Pin(name, found["version"], marker, tuple(_HASH.findall(block))))
    return pins


def render(pins: Iterable[Pin]) -> str:
    """A requirements file with these pins, for pip's --require-hashes."""
    return "".join(f"{pin}\n" for pin in pins)


def locked(name: str) -> list[Pin]:
    """The pins that this version of Wayside was tested with.

    Args:
        name: `edge`, `compute` (which holds edge too) or `installer` (pip itself).

    Raises:
        ConfigError: the file is missing: the installation is not whole.
    """
    for folder in (_SHIPPED, _CHECKOUT):
        file = folder / f"{name}.lock"
        if file.is_file():
            return parse(file.read_text(encoding="utf-8"))
    raise ConfigError(f"{_SHIPPED / name}.lock is missing; install wayside again")
