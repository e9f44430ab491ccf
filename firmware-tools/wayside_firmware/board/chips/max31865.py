"""A MAX31865 at register level, with its element and wires.

Source: Maxim Integrated, MAX31865 data sheet, 19-6478, revision 3 (July 2015): Internal Registers, Tables 1 to 12,
Electrical Characteristics; IEC 60751:2008 for the element. The element is at the signal `probe_celsius`.
"""

import random

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings

CONVERSION_S = {0: 0.052, 1: 0.0625}
"""Typical, with the filter for 60 Hz and for 50 Hz."""
DETECTION_S = 0.0005
NOISE_LSB = 0.5
OPEN, SHORTED, FORCE_OPEN, OVERVOLTAGE = 0xA0, 0x48, 0x20, 0x04
"""What is wrong with the wires, as the fault bits that the chip finds (Tables 10 to 12)."""


class Max31865Chip:
    """A MAX31865 on SPI.

    Args:
        around: what it measures, and the clocks.
        nominal_ohm: the element's resistance at 0 °C.
        reference_ohm: the reference resistor.
        lead_ohm: of each wire.
        wires: of the element.
    """

    def __init__(
        self,
        around: Surroundings,
        nominal_ohm: float = 100.0,
        reference_ohm: float = 430.0,
        lead_ohm: float = 0.0,
        wires: int = 2,
    ) -> None:
        self.fault = Fault.NONE
        self.wrong = 0
        """What is wrong with the wires: 0 or one of `OPEN`, `SHORTED`, `FORCE_OPEN`, `OVERVOLTAGE`."""
        self._around = around
        self._nominal_ohm, self._reference_ohm, self._lead_ohm, self._wires = (
            nominal_ohm,
            reference_ohm,
            lead_ohm,
            wires,
        )
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment: all that was set is lost."""
        self._registers = bytearray(b"\x00\x00\x00\xff\xff\x00\x00\x00")
        self._ready_s: float | None = None
        self._detected_s: float | None = None

    def transfer(self, data: bytes) -> bytes:
        """Take a transfer: an address, whose top bit writes, then data of the registers from there on."""
        self._advance()
        register = data[0] & 0x7F
        if not data[0] & 0x80:
            found = [self._registers[(register + place) % 8] for place in range(len(data) - 1)]
            return b"\x00" + bytes(found)
        for place, value in enumerate(data[1:]):
            self._set((register + place) % 8, value)
        return bytes(len(data))

    def _set(self, register: int, value: int) -> None:
        if self.fault is Fault.WRONG_IDENTITY:
            return
        if register in (3, 4, 5, 6):
            self._registers[register] = value
        if register != 0:
            return
        slow = SLOWNESS if self.fault is Fault.SLOW else 1.0
        now_s = self._around.clock()
        if value & 0x02 and not value & 0x2C:
            self._registers[7] = 0
            self._registers[2] &= 0xFE
        if value & 0x0C == 0x04:
            self._detected_s = now_s + DETECTION_S * slow
        if value & 0x20:
            self._ready_s = now_s + CONVERSION_S[value & 1] * slow
        self._registers[0] = value & ~0x22

    def _advance(self) -> None:
        """Let everything happen that was due by now."""
        now_s = self._around.clock()
        if self._detected_s is not None and now_s >= self._detected_s:
            self._detected_s = None
            self._registers[0] &= ~0x0C
            self._registers[7] |= self._wrong() & 0x3C
        if self._ready_s is not None and now_s >= self._ready_s:
            self._convert(now_s - self._ready_s)
            self._ready_s = None

    def _wrong(self) -> int:
        return OPEN if self.fault is Fault.OUT_OF_RANGE else self.wrong

    def _convert(self, ago_s: float) -> None:
        code = self._code(ago_s) if self._registers[0] & 0x80 else 0
        high, low = (int.from_bytes(self._registers[place : place + 2], "big") >> 1 for place in (3, 5))
        self._registers[7] |= (0x80 if code >= high else 0) | (0x40 if code <= low else 0) | self._wrong() & 0x04
        self._registers[1:3] = (code << 1 | (self._registers[7] != 0)).to_bytes(2, "big")

    def _code(self, ago_s: float) -> int:
        if self._wrong() in (OPEN, FORCE_OPEN):
            return 0x7FFF
        if self._wrong() == SHORTED:
            return 3
        ohm = self._nominal_ohm * _ratio(self._around.signal("probe_celsius", ago_s)) + self._leads_ohm()
        noise = self._around.noise * self._random.gauss(0.0, NOISE_LSB)
        return min(max(round(ohm / self._reference_ohm * 32768 + noise), 0), 0x7FFF)

    def _leads_ohm(self) -> float:
        """What of the wires is measured: all with two; with three, one unless the chip is told."""
        if self._wires == 2:
            return 2 * self._lead_ohm
        told = bool(self._registers[0] & 0x10)
        return self._lead_ohm if self._wires == 3 and not told else 0.0


def _ratio(celsius: float) -> float:
    """IEC 60751 in Horner's form."""
    if celsius >= 0:
        return 1 + celsius * (3.9083e-3 - 5.775e-7 * celsius)
    return 1 + celsius * (3.9083e-3 + celsius * (-5.775e-7 + celsius * (4.183e-10 - 4.183e-12 * celsius)))


MODEL = Model(Max31865Chip, spi=True)
