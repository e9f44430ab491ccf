"""An SPI bus over anything shaped like spidev's `SpiDev`: the kernel's and the simulated board's."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from wayside_edge.errors import BusError
from wayside_edge.hal.faults import GONE, fix, retired
from wayside_edge.ports import SpiDevice


class SpidevLike(Protocol):
    """The part of spidev's `SpiDev` that is used here."""

    mode: int
    max_speed_hz: int

    def xfer2(self, values: Sequence[int]) -> Sequence[int]:
        """Send `values` with the chip selected throughout; returns what came meanwhile."""

    def close(self) -> None:
        """Give the device back."""


class SpiAdapterLike(Protocol):
    """One SPI bus with its chip selects."""

    def open(self, chip_select: int) -> SpidevLike:
        """The device at `chip_select`.

        Raises:
            OSError: it is not there.
        """


LONGEST: Final = 4096
"""Bytes in one transfer: the default of spidev's `bufsiz` (drivers/spi/spidev.c)."""


class SpidevDevice(SpiDevice):
    """An `SpiDevice`. Not for two threads at once.

    Args:
        where: bus and chip select, for messages.
        opener: opens the underlying device; called at the first transfer, and again after it went away.
        mode: clock polarity and phase.
        max_speed_hz: the clock.
    """

    def __init__(self, where: str, opener: Callable[[], SpidevLike], mode: int, max_speed_hz: int) -> None:
        self._where = where
        self._opener = opener
        self._mode = mode
        self._speed = max_speed_hz
        self._spidev: SpidevLike | None = None

    def open(self) -> None:
        """Open the device unless it is open.

        Raises:
            BusError: it is not there, or not for this user.
        """
        if self._spidev is None:
            try:
                self._spidev = spidev = self._opener()
                spidev.mode = self._mode
                spidev.max_speed_hz = self._speed
            except OSError as error:
                self.close()
                raise BusError(f"{self._where}: {fix(error, 'SPI', 'spi')}") from error

    def transfer(self, data: bytes) -> bytes:
        """See `SpiDevice`."""
        self.open()
        assert self._spidev is not None
        if len(data) > LONGEST:
            raise ValueError(f"{len(data)} bytes in one transfer; the kernel takes {LONGEST}")
        try:
            return bytes(self._spidev.xfer2(list(data)))
        except OSError as error:
            if error.errno in GONE:
                self.close()
            raise BusError(f"{self._where}: {fix(error, 'SPI', 'spi')}") from error

    def close(self) -> None:
        """Give the device back; it opens again on its next use."""
        spidev, self._spidev = self._spidev, None
        if spidev is not None:
            spidev.close()

    def retire(self) -> None:
        """Give it back for good: whoever still has this object finds it failing."""
        self._opener = retired
        self.close()


class SpidevAdapter:
    """The kernel's SPI bus `number`."""

    def __init__(self, number: int) -> None:
        self._number = number

    def open(self, chip_select: int) -> SpidevLike:
        """See `SpiAdapterLike`."""
        from spidev import SpiDev

        device: SpidevLike = SpiDev(self._number, chip_select)
        return device
