"""The two outside watchdogs: what systemd is told, and what the hardware is given."""

import socket
from pathlib import Path

import pytest

from wayside_edge.hal.watchdog import HardwareWatchdog, WatchdogError
from wayside_edge.health.systemd import ServiceManager


@pytest.mark.parametrize("abstract", [False, True])
def test_lines_reach_the_service_manager_by_path_and_by_name(tmp_path: Path, abstract: bool) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + path if abstract else path)
        manager = ServiceManager({"NOTIFY_SOCKET": "@" + path if abstract else path})
        assert manager.tell("READY=1", "STATUS=well")
        assert end.recv(1000) == b"READY=1\nSTATUS=well"


def test_nobody_is_told_where_nobody_listens(tmp_path: Path) -> None:
    assert not ServiceManager({}).tell("READY=1")
    assert not ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")}).tell("READY=1")


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert not all(manager.tell("WATCHDOG=1") for _ in range(100_000))


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
    ],
)
def test_who_is_watched(environment: dict[str, str], watchdog_s: float | None) -> None:
    assert ServiceManager(environment, pid=7).watchdog_s == watchdog_s


@pytest.mark.parametrize(("disarm", "end"), [(True, b"V"), (False, b"")])
def test_the_hardware_is_fed_and_disarmed_by_magic(tmp_path: Path, disarm: bool, end: bytes) -> None:
    # A file takes what is written and knows no ioctl, as the smallest drivers do.
    file = tmp_path / "watchdog"
    file.touch()
    device = HardwareWatchdog(file)
    device.open(14)
    assert device.held
    device.feed()
    assert (device.timeout_s, device.reset_causes()) == (0, ())
    device.close(disarm=disarm)
    device.feed()
    device.close(disarm=disarm)
    assert not device.held
    assert file.read_bytes() == b"\0\0" + end


def test_a_watchdog_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(WatchdogError, match="there is none: load its kernel module") as caught:
        HardwareWatchdog(tmp_path / "watchdog").open(14)
    assert caught.value.absent
    assert not caught.value.busy


def test_a_watchdog_that_takes_nothing_any_more_is_left_alone() -> None:
    device = HardwareWatchdog(Path("/dev/full"))  # every write fails
    device.open(14)
    assert not device.held
