"""Clock and /proc readings: of this machine, and of a recorded tree."""

import errno
import time
from pathlib import Path

import pytest

from wayside_edge.errors import BusError, ConfigError
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.hal.i2c import SmbusI2c, SmbusLike
from wayside_edge.hal.system import System
from wayside_shared.settings import Table


def tree(root: Path, files: dict[str, str]) -> System:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return System(root)


STAT = "cpu  100 10 50 800 40 5 5 10 7 0\ncpu0 50 5 25 400 20 0 0 0 0 0\n"
REST = "1 0 0 0 0 0 0"
NET = (
    "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n"
    f"    lo: 500 {REST} 500 {REST}\n"
    f"  eth0: 1000 {REST} 300 {REST}\n"
    f" wlan0: 20 {REST} 30 {REST}\n"
)


def test_this_machine_answers() -> None:
    system = System()
    assert system.cpu_times().total > 0
    assert 0 < system.memory().available <= system.memory().total
    assert 0 <= system.disk(Path("/")).used_percent <= 100
    assert system.traffic().received >= 0


def test_cpu_counts_guest_time_once_and_waiting_as_idle(tmp_path: Path) -> None:
    times = tree(tmp_path, {"proc/stat": STAT}).cpu_times()
    assert (times.busy, times.total) == (180, 1020)


def test_traffic_leaves_the_loopback_out(tmp_path: Path) -> None:
    system = tree(tmp_path, {"proc/net/dev": NET})
    assert (system.traffic().received, system.traffic().sent) == (1020, 330)
    assert (system.traffic(["wlan0"]).received, system.traffic(["wlan0"]).sent) == (20, 30)


def test_memory_is_in_bytes(tmp_path: Path) -> None:
    memory = tree(tmp_path, {"proc/meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n"}).memory()
    assert (memory.total, memory.available, memory.used_percent) == (1_024_000, 256_000, 75.0)


def test_the_processor_is_found_among_thermal_zones(tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone"
    files = {f"{zone}0/type": "gpu-thermal\n", f"{zone}0/temp": "1\n", f"{zone}1/type": "cpu-thermal\n"}
    system = tree(tmp_path, {**files, f"{zone}1/temp": "48312\n"})
    file = system.cpu_temperature_file()
    assert file is not None
    assert system.temperature(file) == 48.312


def test_the_processor_is_found_among_hwmon_chips(tmp_path: Path) -> None:
    monitor = "sys/class/hwmon/hwmon3"
    system = tree(tmp_path, {f"{monitor}/name": "k10temp\n", f"{monitor}/temp1_input": "51000\n"})
    file = system.cpu_temperature_file()
    assert file is not None
    assert system.temperature(file) == 51.0


def test_no_thermometer_is_no_failure(tmp_path: Path) -> None:
    assert System(tmp_path).cpu_temperature_file() is None


def test_what_is_missing_is_a_bus_error(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="proc/stat"):
        System(tmp_path).cpu_times()


def test_the_clock_of_this_machine() -> None:
    clock = SystemClock(ClockSettings())
    assert abs(clock.wall_ns() - time.time_ns()) < 10**9
    assert clock.boottime_ns() < clock.boottime_ns() + 1
    assert len(clock.boot_id()) == 16
    assert clock.boot_id() == SystemClock(ClockSettings()).boot_id()
    assert clock.synced() in (True, False)


def test_a_trusted_clock_is_synced() -> None:
    assert SystemClock(ClockSettings(trust_system=True)).synced()


def test_a_missing_boot_id_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="is /proc mounted"):
        SystemClock(ClockSettings(), tmp_path).boot_id()


def i2c_bus(name: str, number: int) -> BusSettings:
    return BusSettings(name=name, kind="i2c", options=Table({"number": number}))


def test_a_missing_adapter_is_a_bus_error_with_the_fix() -> None:
    with pytest.raises(BusError, match="no such bus: enable I2C"):
        Buses([i2c_bus("main", 999)]).i2c("main")


def test_an_unknown_bus_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'main'"):
        Buses([i2c_bus("main", 999)]).i2c("mian")


def test_a_registered_kind_is_opened_with_the_rest_of_its_table() -> None:
    chips = [{"model": "bme280", "address": 0x77}]
    buses = Buses([BusSettings(name="sim", kind="simulated", options=Table({"chips": chips}))])
    assert buses.i2c("sim").write_read(0x77, b"\xd0", 1) == b"\x60"
    assert buses.i2c("sim") is buses.i2c("sim")
    buses.close()


def test_a_mistake_in_a_registered_kind_names_the_table() -> None:
    table = Table({"chips": [{"model": "bme380"}]}, ("bus", 0), {("bus", 0): 7}, "edge.toml")
    with pytest.raises(ConfigError, match=r"edge\.toml:7: model = "):
        Buses([BusSettings(name="sim", kind="simulated", options=table)])


class _Vanishing:
    """An adapter whose cable is pulled after the first transaction."""

    opened = 0

    def __init__(self) -> None:
        type(self).opened += 1
        self.left = 1

    def i2c_rdwr(self, *_messages: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENODEV, "No such device")

    def close(self) -> None:
        self.left = -1


def test_a_vanished_adapter_is_opened_again() -> None:
    _Vanishing.opened = 0

    def opener() -> SmbusLike:
        return _Vanishing()

    bus = SmbusI2c("usb", opener)
    bus.write(0x76, b"\x00")
    with pytest.raises(BusError, match="the adapter is gone"):
        bus.write(0x76, b"\x00")
    bus.write(0x76, b"\x00")
    assert _Vanishing.opened == 2
