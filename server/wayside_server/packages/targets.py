"""Kinds of board that packages are fetched for: a machine and a version of Python."""

from dataclasses import dataclass

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wayside_server.errors import ConfigError

MACHINES = ("aarch64", "x86_64")
"""Not armv7l: cbor2 has no wheels for it."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
DEFAULT_MACHINES = ("aarch64", "x86_64")
DEFAULT_PYTHONS = ("3.11", "3.12", "3.13")
"""Of Debian 12, Ubuntu 24.04 and Debian 13, and so of Raspberry Pi OS."""

_OLDEST_GLIBC = 17
_GLIBC = {"3.11": 36, "3.12": 39}
"""Minor version of glibc 2 in the oldest system that has this Python as its own: Debian 12, Ubuntu 24.04."""
_LATER_GLIBC = 41
"""That of Debian 13, the oldest with 3.13."""


@dataclass(frozen=True, order=True, slots=True)
class Target:
    """A kind of board.

    Args:
        machine: as `uname -m` says.
        python: major and minor version.
    """

    machine: str
    python: str

    def __str__(self) -> str:
        return f"{self.machine}-{self.python}"

    @property
    def platforms(self) -> list[str]:
        """Platform tags of the wheels that run there (PEP 600 and those before it), the newest first."""
        newest = _GLIBC.get(self.python, _LATER_GLIBC)
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(newest, _OLDEST_GLIBC - 1, -1)]
        older = ["manylinux2014", "manylinux2010", "manylinux1"] if self.machine == "x86_64" else ["manylinux2014"]
        return [*tags, *(f"{name}_{self.machine}" for name in older), f"linux_{self.machine}"]

    def takes(self, wheel: str) -> bool:
        """Whether the wheel of this file name runs there; what is no wheel does not."""
        try:
            tags = parse_wheel_filename(wheel)[3]
        except InvalidWheelFilename:
            return False
        version = tuple(int(part) for part in self.python.split("."))
        native = cpython_tags(version, platforms=self.platforms)
        return not tags.isdisjoint({*native, *compatible_tags(version, f"cp{version[0]}{version[1]}", self.platforms)})

    @property
    def environment(self) -> dict[str, str]:
        """What markers are evaluated against (PEP 508)."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }


def targets(machines: list[str], pythons: list[str]) -> list[Target]:
    """Every combination; empty lists mean the usual ones.

    Raises:
        ConfigError: one is not known; the message names those that are.
    """
    for given, known, option in ((machines, MACHINES, "--platform"), (pythons, PYTHONS, "--python")):
        for value in given:
            if value not in known:
                raise ConfigError(f"{option} {value}: must be one of {', '.join(known)}")
    return sorted(
        {Target(m, p) for m in machines or DEFAULT_MACHINES for p in pythons or DEFAULT_PYTHONS},
        key=lambda target: (target.machine, PYTHONS.index(target.python)),
    )
