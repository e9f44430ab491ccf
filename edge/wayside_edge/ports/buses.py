"""The buses of a board, as drivers see them."""

from typing import Protocol


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
        """What the bus `name` is: `i2c` or `spi`.

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
