"""A simulated Modbus line with devices on it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from wayside_shared.errors import ConfigError
from wayside_shared.settings import Table, from_table, setting

TABLES: Final = ("coil", "discrete", "holding", "input")
ILLEGAL_ADDRESS: Final = 2
"""Exception code (Modbus Application Protocol 1.1b3, section 7)."""


@dataclass(frozen=True, slots=True)
class BlockSettings:
    """Words or bits that a device has."""

    unit_id: int = setting("The device.", 1, minimum=0, maximum=255)
    table: str = setting("The table.", "holding", choices=TABLES)
    address: int = setting("Address of the first, counted from 0.", 0, minimum=0, maximum=65_535)
    values: Table = setting("Values by their distance from the address, as `{ 0 = 230 }`.")


@dataclass(frozen=True, slots=True)
class ModbusBoardSettings:
    """Settings of a bus of kind `simulated-modbus`."""

    blocks: list[BlockSettings] = setting("What the devices have.")


class Answer(NamedTuple):
    """What a device answers: values, or an exception code."""

    values: Sequence[int]
    exception: int


class SimulatedModbus:
    """A line.

    Args:
        devices: values by unit id, table and address.
    """

    def __init__(self, devices: Mapping[tuple[int, str, int], int]) -> None:
        self.values = dict(devices)
        self.fault: int | None = None
        """Error number that every request ends with while it is set."""
        self.exception = 0
        """Exception code that every request is answered with while it is set."""
        self.requests: list[tuple[int, str, int, int]] = []

    def request(self, unit_id: int, table: str, address: int, count: int) -> Answer:
        """Read bits or words.

        Raises:
            TimeoutError: there is no such device.
            OSError: the fault that is set.
        """
        self.requests.append((unit_id, table, address, count))
        if self.fault is not None:
            raise OSError(self.fault, os.strerror(self.fault))
        if not any(unit == unit_id for unit, _, _ in self.values):
            raise TimeoutError("no response received")
        if self.exception:
            return Answer((), self.exception)
        wanted = [(unit_id, table, address + offset) for offset in range(count)]
        if any(each not in self.values for each in wanted):
            return Answer((), ILLEGAL_ADDRESS)
        return Answer([self.values[each] for each in wanted], 0)

    def close(self) -> None:
        """Give the line back."""


class ModbusBoardKind:
    """A bus kind, as the agent finds it among the entry points `wayside.buses`."""

    family = "modbus"
    settings = ModbusBoardSettings

    def __call__(self, settings: Mapping[str, object]) -> SimulatedModbus:
        """The line that a configuration's `[[bus]]` table describes.

        Raises:
            ConfigError: a setting is wrong.
        """
        devices: dict[tuple[int, str, int], int] = {}
        for block in from_table(ModbusBoardSettings, Table(settings)).blocks:
            for offset, value in block.values.values.items():
                if not offset.isdecimal() or type(value) is not int or not 0 <= value <= 0xFFFF:
                    raise ConfigError(f"values: {offset} = {value!r} is no distance and 16 bits")
                devices[block.unit_id, block.table, block.address + int(offset)] = value
        return SimulatedModbus(devices)


open_modbus = ModbusBoardKind()
