"""The driver of whatever the kernel has a driver for: it finds the device by name and reads its channels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.hal.sysfs import SYS, SysfsDevice, devices
from wayside_edge.ports import Reading
from wayside_shared.quality import Quality
from wayside_shared.settings import setting, suggestion

NAME: Final = r"[A-Za-z0-9_.-]{1,64}"


@dataclass(frozen=True, slots=True)
class KernelChannel:
    """A channel under a name and in a unit of the user's."""

    channel: str = setting(
        "The channel: its file's name without `in_` and `_raw` or `_input`.", sample="temp", pattern=NAME
    )
    name: str = setting("Name of the series.", sample="temperature", pattern=NAME)
    scale: float = setting("What one of the usual unit stands for, in the unit.", 1.0)
    offset: float = setting("What zero stands for, in the unit.", 0.0)
    unit: str | None = setting("UCUM code of the unit; without one the usual.", None, pattern=r"[!-~]{1,32}")


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """Settings of a sensor of kind `iio`, `hwmon` or `thermal`."""

    device: str = setting("What the kernel calls the device: the text in its file `name`, or `type`.", sample="bme280")
    at: str | None = setting("Where it is, when there are several of that name: `1-0076` is I2C bus 1, 0x76.", None)
    channels: list[KernelChannel] = setting("The channels to read; none means all, by their usual names.", factory=list)


@dataclass(frozen=True, slots=True)
class Channel:
    """How a channel is read.

    Args:
        name: of its series.
        unit: UCUM code.
        decimals: digits after the point that the kernel gives.
        value: gets it from the device; raises as `SysfsDevice.number`.
    """

    name: str
    unit: str
    decimals: int | None
    value: Callable[[SysfsDevice], float]


Find: TypeAlias = Callable[[SysfsDevice, Sequence[str]], Mapping[str, Channel]]
"""The channels of a device by what the kernel calls them, from the names of its attributes."""


@dataclass(frozen=True, slots=True)
class Source:
    """A part of the kernel that gives measurements.

    Args:
        name: what it is called.
        pattern: its devices' folders below /sys.
        label: the file that names a device.
        find: its channels.
        hint: how a device comes to be there.
    """

    name: str
    pattern: str
    label: str
    find: Find
    hint: str


def there(source: Source, root: Path = SYS) -> Sequence[str]:
    """The settings that name each device of `source`.

    Args:
        source: the part of the kernel.
        root: where sysfs is mounted.
    """
    return list(dict.fromkeys(f"device={device.name}" for device in devices(root, source.pattern, source.label)))


class KernelSensor:
    """A device of the kernel's.

    Args:
        settings: its settings.
        source: the part of the kernel that it belongs to.
        root: where sysfs is mounted.
    """

    def __init__(self, settings: KernelSettings, source: Source, root: Path = SYS) -> None:
        self._settings = settings
        self._source = source
        self._root = root
        self._device: SysfsDevice | None = None
        self._channels: Sequence[Channel] = ()

    def start(self) -> None:
        """See `Driver`."""
        device = self._find()
        channels = self._source.find(device, device.attributes())
        self._channels = [self._named(each, channels) for each in self._settings.channels] or list(channels.values())
        if not self._channels:
            raise SensorError(f"{self._where(device)}: it has no channels that measure; name another device")
        self._device = device

    def read(self) -> Sequence[Reading]:
        """See `Driver`. Channels that fail beside good ones have a quality that says why."""
        if self._device is None:
            raise SensorError(f"{self._source.name} {self._settings.device}: was not started")
        readings: list[Reading] = []
        first: BusError | SensorError | None = None
        for channel in self._channels:
            value, quality = None, Quality.GOOD
            try:
                value = channel.value(self._device)
            except (BusError, SensorError) as error:
                first, quality = first or error, error.quality
            readings.append(Reading(channel.name, value, channel.unit, decimals=channel.decimals, quality=quality))
        if first is not None and all(reading.value is None for reading in readings):
            raise first
        return readings

    def close(self) -> None:
        """See `Driver`."""
        self._device = None

    def _find(self) -> SysfsDevice:
        wanted, at = self._settings.device, self._settings.at
        there = devices(self._root, self._source.pattern, self._source.label)
        # Platform devices call themselves `dht11@4`, after their node in the device tree.
        found = [device for device in there if wanted in (device.name, device.name.split("@")[0])]
        found = [device for device in found if at is None or device.at == at]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(f"{device.name} at {device.at}" for device in found or there) or "none at all"
        if found:
            raise SensorError(
                f"{self._source.name}: several are named {wanted!r} ({listed}); say which in 'at'", Quality.WRONG_CHIP
            )
        where = "" if at is None else f" at {at}"
        raise DeviceAbsentError(
            f"{self._source.name}: no device is named {wanted!r}{where}; there are: {listed}; {self._source.hint}"
        )

    def _named(self, wanted: KernelChannel, channels: Mapping[str, Channel]) -> Channel:
        found = channels.get(wanted.channel)
        if found is None:
            hint = suggestion(wanted.channel, list(channels))
            raise SensorError(f"{self._source.name} {self._settings.device}: no channel {wanted.channel!r}{hint}")
        plain = wanted.scale == 1.0 and wanted.offset == 0.0

        def value(device: SysfsDevice) -> float:
            return found.value(device) * wanted.scale + wanted.offset

        return Channel(wanted.name, wanted.unit or found.unit, found.decimals if plain else None, value)

    def _where(self, device: SysfsDevice) -> str:
        return f"{self._source.name} {device.name} at {device.at}"
