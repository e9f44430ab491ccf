"""Recorded conversations with chips, and other people's drivers on our simulated buses."""

from collections.abc import Sequence
from contextlib import suppress

from wayside_edge.errors import BusError
from wayside_edge.ports import I2cBus, SpiDevice
from wayside_testkit.sensing import OneFamily


class Tape(OneFamily):
    """A `BusProvider`, an `I2cBus` and an `SpiDevice` that hold a driver to a recorded conversation.

    Args:
        lines: what the driver must say and what the chip answers, in hexadecimal: over I2C the bytes written and those
            read, over SPI those sent and those received.
        address: the chip's I2C address; None on SPI.
    """

    def __init__(self, *lines: tuple[str, str], address: int | None) -> None:
        self._lines = list(lines)
        self._address = address

    def family(self, _name: str) -> str:
        return "i2c" if self._address is not None else "spi"

    def i2c(self, _name: str) -> I2cBus:
        return self

    def spi(self, _name: str, chip_select: int, *, mode: int, max_speed_hz: int) -> SpiDevice:
        return self

    def write(self, address: int, data: bytes) -> None:
        self._exchange(address, data, 0)

    def read(self, address: int, count: int) -> bytes:
        return self._exchange(address, b"", count)

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        return self._exchange(address, data, count)

    def transfer(self, data: bytes) -> bytes:
        return self._exchange(None, data, len(data))

    def close(self) -> None:
        pass

    def rest(self) -> int:
        """Lines that were not said."""
        return len(self._lines)

    def _exchange(self, address: int | None, data: bytes, count: int) -> bytes:
        assert self._lines, f"the driver says more than was recorded: {data.hex()}"
        sent, answer = self._lines.pop(0)
        assert (address, data.hex(), count) == (self._address, sent, len(answer) // 2)
        return bytes.fromhex(answer)


class Busio:
    """An `I2cBus` as CircuitPython's drivers want theirs (`busio.I2C`)."""

    def __init__(self, bus: I2cBus) -> None:
        self._bus = bus

    def try_lock(self) -> bool:
        return True

    def unlock(self) -> None:
        pass

    def scan(self) -> list[int]:
        found = []
        for address in range(0x08, 0x78):
            with suppress(BusError):
                self._bus.write(address, b"")
                found.append(address)
        return found

    def writeto(self, address: int, buffer: Sequence[int], *, start: int = 0, end: int | None = None) -> None:
        self._say(address, bytes(buffer)[start:end])

    def readfrom_into(self, address: int, buffer: bytearray, *, start: int = 0, end: int | None = None) -> None:
        end = len(buffer) if end is None else end
        buffer[start:end] = self._hear(address, b"", end - start)

    def writeto_then_readfrom(
        self,
        address: int,
        buffer_out: Sequence[int],
        buffer_in: bytearray,
        *,
        out_start: int = 0,
        out_end: int | None = None,
        in_start: int = 0,
        in_end: int | None = None,
    ) -> None:
        in_end = len(buffer_in) if in_end is None else in_end
        buffer_in[in_start:in_end] = self._hear(address, bytes(buffer_out)[out_start:out_end], in_end - in_start)

    def _say(self, address: int, data: bytes) -> None:
        try:
            self._bus.write(address, data)
        except BusError as error:
            raise OSError(str(error)) from error

    def _hear(self, address: int, data: bytes, count: int) -> bytes:
        try:
            return self._bus.write_read(address, data, count) if data else self._bus.read(address, count)
        except BusError as error:
            raise OSError(str(error)) from error


class BusioSpi:
    """An `SpiDevice` as CircuitPython's drivers want their bus (`busio.SPI`); the chip select of their `SPIDevice` is
    then a pin that does nothing. One transfer must be one `write_readinto`, a `write` and a `readinto`, or a `write`
    alone, which goes out at the end."""

    frequency = 1_000_000

    def __init__(self, device: SpiDevice) -> None:
        self._device = device
        self._said = b""

    def try_lock(self) -> bool:
        return True

    def unlock(self) -> None:
        said, self._said = self._said, b""
        if said:
            self._device.transfer(said)

    def configure(self, **_settings: object) -> None:
        pass

    def write(self, buffer: Sequence[int], *, start: int = 0, end: int | None = None) -> None:
        self._said += bytes(buffer)[start:end]

    def readinto(self, buffer: bytearray, *, start: int = 0, end: int | None = None, write_value: int = 0) -> None:
        end = len(buffer) if end is None else end
        said, self._said = self._said, b""
        answer = self._device.transfer(said + bytes((write_value,)) * (end - start))
        buffer[start:end] = answer[len(said) :]

    def write_readinto(
        self,
        buffer_out: Sequence[int],
        buffer_in: bytearray,
        *,
        out_start: int = 0,
        out_end: int | None = None,
        in_start: int = 0,
        in_end: int | None = None,
    ) -> None:
        in_end = len(buffer_in) if in_end is None else in_end
        buffer_in[in_start:in_end] = self._device.transfer(bytes(buffer_out)[out_start:out_end])[: in_end - in_start]


class Pin:
    """A digital output that goes nowhere: the chip select of CircuitPython's `SPIDevice`."""

    value = True

    def switch_to_output(self, *, value: bool = True) -> None:
        self.value = value
