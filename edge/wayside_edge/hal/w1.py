"""1-Wire devices as the kernel gives them through sysfs.

Source: Linux, Documentation/w1/slaves/w1_therm.rst and drivers/w1/slaves/w1_therm.c.
"""

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wayside_edge.errors import BusError, DeviceAbsentError
from wayside_shared.clock import NS_PER_S
from wayside_shared.settings import setting

DEVICES: Final = Path("/sys/bus/w1/devices")
MASTER: Final = "w1_bus_master"
TOGETHER: Final = "therm_bulk_read"
SHOWN: Final = "backslashreplace"
"""What is done with bytes that are no text: a message shows them, and no checksum fits them."""
TRIGGER: Final = "trigger\n"
"""What starts a conversion of all thermometers; the kernel compares the line feed's place too."""
FRESH_NS: Final = NS_PER_S
"""A conversion older than this is not taken for a reading that begins now: a round of all thermometers on a wire takes
less."""


@dataclass(frozen=True, slots=True)
class W1Settings:
    """Settings of a bus of kind `w1`."""

    root: Path = setting("Folder of the kernel's 1-Wire devices.", DEVICES)


class SysfsW1:
    """A `W1Bus` over the folder `root`. Not for two threads at once.

    Args:
        name: of the bus, for messages.
        root: where the kernel lists its devices.
        monotonic_ns: a clock, in nanoseconds.
    """

    def __init__(self, name: str, root: Path = DEVICES, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._name = name
        self._root = root
        self._monotonic_ns = monotonic_ns
        self._users: dict[str, Path] = {}
        self._converted: dict[str, int] = {}

    def ids(self) -> Sequence[str]:
        """See `W1Bus`."""
        try:
            names = sorted(entry.name for entry in self._root.iterdir())
        except OSError as error:
            raise BusError(f"bus {self._name}: {self._root}: {error.strerror}; {_ENABLE}") from error
        if not any(name.startswith(MASTER) for name in names):
            raise BusError(f"bus {self._name}: the kernel has no 1-Wire master; {_ENABLE}")
        return [name for name in names if not name.startswith(MASTER)]

    def has(self, device: str, attribute: str) -> bool:
        """See `W1Bus`."""
        return (self._root / device / attribute).exists()

    def read(self, device: str, attribute: str) -> str:
        """See `W1Bus`."""
        try:
            return (self._root / device / attribute).read_text(encoding="ascii", errors=SHOWN).strip()
        except OSError as error:
            raise self._error(device, attribute, error) from error

    def write(self, device: str, attribute: str, text: str) -> None:
        """See `W1Bus`."""
        try:
            (self._root / device / attribute).write_text(text, encoding="ascii")
        except OSError as error:
            raise self._error(device, attribute, error) from error

    def converted_ns(self, device: str) -> int:
        """See `W1Bus`."""
        master = (self._root / device).resolve().parent
        self._users[device] = master
        neighbours = [other for other, where in self._users.items() if where == master]
        converted_ns = self._converted.pop(device, None)
        now_ns = self._monotonic_ns()
        if converted_ns is not None and now_ns - converted_ns <= FRESH_NS:
            return now_ns - converted_ns
        if len(neighbours) > 1 and self._trigger(master):
            now_ns = self._monotonic_ns()
            self._converted.update(dict.fromkeys(neighbours, now_ns))
        return 0

    def _trigger(self, master: Path) -> bool:
        """Whether the kernel had all thermometers of `master` convert: it returns when they have."""
        file = master / TOGETHER
        try:
            with file.open("r+", encoding="ascii") as opened:
                opened.write(TRIGGER)
        except OSError as error:
            # Kernels before 5.10 do not have it, on a second master none has, and it may be for root alone.
            if error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENODEV):
                return False
            raise BusError(f"bus {self._name}: {file}: {error.strerror}; check the wire and its pull-up") from error
        return True

    def _error(self, device: str, attribute: str, error: OSError) -> BusError:
        where = f"bus {self._name}, device {device}"
        if not (self._root / device).exists():
            there = ", ".join(self.ids()) or "none at all"
            return DeviceAbsentError(f"{where}: not found; check its wiring and 'id'; there are: {there}")
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return BusError(f"{where}: may not access {attribute}; give this user the right to it, or leave it out")
        return BusError(f"{where}: {attribute}: {error.strerror}; check its wiring and the pull-up of the data line")


_ENABLE: Final = "load it (on a Raspberry Pi: dtoverlay=w1-gpio in config.txt, then restart) or correct 'root'"
