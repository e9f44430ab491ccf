"""The driver that reads this machine: processor, memory, disk and network, as the kernel counts them (proc(5))."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wayside_edge.errors import SensorError
from wayside_edge.hal.system import CpuTimes, System, Traffic
from wayside_edge.ports import DriverKind, Quantity, Reading
from wayside_shared.settings import setting

SHORTEST_NS = 100_000_000
"""Ten of the kernel's ticks: loads and rates over less are mostly rounding, so they wait for a later read."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Settings of a sensor of kind `host`."""

    disk_path: Path = setting("A path on the file system to watch.", Path("/"))
    interfaces: list[str] = setting("Network interfaces to add up; none means all but the loopback.", factory=list)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The kernel's counters at one moment."""

    at_ns: int
    cpu: CpuTimes
    traffic: Traffic


class Host:
    """This machine as a sensor. Loads and rates are means since the read before, or since `start`.

    Args:
        settings: its settings.
        system: where the readings come from.
        monotonic_ns: a clock for rates, in nanoseconds.
    """

    def __init__(
        self, settings: HostSettings, system: System, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._settings = settings
        self._system = system
        self._monotonic_ns = monotonic_ns
        self._before: _Counted | None = None
        self._temperature_file: Path | None = None

    def start(self) -> None:
        """See `Driver`."""
        self._temperature_file = self._system.cpu_temperature_file()
        self._before = self._count()

    def read(self) -> Sequence[Reading]:
        """See `Driver`."""
        if self._before is None:
            raise SensorError("host: was not started")
        now = self._count()
        readings: list[Reading] = []
        if now.at_ns - self._before.at_ns >= SHORTEST_NS:
            readings += [*_cpu(self._before.cpu, now.cpu), *_network(self._before, now)]
            self._before = now
        memory, disk = self._system.memory(), self._system.disk(self._settings.disk_path)
        readings.append(Reading("memory_used", memory.used_percent, "%", decimals=2))
        readings.append(Reading("memory_available", memory.available, "By"))
        readings.append(Reading("disk_used", disk.used_percent, "%", decimals=2))
        readings.append(Reading("disk_available", disk.available, "By"))
        if self._temperature_file is not None:
            celsius = self._system.temperature(self._temperature_file)
            readings.append(Reading("cpu_temperature", celsius, "Cel", decimals=3))
        return readings

    def close(self) -> None:
        """See `Driver`."""
        self._before = None

    def _count(self) -> _Counted:
        return _Counted(self._monotonic_ns(), self._system.cpu_times(), self._system.traffic(self._settings.interfaces))


def _cpu(before: CpuTimes, now: CpuTimes) -> list[Reading]:
    total = now.total - before.total
    if total <= 0:
        return []
    busy = min(max(now.busy - before.busy, 0), total)  # iowait may run backwards (proc(5))
    return [Reading("cpu_load", 100.0 * busy / total, "%", decimals=2)]


def _network(before: _Counted, now: _Counted) -> list[Reading]:
    elapsed_s = (now.at_ns - before.at_ns) / 1e9
    received = now.traffic.received - before.traffic.received
    sent = now.traffic.sent - before.traffic.sent
    if received < 0 or sent < 0:  # an interface went away with its counters
        return []
    return [
        Reading("network_received", received / elapsed_s, "By/s", decimals=0),
        Reading("network_sent", sent / elapsed_s, "By/s", decimals=0),
    ]


KIND = DriverKind(
    title="The machine that the agent runs on",
    settings=HostSettings,
    build=lambda settings, _bus, _buses: Host(settings, System()),
    quantities=(
        Quantity("cpu_load", "%", 0.0, 100.0),
        Quantity("cpu_temperature", "Cel", -55.0, 150.0),
        Quantity("memory_used", "%", 0.0, 100.0),
        Quantity("memory_available", "By", 0.0, 2.0**63),
        Quantity("disk_used", "%", 0.0, 100.0),
        Quantity("disk_available", "By", 0.0, 2.0**63),
        Quantity("network_received", "By/s", 0.0, 2.0**63),
        Quantity("network_sent", "By/s", 0.0, 2.0**63),
    ),
)
"""All as the kernel counts them (proc(5), sysfs); the temperature is that of the processor's own sensor."""
