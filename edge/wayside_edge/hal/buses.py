"""The buses of a configuration, opened by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wayside_edge.errors import ConfigError
from wayside_edge.hal.gpio import Gpio, GpioSettings, controller
from wayside_edge.hal.i2c import SmbusI2c
from wayside_edge.hal.modbus import ModbusLine, ModbusRtuSettings, ModbusTcpSettings, open_rtu, open_tcp
from wayside_edge.hal.spi import SpiAdapterLike, SpidevAdapter, SpidevDevice, SpidevLike
from wayside_edge.hal.uart import SerialUart, UartSettings, open_serial
from wayside_edge.hal.w1 import SysfsW1, W1Settings
from wayside_edge.ports import GpioBus, I2cBus, ModbusBus, SpiDevice, Uart, W1Bus
from wayside_shared.settings import Table, from_table, remainder, setting, suggestion

ENTRY_POINTS = "wayside.buses"
"""Packages register bus kinds in this group: see `BusKind`."""


class BusKind(Protocol):
    """What stands behind an entry point of `ENTRY_POINTS`."""

    settings: type[Any]
    """Its settings class (`wayside_shared.settings`): what its `[[bus]]` table may hold besides name and kind."""

    family: str
    """What it gives: `i2c` an `SmbusLike`, `spi` an `SpiAdapterLike`, `gpio` a `Controller`, `uart` a
    `SerialLike`, `modbus` a `ModbusClient`."""

    def __call__(self, settings: Mapping[str, object]) -> Any:
        """Open the bus that the rest of its table describes.

        Raises:
            ConfigError: the settings are wrong in a way that only opening shows.
            OSError: it cannot be opened now.
        """


@dataclass(frozen=True, slots=True)
class BusSettings:
    """`[[bus]]`: the keys of every kind; the others belong to the kind."""

    name: str = setting("Name that sensors refer to.", sample="main", pattern=r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
    kind: str = setting(
        "Kind of bus: i2c, spi, gpio, w1, uart, modbus-tcp, modbus-rtu, or one that an installed package adds.",
        sample="i2c",
    )
    options: Table = remainder("Settings of the kind.")


@dataclass(frozen=True, slots=True)
class I2cSettings:
    """Settings of a bus of kind `i2c`."""

    number: int = setting("Number of the kernel's adapter: N of /dev/i2c-N.", sample=1, minimum=0, maximum=1023)


@dataclass(frozen=True, slots=True)
class SpiSettings:
    """Settings of a bus of kind `spi`; the chip select belongs to each sensor."""

    number: int = setting("Number of the kernel's bus: X of /dev/spidevX.Y.", 0, minimum=0, maximum=1023)


BUS_KINDS: Mapping[str, type[Any]] = {
    "i2c": I2cSettings,
    "spi": SpiSettings,
    "gpio": GpioSettings,
    "w1": W1Settings,
    "uart": UartSettings,
    "modbus-tcp": ModbusTcpSettings,
    "modbus-rtu": ModbusRtuSettings,
}
"""Settings of the kinds of bus that need no other package."""


@dataclass(frozen=True, slots=True)
class _Configured:
    """A bus that is not open: its family, and what opens the underlying thing."""

    family: str
    opener: Callable[[], Any]


class Buses:
    """A `BusProvider` over `[[bus]]` tables.

    Args:
        settings: the tables; checked here, opened on first use.

    Raises:
        ConfigError: a name stands twice, a kind is unknown or its settings are wrong.
    """

    def __init__(self, settings: Sequence[BusSettings]) -> None:
        self._configured: dict[str, _Configured] = {}
        self._i2c: dict[str, SmbusI2c] = {}
        self._adapters: dict[str, SpiAdapterLike] = {}
        self._spi: dict[tuple[str, int, int, int], SpidevDevice] = {}
        self._opened: dict[str, Any] = {}
        for bus in settings:
            if bus.name in self._configured:
                raise bus.options.error(f"a second bus is named {bus.name!r}; names must differ", "name")
            self._configured[bus.name] = _configured(bus)

    def family(self, name: str) -> str:
        """See `BusProvider`."""
        if name not in self._configured:
            raise ConfigError(f"no bus is named {name!r}{suggestion(name, list(self._configured))}")
        return self._configured[name].family

    def i2c(self, name: str) -> I2cBus:
        """See `BusProvider`."""
        if name not in self._i2c:
            self._i2c[name] = SmbusI2c(name, self._of_family(name, "i2c").opener)
        bus = self._i2c[name]
        bus.open()
        return bus

    def spi(self, name: str, chip_select: int, *, mode: int, max_speed_hz: int) -> SpiDevice:
        """See `BusProvider`."""
        key = (name, chip_select, mode, max_speed_hz)
        if key not in self._spi:
            configured = self._of_family(name, "spi")

            def open_device() -> SpidevLike:
                if name not in self._adapters:
                    self._adapters[name] = configured.opener()
                return self._adapters[name].open(chip_select)

            self._spi[key] = SpidevDevice(f"bus {name}, chip select {chip_select}", open_device, mode, max_speed_hz)
        device = self._spi[key]
        device.open()
        return device

    def w1(self, name: str) -> W1Bus:
        """See `BusProvider`."""
        bus: W1Bus = self._shared(name, "w1")
        return bus

    def gpio(self, name: str) -> GpioBus:
        """See `BusProvider`."""
        if name not in self._opened:
            self._opened[name] = Gpio(name, self._of_family(name, "gpio").opener)
        bus: GpioBus = self._opened[name]
        return bus

    def uart(self, name: str, *, baud: int) -> Uart:
        """See `BusProvider`."""
        if name not in self._opened:
            self._opened[name] = SerialUart(name, self._of_family(name, "uart").opener)
        line: SerialUart = self._opened[name]
        line.open(baud)
        return line

    def modbus(self, name: str) -> ModbusBus:
        """See `BusProvider`."""
        if name not in self._opened:
            self._opened[name] = ModbusLine(name, self._of_family(name, "modbus").opener)
        bus: ModbusBus = self._opened[name]
        return bus

    def renew(self, name: str) -> Callable[[], None]:
        """See `BusProvider`."""
        old: list[Any] = [self._i2c.pop(name, None), self._opened.pop(name, None)]
        old += [self._spi.pop(key) for key in list(self._spi) if key[0] == name]
        self._adapters.pop(name, None)

        def retire() -> None:
            for handle in old:
                if isinstance(handle, SmbusI2c | SpidevDevice | SerialUart | ModbusLine):
                    handle.retire()

        return retire

    def close(self) -> None:
        """Give every bus back; each opens again on its next use."""
        for bus in self._i2c.values():
            bus.close()
        for device in self._spi.values():
            device.close()
        for opened in self._opened.values():
            if isinstance(opened, SerialUart | ModbusLine):  # the lines of GPIO belong to their drivers
                opened.close()

    def _shared(self, name: str, family: str) -> Any:
        """What the bus `name` is, opened on its first use."""
        if name not in self._opened:
            self._opened[name] = self._of_family(name, family).opener()
        return self._opened[name]

    def _of_family(self, name: str, family: str) -> _Configured:
        found = self.family(name)
        if found != family:
            raise ConfigError(f"bus {name!r} is of family {found}, and this sensor needs one of family {family}")
        return self._configured[name]


def _configured(bus: BusSettings) -> _Configured:
    if bus.kind not in BUS_KINDS:
        return _plugin(bus)
    settings: Any = from_table(BUS_KINDS[bus.kind], bus.options)
    if bus.kind == "spi":
        adapter = SpidevAdapter(settings.number)
        return _Configured("spi", lambda: adapter)
    openers: Mapping[str, Callable[[], Any]] = {
        "i2c": lambda: _smbus(settings.number),
        "gpio": lambda: controller(settings),
        "w1": lambda: SysfsW1(bus.name, settings.root),
        "uart": lambda: open_serial(settings.port),
        "modbus-tcp": lambda: open_tcp(settings),
        "modbus-rtu": lambda: open_rtu(settings),
    }
    return _Configured(bus.kind.split("-")[0], openers[bus.kind])


def _smbus(number: int) -> Any:
    from smbus2 import SMBus

    return SMBus(number)


def _plugin(bus: BusSettings) -> _Configured:
    from importlib import metadata  # brings the e-mail package along: a megabyte that real boards need not carry

    points = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
    if bus.kind not in points:
        raise bus.options.error(f"unknown bus kind {bus.kind!r}{suggestion(bus.kind, [*BUS_KINDS, *points])}", "kind")
    kind: BusKind = points[bus.kind].load()
    from_table(kind.settings, bus.options)

    def open_plugin() -> Any:
        try:
            return kind(bus.options.values)
        except ConfigError as error:
            raise bus.options.error(error.message) from error

    return _Configured(kind.family, open_plugin)
