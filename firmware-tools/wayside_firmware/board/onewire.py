"""A 1-Wire bus, slot by slot: slaves pull a line low that floats high, and all hear what becomes of it.

Source: Maxim Integrated, application note 187, "1-Wire Search Algorithm" (March 2002); DS18B20 data sheet 19-7487,
revision 6 (July 2019): "ROM commands".
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TypeAlias

SEARCH, ALARM_SEARCH, READ_ROM, MATCH_ROM, SKIP_ROM = 0xF0, 0xEC, 0x33, 0x55, 0xCC

Talk: TypeAlias = Generator[int, int, None]
"""What a slave does from a reset on: yields what it puts on the line in the next slot, and hears what became of it."""


class OneWireSlave:
    """A slave with its 64-bit number; a model overrides `function`.

    Args:
        family: first byte of its number.
        serial: the 48 bits after it.
    """

    def __init__(self, family: int, serial: int) -> None:
        body = bytes((family,)) + serial.to_bytes(6, "little")
        self.rom = body + bytes((crc8(body),))
        self._output = 1
        self._talk: Talk | None = None

    def reset(self) -> None:
        """The line was held low for long: the conversation begins anew."""
        self._talk = self._conversation()
        self._output = next(self._talk)

    def output(self) -> int:
        """What it puts on the line in the slot that begins now."""
        return self._output

    def hear(self, level: int) -> None:
        """The level of the line in a slot."""
        if self._talk is None:
            return
        try:
            self._output = self._talk.send(level)
        except StopIteration:
            self._talk, self._output = None, 1

    def function(self) -> Talk:
        """The conversation once this slave is selected."""
        yield 1

    def _conversation(self) -> Talk:
        command = yield from receive()
        if command in (SEARCH, MATCH_ROM):
            for bit in bits(self.rom):
                if command == SEARCH:
                    yield bit
                    yield 1 - bit
                if (yield 1) != bit:
                    return  # another one is meant
        elif command == READ_ROM:
            yield from send(self.rom)
        elif command != SKIP_ROM:
            return
        yield from self.function()


class OneWireLine:
    """A line with slaves on it.

    Args:
        slaves: they may be none.
    """

    def __init__(self, slaves: Iterable[OneWireSlave]) -> None:
        self.slaves: Sequence[OneWireSlave] = list(slaves)

    def reset(self) -> bool:
        """A reset pulse; whether a slave is there."""
        for slave in self.slaves:
            slave.reset()
        return bool(self.slaves)

    def slot(self, level: int) -> int:
        """One slot in which the master lets go at once (1, which is also how it reads) or holds low (0)."""
        for slave in self.slaves:
            level &= slave.output()
        for slave in self.slaves:
            slave.hear(level)
        return level

    def write(self, value: int) -> None:
        """A byte, least significant bit first."""
        for bit in bits((value,)):
            self.slot(bit)

    def read(self) -> int:
        """A byte; 0xFF when nobody talks."""
        return sum(self.slot(1) << position for position in range(8))


def receive() -> Generator[int, int, int]:
    """A byte from the master."""
    value = 0
    for position in range(8):
        value |= (yield 1) << position
    return value


def send(data: Iterable[int]) -> Talk:
    """Bytes to the master."""
    yield from bits(data)


def bits(data: Iterable[int]) -> Iterator[int]:
    """The bits of `data`, least significant first."""
    return (byte >> position & 1 for byte in data for position in range(8))


def crc8(data: bytes) -> int:
    """The check byte of 1-Wire: polynomial x^8 + x^5 + x^4 + 1, least significant bit first."""
    value = 0
    for bit in bits(data):
        value = value >> 1 ^ (0x8C if (value ^ bit) & 1 else 0)
    return value
