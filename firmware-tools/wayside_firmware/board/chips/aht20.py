"""An AHT20: what its bus sees, with the time that its measurements take.

Source: Aosong (ASAIR), AHT20 Product manuals: sections 5.3 to 5.5 for commands, status and times, 6 for the formulas.
"""

import random

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings
from wayside_firmware.board.commands import check, share

BUSY, CALIBRATED, FIXED = 0x80, 0x08, 0x10
MEASURE_S = 0.075


class Aht20Chip:
    """An AHT20 in some air."""

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self._around = around
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self._status = FIXED
        self._data = bytes(5)
        self._due_s: float | None = None

    def write(self, data: bytes) -> None:
        """See `I2cChip`. A read after any of these begins with the status."""
        self._advance()
        if data == b"\xba":
            self._due_s = None
            self._status = FIXED | CALIBRATED
        elif data == b"\xbe\x08\x00":
            self._status |= CALIBRATED
        elif data == b"\xac\x33\x00" and self._due_s is None:
            slow = SLOWNESS if self.fault is Fault.SLOW else 1.0
            self._due_s = self._around.clock() + MEASURE_S * slow

    def read(self, count: int) -> bytes:
        """See `I2cChip`."""
        self._advance()
        if self.fault is Fault.WRONG_IDENTITY:
            return b"\x07" * count  # a port expander gives the levels of its pins
        body = bytes((self._status | (BUSY if self._due_s is not None else 0),)) + self._data
        return (body + bytes((check(body),)) + b"\xff" * count)[:count]

    def _advance(self) -> None:
        if self._due_s is not None and self._around.clock() >= self._due_s:
            self._due_s = None
            self._measure()

    def _measure(self) -> None:
        state, noise = self._around.state(), self._around.noise
        raw_t = min(share(state.celsius + noise * self._random.gauss(0.0, 0.01), -50.0, 200.0, 1 << 20), 0xFFFFF)
        raw_h = min(share(state.percent + noise * self._random.gauss(0.0, 0.024), 0.0, 100.0, 1 << 20), 0xFFFFF)
        if self.fault is Fault.OUT_OF_RANGE:
            raw_t, raw_h = 0, 0
        self._data = (raw_h << 20 | raw_t).to_bytes(5, "big")


MODEL = Model(Aht20Chip, address=0x38)
