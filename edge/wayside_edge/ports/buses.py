"""The buses of a board, as drivers see them."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from wayside_edge.ports.gpio import GpioBus


class I2cBus(Protocol):
    """One I2C bus. Every call is one transaction and holds the bus for its length.

    All raise `DeviceAbsentError` when the address does not acknowledge, and `BusError` for any other failure.
    """

    def write(self, address: int, data: bytes) -> None:
        """Write `data` to the chip at the 7-bit `address`."""

    def read(self, address: int, count: int) -> bytes:
        """Read `count` bytes from the chip at the 7-bit `address`."""

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        """Write `data`, then read `count` bytes after a repeated start."""

    def close(self) -> None:
        """Give the bus back."""


class SpiDevice(Protocol):
    """One chip select of an SPI bus, with the mode and speed that its driver asked for."""

    def transfer(self, data: bytes) -> bytes:
        """Send `data` and return the bytes that came at the same time, as many.

        Raises:
            BusError: the transfer failed. A chip that is not there is no failure: it reads as 0x00 or 0xFF.
        """


class W1Bus(Protocol):
    """The kernel's 1-Wire devices, which it names by family and serial number: `28-0316a2791234`.

    A call that has a thermometer convert takes up to 0.75 s, and nobody else can have the wire meanwhile.
    """

    def ids(self) -> Sequence[str]:
        """The devices that the kernel has found.

        Raises:
            BusError: there is no 1-Wire bus.
        """

    def has(self, device: str, attribute: str) -> bool:
        """Whether the kernel offers `attribute` of `device`."""

    def read(self, device: str, attribute: str) -> str:
        """The text of an attribute of `device`, stripped; empty when the device did not answer.

        Raises:
            DeviceAbsentError: the kernel has no such device (any more).
            BusError: it cannot be read.
        """

    def write(self, device: str, attribute: str, text: str) -> None:
        """Write an attribute of `device`; raises as `read`."""

    def converted_ns(self, device: str) -> int:
        """Have the thermometers of the wire convert together, unless `device` was among those that just did.

        Returns:
            How many nanoseconds ago that was; 0 when the kernel has none convert together, and each does by itself
            when it is read.
        """


class Uart(Protocol):
    """A serial line with one device at its other end. Nothing here waits: a driver yields, and asks again."""

    where: str
    """The bus, for messages."""

    def write(self, data: bytes) -> None:
        """Send `data`.

        Raises:
            BusError: the port is gone, or takes nothing.
        """

    def read(self) -> bytes:
        """What has come since the last call; raises likewise."""

    def discard(self) -> None:
        """Throw away what has come so far; raises likewise."""


class ModbusTable(Enum):
    """The four tables of a Modbus device (Modbus Application Protocol 1.1b3, section 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def is_bits(self) -> bool:
        """Whether it holds single bits; the others hold words of 16."""
        return self in (ModbusTable.COIL, ModbusTable.DISCRETE)


class ModbusBus(Protocol):
    """A Modbus line or connection, with devices at unit ids. A request holds it until the answer or the timeout."""

    def read(self, unit_id: int, table: ModbusTable, address: int, count: int) -> Sequence[int]:
        """`count` bits or words of a device.

        Args:
            unit_id: the device.
            table: which table.
            address: of the first, as on the wire: counted from 0.
            count: how many; at most 2000 bits or 125 words.

        Raises:
            DeviceAbsentError: no answer came.
            BusError: the connection or port failed.
            SensorError: the device refused; the message names its reason.
        """


class Registers(Protocol):
    """A chip with numbered registers, over whichever bus it is on."""

    where: str
    """Bus and address, for messages."""

    def read(self, register: int, count: int) -> bytes:
        """`count` bytes from `register` on; raises as the bus does."""

    def write(self, register: int, data: bytes) -> None:
        """Write `data` from `register` on; raises as the bus does."""


class BusProvider(Protocol):
    """Opens buses by the names they have in the configuration."""

    def family(self, name: str) -> str:
        """What the bus `name` is: `i2c`, `spi`, `w1`, `gpio`, `uart`, `modbus`.

        Raises:
            ConfigError: no bus of that name is configured.
        """

    def i2c(self, name: str) -> I2cBus:
        """The I2C bus `name`, opened on first use and shared after.

        Raises:
            BusError: it is not there now.
            ConfigError: no bus of that name is configured, or it is of another family.
        """

    def spi(self, name: str, chip_select: int, *, mode: int, max_speed_hz: int) -> SpiDevice:
        """The chip at `chip_select` of the SPI bus `name`; the same arguments share one device.

        Args:
            name: the bus.
            chip_select: its number, Y of /dev/spidevX.Y.
            mode: clock polarity and phase, 0 to 3.
            max_speed_hz: most that the chip's data sheet allows; the bus may be slower.

        Raises:
            BusError: it is not there now.
            ConfigError: no bus of that name is configured, or it is of another family.
        """

    def w1(self, name: str) -> W1Bus:
        """The 1-Wire bus `name`, shared.

        Raises:
            ConfigError: no bus of that name is configured, or it is of another family.
        """

    def gpio(self, name: str) -> GpioBus:
        """The GPIO lines of the bus `name`, shared; it is opened when a line is taken.

        Raises:
            ConfigError: no bus of that name is configured, or it is of another family.
        """

    def uart(self, name: str, *, baud: int) -> Uart:
        """The serial line `name`, 8 data bits, no parity, one stop bit.

        Args:
            name: the bus.
            baud: bits per second.

        Raises:
            BusError: it is not there now.
            ConfigError: no bus of that name is configured, or it is of another family.
        """

    def modbus(self, name: str) -> ModbusBus:
        """The Modbus line or connection `name`, shared; it is opened with the first request.

        Raises:
            ConfigError: no bus of that name is configured, or it is of another family.
        """

    def renew(self, name: str) -> Callable[[], None]:
        """Forget how the bus `name` is open, because somebody hangs in it: its next use opens it anew.

        Returns:
            What closes the old handles, which may take long; for the thread that has the bus from now on.
        """
