"""Numbered registers over I2C and SPI: for chips that have both."""

from dataclasses import dataclass

from wayside_edge.ports import BusProvider, I2cBus, Registers, SpiDevice


@dataclass(frozen=True, slots=True)
class SpiFraming:
    """How a chip's registers are addressed over SPI: first a byte with the register and flags, then the data.

    Args:
        mode: clock polarity and phase, 0 to 3.
        max_speed_hz: most that the chip can take.
        read: flag of a read.
        several: flag of a transfer of more than one byte.
        paired: a write names the register of each byte, as Bosch's chips want it.
    """

    mode: int
    max_speed_hz: int
    read: int = 0x80
    several: int = 0
    paired: bool = False


class I2cRegisters:
    """Registers behind a pointer that the first byte of a write sets."""

    def __init__(self, bus: I2cBus, address: int, where: str, *, paired: bool) -> None:
        self.where = where
        self._bus = bus
        self._address = address
        self._paired = paired

    def read(self, register: int, count: int) -> bytes:
        """See `Registers`."""
        return self._bus.write_read(self._address, bytes((register,)), count)

    def write(self, register: int, data: bytes) -> None:
        """See `Registers`."""
        self._bus.write(self._address, _pairs(register, data) if self._paired else bytes((register, *data)))


class SpiRegisters:
    """Registers whose address byte carries the direction."""

    def __init__(self, device: SpiDevice, where: str, framing: SpiFraming) -> None:
        self.where = where
        self._device = device
        self._framing = framing

    def read(self, register: int, count: int) -> bytes:
        """See `Registers`."""
        several = self._framing.several if count > 1 else 0
        head = register | self._framing.read | several
        return self._device.transfer(bytes((head, *bytes(count))))[1:]

    def write(self, register: int, data: bytes) -> None:
        """See `Registers`."""
        register &= ~self._framing.read
        if self._framing.paired:
            self._device.transfer(_pairs(register, data))
            return
        several = self._framing.several if len(data) > 1 else 0
        self._device.transfer(bytes((register | several, *data)))


def registers(
    buses: BusProvider, bus: str, framing: SpiFraming | None = None, *, address: int, chip_select: int = 0
) -> Registers:
    """The registers of a chip on whichever bus `bus` is.

    Args:
        buses: where to get it.
        bus: its name.
        framing: how the chip does it over SPI; None for chips that have only I2C.
        address: the chip's on I2C.
        chip_select: the chip's on SPI.

    Raises:
        BusError: the bus is not there now.
    """
    if framing is not None and buses.family(bus) == "spi":
        where = f"bus {bus}, chip select {chip_select}"
        device = buses.spi(bus, chip_select, mode=framing.mode, max_speed_hz=framing.max_speed_hz)
        return SpiRegisters(device, where, framing)
    paired = framing is not None and framing.paired
    return I2cRegisters(buses.i2c(bus), address, f"bus {bus}, address 0x{address:02x}", paired=paired)


def _pairs(register: int, data: bytes) -> bytes:
    """`data` with the register before each byte (Bosch BME280 data sheet, section 6.2.1)."""
    return bytes(part for offset, value in enumerate(data) for part in ((register + offset) & 0xFF, value))
