"""What this machine's kernel says of itself through /proc and /sys."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wayside_edge.errors import BusError

CPU_ZONES = ("cpu-thermal", "cpu_thermal", "soc-thermal", "soc_thermal", "cpu0-thermal", "x86_pkg_temp")
"""Names under which device trees and ACPI call the thermal zone of the processor, best first."""
CPU_MONITORS = ("coretemp", "k10temp", "cpu_thermal", "zenpower")
"""hwmon drivers that measure the processor."""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Processor time of all cores since boot, in ticks of the kernel."""

    busy: int
    total: int


@dataclass(frozen=True, slots=True)
class Space:
    """Memory or a file system, in bytes; `available` is what a program without privileges can still get."""

    total: int
    available: int

    @property
    def used_percent(self) -> float:
        """How much of it cannot be had any more."""
        return 100.0 * (self.total - self.available) / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes through network interfaces since they came up."""

    received: int
    sent: int


class System:
    """Readings of the machine whose file systems are under `root`. Every method raises BusError for what is missing.

    Args:
        root: `/`, or a recorded tree in tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def cpu_times(self) -> CpuTimes:
        """Processor time spent so far (proc(5), /proc/stat)."""
        with self._parsing("proc/stat") as text:
            fields = [_count(field) for field in text.splitlines()[0].split()[1:9]]
            # user and nice hold the guest times already; idle and iowait are the fourth and fifth.
            return CpuTimes(busy=sum(fields) - fields[3] - fields[4], total=sum(fields))

    def cpu_temperature_file(self) -> Path | None:
        """The file that gives the processor's temperature in thousandths of a degree Celsius; None without one."""
        zones = {self._name(zone / "type"): zone / "temp" for zone in self._glob("sys/class/thermal/thermal_zone*")}
        found = next((zones[name] for name in CPU_ZONES if name in zones), None)
        if found is None:
            monitors = {
                self._name(chip / "name"): chip / "temp1_input" for chip in self._glob("sys/class/hwmon/hwmon*")
            }
            found = next((monitors[name] for name in CPU_MONITORS if name in monitors), None)
        return found if found is not None and found.is_file() else None

    def temperature(self, file: Path) -> float:
        """The temperature in `file` in degrees Celsius."""
        with self._parsing(file) as text:
            return int(text) / 1000

    def memory(self) -> Space:
        """Main memory (proc(5), /proc/meminfo)."""
        with self._parsing("proc/meminfo") as text:
            lines = (line.split() for line in text.splitlines())
            found = {words[0].rstrip(":"): words[1] for words in lines if len(words) > 1}
            return Space(_count(found["MemTotal"]) * 1024, _count(found["MemAvailable"]) * 1024)

    def disk(self, path: Path) -> Space:
        """The file system that holds `path`."""
        try:
            stat = os.statvfs(path)
        except OSError as error:
            raise BusError(f"{path}: {error.strerror}; correct 'disk_path'") from error
        used = stat.f_blocks - stat.f_bfree
        return Space((used + stat.f_bavail) * stat.f_frsize, stat.f_bavail * stat.f_frsize)

    def traffic(self, interfaces: Collection[str] = ()) -> Traffic:
        """What went through `interfaces`, or through all but the loopback when there are none given."""
        received = sent = 0
        with self._parsing("proc/net/dev") as text:
            for line in text.splitlines()[2:]:
                name, _, rest = line.partition(":")
                if name.strip() in interfaces or (not interfaces and name.strip() != "lo"):
                    fields = rest.split()
                    received += _count(fields[0])
                    sent += _count(fields[8])
        return Traffic(received, sent)

    @contextmanager
    def _parsing(self, file: str | Path) -> Iterator[str]:
        """The text of `file`, which what is done with it may find short or garbled."""
        path = self._root / file
        try:
            yield path.read_text(encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise BusError(f"{path}: {error.strerror}") from error
        except (ValueError, IndexError, OverflowError) as error:
            raise BusError(f"{path} is not as the kernel writes it ({error}); is it this machine's?") from error
        except KeyError as error:
            raise BusError(f"{path} has no line {error}; is it this machine's, with Linux 3.14 or newer?") from error

    def _name(self, file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8", errors="backslashreplace").strip()
        except OSError:
            return ""

    def _glob(self, pattern: str) -> list[Path]:
        return sorted(self._root.glob(pattern))


def _count(text: str) -> int:
    """A counter of the kernel, which has 64 bits at most."""
    number = int(text)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{text[:40]} is no counter")
    return number
