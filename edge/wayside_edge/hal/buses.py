"""The buses of a configuration, opened by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wayside_edge.errors import ConfigError
from wayside_edge.hal.i2c import SmbusI2c, SmbusLike
from wayside_edge.ports import I2cBus
from wayside_shared.settings import Table, from_table, remainder, setting, suggestion

ENTRY_POINTS = "wayside.buses"
"""Packages register bus kinds in this group: see `BusKind`."""


class BusKind(Protocol):
    """What stands behind an entry point of `ENTRY_POINTS`."""

    settings: type[Any]
    """Its settings class (`wayside_shared.settings`): what its `[[bus]]` table may hold besides name and kind."""

    def __call__(self, settings: Mapping[str, object]) -> SmbusLike:
        """Open the bus that the rest of its table describes.

        Raises:
            ConfigError: the settings are wrong in a way that only opening shows.
            OSError: it cannot be opened now.
        """


@dataclass(frozen=True, slots=True)
class BusSettings:
    """`[[bus]]`: the keys of every kind; the others belong to the kind."""

    name: str = setting("Name that sensors refer to.", sample="main", pattern=r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
    kind: str = setting("Kind of bus: i2c, or one that an installed package adds.", sample="i2c")
    options: Table = remainder("Settings of the kind.")


@dataclass(frozen=True, slots=True)
class I2cSettings:
    """Settings of a bus of kind `i2c`."""

    number: int = setting("Number of the kernel's adapter: N of /dev/i2c-N.", sample=1, minimum=0, maximum=1023)


class Buses:
    """A `BusProvider` over `[[bus]]` tables.

    Args:
        settings: the tables; checked here, opened on first use.

    Raises:
        ConfigError: a name stands twice, a kind is unknown or its settings are wrong.
    """

    def __init__(self, settings: Sequence[BusSettings]) -> None:
        self._i2c: dict[str, SmbusI2c] = {}
        for bus in settings:
            if bus.name in self._i2c:
                raise bus.options.error(f"a second bus is named {bus.name!r}; names must differ", "name")
            self._i2c[bus.name] = SmbusI2c(bus.name, _opener(bus))

    def i2c(self, name: str) -> I2cBus:
        """See `BusProvider`."""
        bus = self._i2c.get(name)
        if bus is None:
            raise ConfigError(f"no bus is named {name!r}{suggestion(name, list(self._i2c))}")
        bus.open()
        return bus

    def close(self) -> None:
        """Give every bus back; each opens again on its next use."""
        for bus in self._i2c.values():
            bus.close()


def _opener(bus: BusSettings) -> Callable[[], SmbusLike]:
    if bus.kind != "i2c":
        return _plugin(bus)
    number = from_table(I2cSettings, bus.options).number

    def open_adapter() -> SmbusLike:
        from smbus2 import SMBus

        adapter: SmbusLike = SMBus(number)
        return adapter

    return open_adapter


def _plugin(bus: BusSettings) -> Callable[[], SmbusLike]:
    from importlib import metadata  # brings the e-mail package along: a megabyte that real boards need not carry

    points = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
    if bus.kind not in points:
        raise bus.options.error(f"unknown bus kind {bus.kind!r}{suggestion(bus.kind, ['i2c', *points])}", "kind")
    kind: BusKind = points[bus.kind].load()
    from_table(kind.settings, bus.options)

    def open_plugin() -> SmbusLike:
        try:
            return kind(bus.options.values)
        except ConfigError as error:
            raise bus.options.error(error.message) from error

    return open_plugin
