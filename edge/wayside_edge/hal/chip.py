"""What drivers of chips share: their connection, words, polling, and errors that say where."""

from collections.abc import Callable
from math import ceil, log10

from wayside_edge.errors import SensorError
from wayside_edge.ports import BusProvider, I2cBus, SpiDevice, Steps
from wayside_shared.quality import Quality


class ChipDriver:
    """One chip on some bus.

    Args:
        where: bus and place on it, for messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def poll(self, ready: Callable[[], bool], wait_s: float, failure: str, *, polls: int = 10) -> Steps[None]:
        """Wait until `ready`.

        Args:
            ready: asks the chip.
            wait_s: longest time that the data sheet allows; then it is asked again at a tenth of that.
            failure: what the chip did not do, for the message.
            polls: how often it is asked.

        Raises:
            SensorError: it never was.
        """
        yield wait_s
        for _ in range(polls):
            if ready():
                return
            yield max(wait_s / 10, 0.001)
        raise self.error(failure, Quality.NOT_READY)

    def error(self, what: str, quality: Quality = Quality.INVALID) -> SensorError:
        """An error about this chip; `what` goes on after "the chip"."""
        return SensorError(f"{self._where}: the chip {what}", quality)


class I2cDriver(ChipDriver):
    """One chip at an address of an I2C bus.

    Args:
        buses: where to get its bus.
        bus: the bus's name.
        address: the chip's.
    """

    def __init__(self, buses: BusProvider, bus: str, address: int) -> None:
        super().__init__(f"bus {bus}, address 0x{address:02x}")
        self._buses = buses
        self._name = bus
        self._address = address
        self._bus: I2cBus | None = None

    def connect(self) -> None:
        """Get the bus.

        Raises:
            BusError: it is not there now.
        """
        self._bus = self._buses.i2c(self._name)

    def disconnect(self) -> bool:
        """Forget the bus; whether there was one."""
        bus, self._bus = self._bus, None
        return bus is not None

    def get(self, register: int, count: int) -> bytes:
        """`count` bytes from `register` on."""
        return self._connected().write_read(self._address, bytes((register,)), count)

    def receive(self, count: int) -> bytes:
        """`count` bytes, with no register named."""
        return self._connected().read(self._address, count)

    def put(self, register: int, data: bytes = b"") -> None:
        """Write `data` from `register` on; without data, `register` is a command."""
        self._connected().write(self._address, bytes((register, *data)))

    def word(self, register: int) -> int:
        """The 16 bits of `register`, which come most significant byte first."""
        return int.from_bytes(self.get(register, 2), "big")

    def put_word(self, register: int, value: int) -> None:
        """Write 16 bits to `register`, most significant byte first."""
        self.put(register, value.to_bytes(2, "big"))

    def _connected(self) -> I2cBus:
        if self._bus is None:
            raise self.error("was not started")
        return self._bus


class SpiDriver(ChipDriver):
    """One chip at a chip select of an SPI bus.

    Args:
        buses: where to get its bus.
        bus: the bus's name.
        chip_select: the chip's.
        mode: clock polarity and phase that it takes.
        max_speed_hz: most that its data sheet allows.
    """

    def __init__(self, buses: BusProvider, bus: str, chip_select: int, *, mode: int, max_speed_hz: int) -> None:
        super().__init__(f"bus {bus}, chip select {chip_select}")
        self._buses = buses
        self._name = bus
        self._chip_select = chip_select
        self._mode = mode
        self._max_speed_hz = max_speed_hz
        self._device: SpiDevice | None = None

    def connect(self) -> None:
        """Get the device.

        Raises:
            BusError: it is not there now.
        """
        self._device = self._buses.spi(self._name, self._chip_select, mode=self._mode, max_speed_hz=self._max_speed_hz)

    def disconnect(self) -> bool:
        """Forget the device; whether there was one."""
        device, self._device = self._device, None
        return device is not None

    def transfer(self, data: bytes) -> bytes:
        """What comes while `data` is sent."""
        if self._device is None:
            raise self.error("was not started")
        return self._device.transfer(data)


def signed(value: int, bits: int) -> int:
    """The two's complement number in the low `bits` of `value`."""
    sign = 1 << (bits - 1)
    return (value & (sign - 1)) - (value & sign)


def decimals_of(step: float) -> int:
    """Digits after the point that tell values `step` apart."""
    return max(ceil(-log10(step)), 0)
