"""Simulated chips that take commands and answer them in checked words, as Sensirion's do."""

import errno
import os

from wayside_firmware.board.chip import SLOWNESS, Fault, Surroundings


def check(data: bytes) -> int:
    """The checksum of `data`: polynomial x⁸ + x⁵ + x⁴ + 1, ones at first (SHT3x data sheet, version 5, Table 20)."""
    remainder = 0xFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x131 if remainder & 0x80 else 0)) & 0x1FF
    return remainder


def checked(*words: int) -> bytes:
    """`words` as they go over the bus."""
    return b"".join(word.to_bytes(2, "big") + bytes((check(word.to_bytes(2, "big")),)) for word in words)


def share(value: float, low: float, span: float, full: int = 0xFFFF) -> int:
    """The code nearest to `value` where 0 stands for `low` and `full` for `low + span`, as far as codes go."""
    return min(max(round((value - low) / span * full), 0), full)


def not_acknowledged() -> OSError:
    """What a transaction ends with when the chip does not acknowledge."""
    return OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))


class CommandChip:
    """A chip that acknowledges a read only when it has an answer, and nothing while it is busy.

    A model overrides `command`, and uses `answer` and `busy` in it.

    Args:
        around: what it finds around it.
    """

    width = 2
    """Bytes of a command."""

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self.around = around
        self._answer: bytes | None = None
        self._ready_s = 0.0

    def write(self, data: bytes) -> None:
        """See `I2cChip`. Arguments whose checksum is wrong make the chip ignore the command."""
        if self.around.clock() < self._ready_s:
            raise not_acknowledged()
        if len(data) < self.width:
            return
        self._answer = None
        arguments = [int.from_bytes(data[at : at + 2], "big") for at in range(self.width, len(data), 3)]
        if data[self.width :] == checked(*arguments):
            self.command(int.from_bytes(data[: self.width], "big"), arguments)

    def read(self, count: int) -> bytes:
        """See `I2cChip`."""
        if self._answer is None or self.around.clock() < self._ready_s:
            raise not_acknowledged()
        data, self._answer = self._answer, None
        return (data + b"\xff" * count)[:count]

    def command(self, command: int, arguments: list[int]) -> None:
        """Do a command; those that the chip does not know do nothing."""

    def answer(self, *words: int, after_s: float = 0.0) -> None:
        """Have `words` ready in `after_s` seconds, and be busy until then."""
        self._answer = checked(*words)
        self.busy(after_s)

    def busy(self, seconds: float) -> None:
        """Acknowledge nothing for `seconds`."""
        self._ready_s = self.around.clock() + seconds

    def takes(self, seconds: float) -> float:
        """How long something of that length takes, which is longer for a slow chip."""
        return seconds * (SLOWNESS if self.fault is Fault.SLOW else 1.0)

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self._answer, self._ready_s = None, 0.0
