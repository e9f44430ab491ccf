"""The shipped units: how much they leave open, by systemd's own count, and what the programs need of it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))
MOST_EXPOSURE = 2.0
"""Of 10; an unprotected unit has 9.6."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def analyze(*arguments: str | Path) -> str:
    return subprocess.run(["systemd-analyze", *arguments], check=True, capture_output=True, text=True).stdout


def settings(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def edge() -> Path:
    return next(unit for unit in UNITS if unit.stem == "wayside-edge")


def system_calls(name: str) -> set[str]:
    """The calls of a set such as `@clock`, sets within it too; a single call is itself."""
    if not name.startswith("@"):
        return {name}
    lines = [line.strip() for line in analyze("syscall-filter", name).splitlines()[1:]]
    members = [line for line in lines if line and not line.startswith("#")]
    return set().union(*(system_calls(member) for member in members))


def allowed(unit: Path) -> set[str]:
    """What the lines of SystemCallFilter=, the first of which allows, let through (systemd.exec(5))."""
    calls: set[str] = set()
    for line in settings(unit, "SystemCallFilter"):
        named = set().union(*(system_calls(name) for name in line.removeprefix("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def test_there_are_units() -> None:
    assert [unit.stem for unit in UNITS] == [
        "wayside-broker-reload",
        "wayside-broker",
        "wayside-edge",
        "wayside-server",
    ]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_leaves_little_open(unit: Path) -> None:
    found = re.search(r"exposure level for \S+: ([\d.]+)", analyze("security", "--offline=yes", "--no-pager", unit))
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSURE


@needs_systemd
def test_the_agent_may_ask_whether_the_time_is_synchronised() -> None:
    # glibc asks by the second name where the kernel has it.
    assert {"adjtimex", "clock_adjtime"} <= allowed(edge())
    assert settings(edge(), "ProtectClock") == []


@needs_systemd
def test_the_agent_may_make_its_outbox_durable() -> None:
    assert {"fsync", "fdatasync", "fallocate", "flock", "pwrite64", "rename", "link"} <= allowed(edge())


def test_the_agent_reaches_its_buses() -> None:
    assert settings(edge(), "DevicePolicy") == ["closed"]
    assert {"char-i2c rw", "char-spi rw", "char-spidev rw", "char-gpiochip rw"} <= set(settings(edge(), "DeviceAllow"))
    assert settings(edge(), "PrivateDevices") == []


def test_the_agent_starts_in_a_folder_that_it_can_write() -> None:
    assert settings(edge(), "WorkingDirectory") == [f"/var/lib/{name}" for name in settings(edge(), "StateDirectory")]


def test_an_agent_that_hangs_is_begun_anew_for_ever() -> None:
    expected = {"Type": "notify", "NotifyAccess": "main", "WatchdogSec": "30", "Restart": "always"}
    expected |= {"StartLimitIntervalSec": "0"}
    assert {name: settings(edge(), name) for name in expected} == {name: [value] for name, value in expected.items()}
