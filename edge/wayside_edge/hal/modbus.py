"""Modbus over TCP and over serial lines, through pymodbus or a simulated line.

Source: Modbus Application Protocol Specification V1.1b3: section 6 (functions, limits), section 7 (exceptions).
"""

import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.hal.faults import GONE, retired
from wayside_edge.ports import ModbusTable
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

if TYPE_CHECKING:
    from pymodbus.client.base import ModbusBaseSyncClient


class Parity(Enum):
    """The bit that is sent along with each character."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True, slots=True)
class ModbusTcpSettings:
    """Settings of a bus of kind `modbus-tcp`."""

    host: str = setting("Host name or address of the device or gateway.", sample="192.168.1.50")
    port: int = setting("Its TCP port.", 502, minimum=1, maximum=65535)
    timeout_s: float = setting("How long to wait for an answer, in seconds.", 1.0, minimum=0.01, maximum=60.0)


@dataclass(frozen=True, slots=True)
class ModbusRtuSettings:
    """Settings of a bus of kind `modbus-rtu`."""

    port: str = setting("Device file; names below /dev/serial/by-id stay the same.", sample="/dev/ttyUSB0")
    baud: int = setting("Bits per second.", 19_200, minimum=300, maximum=4_000_000)
    parity: Parity = setting("Parity bit; the standard is even.", Parity.EVEN)
    stop_bits: int = setting("Stop bits; the standard is 2 without parity.", 1, choices=(1, 2))
    timeout_s: float = setting("How long to wait for an answer, in seconds.", 1.0, minimum=0.01, maximum=60.0)


class Answer(Protocol):
    """What a device answers."""

    @property
    def values(self) -> Sequence[int]:
        """Bits or words; none in an exception."""

    @property
    def exception(self) -> int:
        """Its exception code, or 0."""


class ModbusClient(Protocol):
    """What pymodbus or a simulated line gives."""

    def request(self, unit_id: int, table: str, address: int, count: int) -> Answer:
        """Read bits or words of a table: `coil`, `discrete`, `holding` or `input`.

        Raises:
            TimeoutError: no answer came.
            OSError: the connection or the port failed.
        """

    def close(self) -> None:
        """Give the connection back."""


EXCEPTIONS: Final[Mapping[int, tuple[Quality, str]]] = {
    1: (Quality.INVALID, "illegal function: the device has no such table; correct 'table'"),
    2: (Quality.INVALID, "illegal data address: the device has no such register; correct 'address' or 'type'"),
    3: (Quality.INVALID, "illegal data value: the device does not give that many at once; lower 'max_count'"),
    4: (Quality.INVALID, "device failure: see the device's own display"),
    5: (Quality.NOT_READY, "acknowledge: the device takes longer; read less often"),
    6: (Quality.NOT_READY, "device busy; read less often"),
    8: (Quality.CHECKSUM, "memory parity error in the device"),
    10: (Quality.BUS_FAULT, "gateway path unavailable: correct the gateway's settings"),
    11: (Quality.ABSENT, "the gateway got no answer from the device: check 'unit_id', its wiring and supply"),
}


class ModbusLine:
    """A `ModbusBus` over a `ModbusClient`. Not for two threads at once.

    Args:
        name: of the bus, for messages.
        opener: makes the client; called at the first request, and again after the line failed.
    """

    def __init__(self, name: str, opener: Callable[[], ModbusClient]) -> None:
        self._name = name
        self._opener = opener
        self._client: ModbusClient | None = None

    def read(self, unit_id: int, table: ModbusTable, address: int, count: int) -> Sequence[int]:
        """See `ModbusBus`."""
        where = f"bus {self._name}, unit {unit_id}, {table.value} {address}"
        try:
            if self._client is None:
                self._client = self._opener()
            answer = self._client.request(unit_id, table.value, address, count)
        except TimeoutError as error:
            # A late answer would be taken for that to the next request.
            self.close()
            fix = "check 'unit_id', wiring, speed and parity"
            raise DeviceAbsentError(f"{where}: no answer that fits ({error}); {fix}") from error
        except OSError as error:
            self.close()
            raise BusError(f"bus {self._name}: {_fix(error)} ({error})") from error
        if answer.exception:
            quality, reason = EXCEPTIONS.get(
                answer.exception, (Quality.INVALID, f"exception {answer.exception}: see the device's manual")
            )
            raise SensorError(f"{where}: {reason}", quality)
        if len(answer.values) < count:
            raise SensorError(f"{where}: {len(answer.values)} values came instead of {count}; lower 'max_count'")
        return answer.values[:count]

    def close(self) -> None:
        """Give the connection back; it opens again with the next request."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def retire(self) -> None:
        """Give it back for good: whoever still has this object finds it failing."""
        self._opener = retired
        self.close()


def _fix(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "permission denied: add this user to the group that owns the port (usually dialout)"
    if error.errno in GONE:
        return "no such port: is its cable plugged in? or correct 'port'"
    return "no connection: check the device's power and network, 'host' and 'port'"


class _Values(NamedTuple):
    """An `Answer`."""

    values: Sequence[int]
    exception: int


class PymodbusClient:
    """A `ModbusClient` over a client of pymodbus.

    Args:
        client: not connected yet.
    """

    def __init__(self, client: "ModbusBaseSyncClient") -> None:
        self._client = client
        # What it would log, the errors here say, once.
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

    def request(self, unit_id: int, table: str, address: int, count: int) -> Answer:
        """See `ModbusClient`."""
        from pymodbus.exceptions import ConnectionException, ModbusException

        functions = {
            "coil": self._client.read_coils,
            "discrete": self._client.read_discrete_inputs,
            "holding": self._client.read_holding_registers,
            "input": self._client.read_input_registers,
        }
        try:
            answer = functions[table](address, count=count, device_id=unit_id)
        except ConnectionException as error:
            raise ConnectionError(str(error)) from error
        except ModbusException as error:
            raise TimeoutError(str(error)) from error
        return _Values([int(value) for value in answer.bits or answer.registers], answer.exception_code)

    def close(self) -> None:
        """See `ModbusClient`."""
        self._client.close()  # type: ignore[no-untyped-call]


def open_tcp(settings: ModbusTcpSettings) -> ModbusClient:
    """A client that connects with its first request."""
    from pymodbus.client import ModbusTcpClient

    return PymodbusClient(ModbusTcpClient(settings.host, port=settings.port, timeout=settings.timeout_s, retries=0))


def open_rtu(settings: ModbusRtuSettings) -> ModbusClient:
    """A client that has the serial port.

    Raises:
        OSError: the port is not there, or not for this user.
    """
    from pymodbus.client import ModbusSerialClient
    from serial import Serial

    # pymodbus says only that it could not connect; the kernel says why.
    Serial(settings.port, exclusive=True).close()
    client = ModbusSerialClient(
        settings.port,
        baudrate=settings.baud,
        parity=settings.parity.value[0].upper(),
        stopbits=settings.stop_bits,
        timeout=settings.timeout_s,
        retries=0,
    )
    return PymodbusClient(client)
