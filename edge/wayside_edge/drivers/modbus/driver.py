"""The driver of any Modbus device: a list of registers, read in as few requests as possible.

Source: Modbus Application Protocol Specification V1.1b3, sections 4.3 (tables), 6.1 to 6.4 (2000 bits or 125 words in a
request).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from struct import unpack
from typing import Final

from wayside_edge.drivers.modbus.settings import ModbusRegister, ModbusSettings, Order, Type
from wayside_edge.errors import SensorError
from wayside_edge.ports import BusProvider, DriverKind, ModbusBus, ModbusTable, Quantity, Reading, Steps
from wayside_shared.quality import Quality

MOST_BITS: Final = 2000
FORMATS: Final = {
    Type.INT16: ">h",
    Type.UINT16: ">H",
    Type.INT32: ">i",
    Type.UINT32: ">I",
    Type.INT64: ">q",
    Type.UINT64: ">Q",
    Type.FLOAT32: ">f",
    Type.FLOAT64: ">d",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Args:
        table: the table.
        address: of the first bit or word.
        count: how many.
        registers: those that lie in it.
    """

    table: ModbusTable
    address: int
    count: int
    registers: tuple[ModbusRegister, ...]


def plan(settings: ModbusSettings) -> Sequence[Request]:
    """The fewest requests that get all registers within the limits of the settings."""
    requests: list[Request] = []
    for table in ModbusTable:
        most = MOST_BITS if table.is_bits else settings.max_count
        inside = [register for register in settings.registers if register.table is table]
        for register in sorted(inside, key=lambda each: each.address):
            last = requests[-1] if requests and requests[-1].table is table else None
            end = register.address + register.count
            if last is not None and register.address - (last.address + last.count) <= settings.max_gap:
                count = max(end - last.address, last.count)
                if count <= most:
                    requests[-1] = Request(table, last.address, count, (*last.registers, register))
                    continue
            requests.append(Request(table, register.address, register.count, (register,)))
    return requests


class Modbus:
    """A device on a Modbus line.

    Args:
        settings: its settings.
        bus: the bus's name.
        buses: where to get it.
    """

    def __init__(self, settings: ModbusSettings, bus: str, buses: BusProvider) -> None:
        self._settings = settings
        self._name = bus
        self._buses = buses
        self._bus: ModbusBus | None = None
        self._requests = plan(settings)

    def start(self) -> Steps[None]:
        """See `Driver`. It reads all once: that is all that tells the device from another."""
        self._bus = self._buses.modbus(self._name)
        yield from self.read()

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Registers that the device refuses beside others that it gives have a quality that says why."""
        if self._bus is None:
            raise SensorError(f"bus {self._name}, unit {self._settings.unit_id}: was not started")
        found: dict[str, Reading] = {}
        first: SensorError | None = None
        for request in self._requests:
            try:
                values = self._bus.read(self._settings.unit_id, request.table, request.address, request.count)
            except SensorError as error:
                first = first or error
                for register in request.registers:
                    found[register.name] = Reading(register.name, None, register.unit, quality=error.quality)
            else:
                for register in request.registers:
                    at = register.address - request.address
                    found[register.name] = _reading(register, values[at : at + register.count])
            yield 0.0  # others on the line may have it between two requests
        if first is not None and all(reading.value is None for reading in found.values()):
            raise first
        return [found[register.name] for register in self._settings.registers]

    def close(self) -> None:
        """See `Driver`."""
        self._bus = None


def _reading(register: ModbusRegister, values: Sequence[int]) -> Reading:
    if register.table.is_bits:
        return Reading(register.name, bool(values[0]), register.unit)
    data = b"".join(word.to_bytes(2, register.byte_order.value) for word in _ordered(register, values))
    (number,) = unpack(FORMATS[register.type], data)
    if not isfinite(number):  # how many devices say that they have no value
        return Reading(register.name, None, register.unit, quality=Quality.OUT_OF_RANGE)
    if register.scale == 1.0 and register.offset == 0.0:
        return Reading(register.name, number, register.unit)
    return Reading(
        register.name, number * register.scale + register.offset, register.unit, decimals=_decimals(register)
    )


def _ordered(register: ModbusRegister, values: Sequence[int]) -> Sequence[int]:
    return values if register.word_order is Order.BIG else values[::-1]


def _decimals(register: ModbusRegister) -> int | None:
    """Digits after the point of whole numbers with this scale and offset; None for others."""
    if register.type in (Type.FLOAT32, Type.FLOAT64):
        return None
    exponents = [Decimal(repr(part)).as_tuple().exponent for part in (register.scale, register.offset)]
    return max(-exponent for exponent in (0, *exponents) if isinstance(exponent, int))


KIND = DriverKind(
    title="Any device that speaks Modbus, over TCP or a serial line",
    settings=ModbusSettings,
    build=Modbus,
    families=("modbus",),
    quantities=(Quantity("*", "", -1e300, 1e300, "the device's"),),
)
"""What a register can hold; the device's manual knows what is possible."""
