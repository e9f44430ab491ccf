"""The thermal zones of the kernel.

Source: Linux, Documentation/ABI/testing/sysfs-class-thermal: `type`, and `temp` in m°C.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from wayside_edge.drivers.kernel.driver import Channel, KernelSensor, KernelSettings, Source, there
from wayside_edge.hal.sysfs import SysfsDevice
from wayside_edge.ports import DriverKind, Quantity


def channels(_device: SysfsDevice, attributes: Sequence[str]) -> Mapping[str, Channel]:
    """The one channel of a thermal zone."""
    if "temp" not in attributes:
        return {}
    return {"temp": Channel("temperature", "Cel", 3, lambda device: device.number("temp") / 1000)}


SOURCE: Final = Source(
    "thermal", "class/thermal/thermal_zone*", "type", channels, "where there are several of a type, hwmon tells more"
)

KIND = DriverKind(
    title="A thermal zone of the kernel: temperatures of processors, radios and batteries",
    settings=KernelSettings,
    build=lambda settings, _bus, _buses: KernelSensor(settings, SOURCE),
    quantities=(Quantity("temperature", "Cel", -273.15, 2000.0, "the chip's"),),
    there=lambda: there(SOURCE),
)
