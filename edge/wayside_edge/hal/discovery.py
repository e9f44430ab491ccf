"""What buses and measuring devices the kernel has, through /sys and /dev; nothing is asked over a bus."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SHARED_ADAPTERS: Final = ("smbus", "ddc", "dpaux", "hdmi", "i915", "amdgpu", "nvidia", "radeon", "fef04500", "fef09500")
"""Parts of the names of adapters that belong to a display, a graphics card or a PC's main board. The last two are
HDMI's on a Raspberry Pi 4 (bcm2711.dtsi, ddc0 and ddc1)."""

NO_UART: Final = "0"
"""PORT_UNKNOWN in linux/serial_core.h: a /dev/ttyS without a chip behind it."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An I2C bus of the kernel.

    Args:
        number: N of /dev/i2c-N.
        title: what the kernel calls it.
        held: by address, who has the chip there: a driver of the kernel, and what it takes the chip for.
        shared: it is not meant for sensors: it belongs to a display or a main board.
    """

    number: int
    title: str
    held: Mapping[int, str]
    shared: bool


@dataclass(frozen=True, slots=True)
class Interface:
    """Something else to measure with.

    Args:
        family: `spi`, `gpio`, `1-wire`, `iio`, `hwmon` or `serial`.
        place: device node, or name below /sys.
        title: what is known of it.
    """

    family: str
    place: str
    title: str


class Discovery:
    """What the machine has whose file systems are under `root`.

    Args:
        root: `/`, or a recorded tree in tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._sys = root / "sys"

    def adapters(self) -> list[Adapter]:
        """Every I2C adapter, by number."""
        found = []
        for place in self._sys.glob("bus/i2c/devices/i2c-*"):
            number = int(place.name.removeprefix("i2c-"))
            title = _text(place / "name")
            shared = any(part in title.lower() for part in SHARED_ADAPTERS)
            found.append(Adapter(number, title, self._held(number), shared))
        return sorted(found, key=lambda adapter: adapter.number)

    def interfaces(self) -> list[Interface]:
        """Everything that is no I2C adapter."""
        return [*self._spi(), *self._gpio(), *self._one_wire(), *self._measuring(), *self._serial()]

    def _held(self, number: int) -> dict[int, str]:
        held = {}
        for place in self._sys.glob(f"bus/i2c/devices/{number}-*"):
            driver = _link(place / "driver")
            if driver:
                held[int(place.name.partition("-")[2], 16)] = f"{driver} ({_text(place / 'name')})"
        return held

    def _spi(self) -> Iterator[Interface]:
        for place in sorted(self._sys.glob("bus/spi/devices/spi*.*")):
            driver = _link(place / "driver")
            node = self._root / "dev" / f"spidev{place.name.removeprefix('spi')}"
            if node.exists():
                yield Interface("spi", f"/dev/{node.name}", "free")
            elif driver:
                yield Interface("spi", place.name, f"held by the kernel driver {driver}")

    def _gpio(self) -> Iterator[Interface]:
        for place in sorted(self._sys.glob("bus/gpio/devices/gpiochip*")):
            yield Interface("gpio", f"/dev/{place.name}", place.resolve().parent.name)

    def _one_wire(self) -> Iterator[Interface]:
        for place in sorted(self._sys.glob("bus/w1/devices/*")):
            master = place.name.startswith("w1_bus_master")
            title = "bus" if master else f"chip of family 0x{place.name.partition('-')[0]}"
            yield Interface("1-wire", place.name, title)

    def _measuring(self) -> Iterator[Interface]:
        for family, pattern in (("iio", "bus/iio/devices/iio:device*"), ("hwmon", "class/hwmon/hwmon*")):
            for place in sorted(self._sys.glob(pattern)):
                yield Interface(family, f"/sys/{place.relative_to(self._sys)}", _text(place / "name"))

    def _serial(self) -> Iterator[Interface]:
        for place in sorted(self._sys.glob("class/tty/*")):
            driver = _link(place / "device" / "driver")
            if driver and _text(place / "type") != NO_UART:
                yield Interface("serial", f"/dev/{place.name}", _serial_driver(place / "device"))


def _serial_driver(port: Path) -> str:
    """The driver of the chip behind `port`: since Linux 6.4 a port and its controller have devices of their own."""
    place = port.resolve()
    drivers = (_link(folder / "driver") for folder in (place, place.parent, place.parent.parent))
    return next((driver for driver in drivers if driver not in ("", "port", "ctrl")), "")


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _link(place: Path) -> str:
    """The name that the symbolic link `place` leads to; empty without one."""
    try:
        return place.readlink().name
    except OSError:
        return ""
