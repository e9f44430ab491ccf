"""The host driver: rates from counters, and this machine for real."""

from pathlib import Path

import pytest

from wayside_edge.drivers.host import Host, HostSettings
from wayside_edge.errors import BusError
from wayside_edge.hal.system import System

REST = "0 0 0 0 0 0 0"


class Machine:
    """A /proc whose counters a test sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_ns = 10**9
        (root / "proc/net").mkdir(parents=True)
        (root / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
        self.count(busy=100, idle=100, received=1000, sent=1000)

    def count(self, busy: int, idle: int, received: int, sent: int) -> None:
        (self.root / "proc/stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\n")
        (self.root / "proc/net/dev").write_text(f"-\n-\neth0: {received} {REST} {sent} {REST}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def host(machine: Machine) -> Host:
    driver = Host(HostSettings(), System(machine.root), lambda: machine.now_ns)
    driver.start()
    return driver


def values(host: Host) -> dict[str, float]:
    return {reading.name: float(reading.value) for reading in host.read()}


def test_loads_and_rates_are_means_since_the_read_before(machine: Machine, host: Host) -> None:
    machine.now_ns += 2 * 10**9
    machine.count(busy=125, idle=175, received=5000, sent=2000)
    found = values(host)
    assert (found["cpu_load"], found["network_received"], found["network_sent"]) == (25.0, 2000.0, 500.0)
    assert (found["memory_used"], found["memory_available"]) == (60.0, 400 * 1024)
    machine.now_ns += 10**9
    machine.count(busy=225, idle=175, received=5000, sent=2000)
    found = values(host)
    assert (found["cpu_load"], found["network_received"]) == (100.0, 0.0)


def test_counters_that_begin_again_give_no_rate(machine: Machine, host: Host) -> None:
    machine.now_ns += 10**9
    machine.count(busy=110, idle=110, received=5, sent=5)
    assert "network_received" not in values(host)
    machine.now_ns += 10**9
    machine.count(busy=120, idle=120, received=1005, sent=5)
    assert values(host)["network_received"] == 1000.0


def test_reads_in_quick_succession_share_one_load(machine: Machine, host: Host) -> None:
    machine.now_ns += 60_000_000
    machine.count(busy=106, idle=100, received=1100, sent=1000)
    assert "cpu_load" not in values(host)
    machine.now_ns += 60_000_000
    machine.count(busy=109, idle=103, received=1120, sent=1000)
    found = values(host)
    assert (found["cpu_load"], found["network_received"]) == (75.0, 1000.0)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("stat", b""),
        ("stat", b"cpu\n"),
        ("stat", b"cpu  1 1\n"),
        ("stat", b"cpu  a b c d e f g h\n"),
        ("stat", b"\xff\n"),
        ("stat", b"cpu  " + b"9" * 400 + b" 1 1 1 1 1 1 1 0 0\n"),
        ("stat", b"cpu  -5 1 1 1 1 1 1 1 0 0\n"),
        ("meminfo", b""),
        ("meminfo", b"MemTotal: 4 kB\n"),
        ("meminfo", b"MemTotal: x kB\nMemAvailable: 1 kB\n"),
        ("meminfo", b"MemTotal: " + b"9" * 400 + b" kB\nMemAvailable: 1 kB\n"),
        ("meminfo", b"\xff"),
        ("net/dev", b"-\n-\neth0: 1 0\n"),
        ("net/dev", b"-\n-\neth0: a\n"),
        ("net/dev", b"-\n-\n\xff: \xff\n"),
    ],
)
def test_a_file_that_is_short_or_garbled_is_named(machine: Machine, host: Host, file: str, content: bytes) -> None:
    machine.now_ns += 10**9
    (machine.root / "proc" / file).write_bytes(content)
    with pytest.raises(BusError, match=f"{machine.root}/proc/{file} (is not as|has no line)"):
        host.read()
    (machine.root / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
    machine.count(busy=125, idle=175, received=5000, sent=2000)
    assert values(host)["memory_used"] == 60.0


@pytest.mark.parametrize("content", [b"", b"\xff\n", b"9" * 400])
def test_a_temperature_that_is_no_number_is_named(machine: Machine, content: bytes) -> None:
    zone = machine.root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_bytes(content)
    driver = Host(HostSettings(), System(machine.root), lambda: machine.now_ns)
    driver.start()
    with pytest.raises(BusError, match="thermal_zone0/temp is not as"):
        driver.read()


def test_this_machine_for_real() -> None:
    host = Host(HostSettings(), System())
    host.start()
    found = values(host)
    assert found["memory_available"] > 0
    assert found["disk_available"] > 0
    assert 0 <= found["memory_used"] <= 100
