"""A Si7021: what its bus sees, with the time that its measurements take.

Source: Silicon Labs, Si7021-A20 data sheet, revision 1.1: Table 2 for the typical times, Table 11 for the commands,
section 5 for their answers, 6.1 for the user register.
"""

import random
from collections.abc import Mapping
from typing import ClassVar

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings
from wayside_firmware.board.commands import not_acknowledged, share

TEMPERATURE, HUMIDITY, RESET = 0xF3, 0xF5, 0xFE
WRITE_USER, READ_USER, WRITE_HEATER, READ_HEATER = 0xE6, 0xE7, 0x51, 0x11
IDENTITY = b"\xfc\xc9"


def check(data: bytes) -> int:
    """The checksum of `data`: the remainder by x⁸ + x⁵ + x⁴ + 1, with zeros at first."""
    remainder = int.from_bytes(data, "big") << 8
    for bit in range(8 * len(data) + 7, 7, -1):
        if remainder >> bit & 1:
            remainder ^= 0x131 << bit - 8
    return remainder


class Si7021Chip:
    """A Si7021 in some air."""

    times: ClassVar[Mapping[int, float]] = {TEMPERATURE: 0.007, HUMIDITY: 0.017}
    """Typical times in seconds; that of humidity has the temperature that it needs in it."""
    user = 0x3A
    identity = b"\x15\xff"
    other_identity = b"\x32\x00"
    status: ClassVar[Mapping[int, int]] = {TEMPERATURE: 0b00, HUMIDITY: 0b10}
    """What the two lowest bits of a value are."""

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self.supply_low = False
        self._around = around
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self._user = self.user
        self._heater = 0
        self._answer = b""
        self._ready_s = 0.0

    def write(self, data: bytes) -> None:
        """See `I2cChip`."""
        if self._around.clock() < self._ready_s:
            raise not_acknowledged()
        if not data:
            return
        self._answer = b""
        if data == IDENTITY:
            first = self.other_identity if self.fault is Fault.WRONG_IDENTITY else self.identity
            self._answer = first + bytes((check(first),)) + b"\xff\xff" + bytes((check(first + b"\xff\xff"),))
        elif data[0] in self.times:
            self._measure(data[0])
        elif data[0] == RESET:
            self.power_cycle()
            self._ready_s = self._around.clock() + 0.005
        elif data[0] == WRITE_USER and len(data) == 2:
            self._user = data[1]
        elif data[0] == WRITE_HEATER and len(data) == 2:
            self._heater = data[1]
        elif data[0] in (READ_USER, READ_HEATER):
            register = self._user | (0x40 if self.supply_low else 0) if data[0] == READ_USER else self._heater
            self._answer = bytes((register,))

    def read(self, count: int) -> bytes:
        """See `I2cChip`."""
        if not self._answer or self._around.clock() < self._ready_s:
            raise not_acknowledged()
        data, self._answer = self._answer, b""
        return (data + b"\xff" * count)[:count]

    def _measure(self, command: int) -> None:
        state, noise = self._around.state(), self._around.noise
        if command == TEMPERATURE:
            code = share(state.celsius + noise * self._random.gauss(0.0, 0.01), -46.85, 175.72, 65536)
        else:
            code = share(state.percent + noise * self._random.gauss(0.0, 0.025), -6.0, 125.0, 65536)
        if self.fault is Fault.OUT_OF_RANGE:
            code = 0xFFFF
        word = (min(code, 0xFFFF) & 0xFFFC | self.status[command]).to_bytes(2, "big")
        self._answer = word + bytes((check(word),))
        seconds = self.times[command] * (SLOWNESS if self.fault is Fault.SLOW else 1.0)
        self._ready_s = self._around.clock() + seconds


MODEL = Model(Si7021Chip, address=0x40)
