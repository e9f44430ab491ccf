"""Commands answered in 16-bit words with a checksum each: what Sensirion's chips speak over I2C.

Source: Sensirion, Datasheet SHT3x-DIS, version 5 (May 2018), sections 4.3 and 4.4 (a busy chip does not acknowledge a
read) and 4.12 with Table 20 (checksum: polynomial 0x31, initial value 0xFF). The data sheets of SHT4x, SCD4x and SGP40
say the same.
"""

import time
from typing import Final

from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.hal.checksum import crc8, crc8_words
from wayside_edge.ports import I2cBus, Steps
from wayside_shared.quality import Quality

POLYNOMIAL: Final = 0x31
INITIAL: Final = 0xFF
POLLS: Final = 10
POLL_S: Final = 0.002
"""How often to ask again after the longest time that the data sheet allows."""
ANSWER_S: Final = 0.005
"""How long a scan asks for an answer: the chips need 1 ms at most for what tells them."""


def words(*values: int) -> bytes:
    """`values`, 16 bits each, as the chips want their arguments: with a checksum after each."""
    packed = b""
    for value in values:
        word = value.to_bytes(2, "big")
        packed += word + bytes((crc8(word, POLYNOMIAL, INITIAL),))
    return packed


class SensirionChip:
    """A chip that takes commands, and answers them once it is ready.

    Args:
        bus: the bus it is on.
        name: of that bus, for messages.
        address: its address.
        width: bytes of a command.
    """

    def __init__(self, bus: I2cBus, name: str, address: int, *, width: int = 2) -> None:
        self.where = f"bus {name}, address 0x{address:02x}"
        self._bus = bus
        self._address = address
        self._width = width

    def send(self, command: int, *arguments: int) -> None:
        """Give a command with its 16-bit arguments; raises as the bus does."""
        self._bus.write(self._address, command.to_bytes(self._width, "big") + words(*arguments))

    def take(self, count: int) -> list[int]:
        """The `count` words that the chip has ready.

        Raises:
            DeviceAbsentError: it has none, or is not there.
            SensorError: a checksum does not fit.
        """
        data = self._bus.read(self._address, 3 * count)
        found = crc8_words(data, POLYNOMIAL, INITIAL)
        if found is None:
            fix = "look for noise on the wires: shorter ones, stronger pull-ups or a slower bus help"
            raise self.error(f"sent a checksum that does not fit its data ({data.hex()}); {fix}", Quality.CHECKSUM)
        return found

    def ask(self, command: int, count: int, wait_s: float, *arguments: int) -> Steps[list[int]]:
        """The `count` words of the answer to `command`, which the chip has after `wait_s` at the latest.

        Raises:
            BusError: the command was not taken.
            SensorError: no answer, or a checksum does not fit.
        """
        self.send(command, *arguments)
        yield wait_s
        for _ in range(POLLS):
            try:
                return self.take(count)
            except DeviceAbsentError:  # this is how a busy chip says so; it was there a moment ago
                yield POLL_S
        raise self.error(f"took a command and gave no answer within {wait_s + POLLS * POLL_S:.3g} s", Quality.NOT_READY)

    def ask_identity(self, command: int, count: int, wait_s: float, name: str) -> Steps[list[int]]:
        """The answer that only a `name` gives.

        Raises:
            BusError: nothing is there.
            SensorError: something else is (`WRONG_CHIP`), or a checksum does not fit.
        """
        try:
            return (yield from self.ask(command, count, wait_s))
        except SensorError as error:
            if error.quality is Quality.CHECKSUM and not self._constant(3 * count):
                raise
            what = (
                f"is no {name}: it does not answer command 0x{command:0{2 * self._width}x}; check its type and address"
            )
            raise self.error(what, Quality.WRONG_CHIP) from error

    def error(self, what: str, quality: Quality = Quality.INVALID) -> SensorError:
        """The error that the chip `what`."""
        return SensorError(f"{self.where}: the chip {what}", quality)

    def _constant(self, count: int) -> bool:
        """Whether a read gives the same byte again and again, which no checked words do."""
        try:
            return len(set(self._bus.read(self._address, count))) == 1
        except BusError:
            return False


def answers(bus: I2cBus, address: int, command: int, count: int, *, width: int = 2) -> list[int] | None:
    """The `count` checked words that the chip at `address` answers `command` with; None when it does not.

    A chip of Sensirion's does not acknowledge a read that nothing was asked before. What does is another chip, and is
    not written to. A chip that is not there makes it None too.
    """
    if _read(bus, address, 3) is not None:
        return None
    try:
        bus.write(address, command.to_bytes(width, "big"))
    except DeviceAbsentError:
        return None
    end_s, late = time.monotonic() + ANSWER_S, False
    while not late:
        late = time.monotonic() >= end_s
        data = _read(bus, address, 3 * count)
        if data is not None:
            return crc8_words(data, POLYNOMIAL, INITIAL)
    return None


def _read(bus: I2cBus, address: int, count: int) -> bytes | None:
    try:
        return bus.read(address, count)
    except DeviceAbsentError:
        return None
