"""Sensors that the kernel has drivers for: devices and their attributes in sysfs (sysfs(5))."""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_shared.quality import Quality

SYS: Final = Path("/sys")
SHOWN: Final = "backslashreplace"
"""What is done with bytes that are no text: a message shows them, and no number has them."""
ABSENT: Final = frozenset({errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.EREMOTEIO})
NOT_READY: Final = frozenset({errno.EAGAIN, errno.EBUSY, errno.ENODATA})
OUT_OF_RANGE: Final = frozenset({errno.ERANGE, errno.EOVERFLOW})
BUS_FAULT: Final = frozenset({errno.EIO, errno.ETIMEDOUT, errno.EPROTO})
REASONS: Final[Mapping[int, str]] = {
    errno.EIO: "the kernel could not read the chip: check wiring and supply",
    errno.ETIMEDOUT: "the chip did not answer in time: check wiring and supply",
    errno.EREMOTEIO: "the chip does not acknowledge: check wiring and supply",
    errno.EBUSY: "the kernel reads it into a buffer now, or it is measuring: end the other program",
    errno.ENODATA: "the kernel has no value: enable the channel, or wait for the first measurement",
    errno.EACCES: "permission denied: give this user the right to read it",
}


@dataclass(frozen=True, slots=True)
class SysfsDevice:
    """A device.

    Args:
        name: what its driver calls it.
        at: the device below it, as `1-0076` for address 0x76 of I2C bus 1.
        folder: its attributes; the number in the folder's name changes from boot to boot.
    """

    name: str
    at: str
    folder: Path

    def attributes(self) -> Sequence[str]:
        """The names of its attributes.

        Raises:
            DeviceAbsentError: it went away.
        """
        try:
            return sorted(file.name for file in self.folder.iterdir() if file.is_file())
        except OSError as error:
            raise DeviceAbsentError(f"{self.name} at {self.at}: {error.strerror}; was its driver unloaded?") from error

    def number(self, attribute: str) -> float:
        """The number in `attribute`.

        Raises:
            BusError: the kernel could not get it.
            SensorError: it is no measurement.
        """
        try:
            text = (self.folder / attribute).read_text(encoding="ascii", errors=SHOWN).strip()
        except OSError as error:
            raise self._error(attribute, error) from error
        try:
            return float(text)
        except ValueError as error:
            where = f"{self.name} at {self.at}, {attribute}"
            raise SensorError(f"{where}: {text[:40]!r} is no number; name another channel") from error

    def _error(self, attribute: str, error: OSError) -> BusError | SensorError:
        number = error.errno or 0
        message = f"{self.name} at {self.at}, {attribute}: {REASONS.get(number, error.strerror)} ({error.strerror})"
        if number in ABSENT:
            return DeviceAbsentError(message)
        if number in BUS_FAULT or number in (errno.EACCES, errno.EPERM):
            return BusError(message)
        quality = Quality.NOT_READY if number in NOT_READY else Quality.INVALID
        return SensorError(message, Quality.OUT_OF_RANGE if number in OUT_OF_RANGE else quality)


def devices(root: Path, pattern: str, name: str) -> list[SysfsDevice]:
    """The devices whose folders fit `pattern` below `root` and that say in the file `name` what they are."""
    found = []
    for folder in sorted(root.glob(pattern)):
        try:
            text = (folder / name).read_text(encoding="utf-8", errors=SHOWN).strip()
        except OSError:  # it went away meanwhile, or names itself nowhere
            continue
        lower = folder / "device"
        at = lower.resolve().name if lower.exists() else folder.resolve().parent.name
        found.append(SysfsDevice(text, at, folder))
    return found
