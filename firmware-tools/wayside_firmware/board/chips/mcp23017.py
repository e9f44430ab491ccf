"""An MCP23017 at register level.

Source: Microchip, MCP23017/MCP23S17 data sheet, DS20001952C (2016): section "Register Description", "Interrupt Logic".
"""

from wayside_firmware.board.chip import Fault, Model, Surroundings

IODIR, IPOL, GPINTEN, DEFVAL, INTCON, IOCON, GPPU, INTF, INTCAP, GPIO, OLAT = range(11)
"""Numbers of the pairs of registers: twice that with IOCON.BANK = 0."""
BANK = 0x80


class Mcp23017Chip:
    """An MCP23017 whose pins count the seconds in binary, unless they are set.

    Args:
        around: the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self._around = around
        self._levels: int | None = None
        self._driven = 0xFFFF
        self.power_cycle()

    def drive(self, levels: int, driven: int = 0xFFFF) -> None:
        """Set the pins from outside; those not `driven` are open."""
        self._levels, self._driven = levels, driven
        self._advance()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self._pairs = [0] * 11
        self._pairs[IODIR] = 0xFFFF
        self._pointer = 0
        self._last = self._pins()

    def write(self, data: bytes) -> None:
        """Take a write: a pointer, then registers."""
        self._advance()
        if data:
            self._pointer = data[0]
        for value in data[1:]:
            pair, shift = self._where(self._pointer)
            if pair == IOCON:
                self._pairs[IOCON] = value << 8 | value
            elif pair not in (INTF, INTCAP):
                pair = OLAT if pair == GPIO else pair
                self._pairs[pair] = self._pairs[pair] & ~(0xFF << shift) | value << shift
            self._pointer += 1
        self._last = self._pins() if len(data) > 1 else self._last

    def read(self, count: int) -> bytes:
        """Give registers from the one pointed at; reading captured or present pins clears their port's interrupts."""
        self._advance()
        if self.fault is Fault.WRONG_IDENTITY:  # a PCF8574 gives its port over and over
            return bytes((0xFF,)) * count
        found = bytearray()
        for _ in range(count):
            pair, shift = self._where(self._pointer)
            word = self._pins() if pair == GPIO else self._pairs[pair]
            found.append(word >> shift & 0xFF)
            if pair in (INTCAP, GPIO):
                self._pairs[INTF] &= ~(0xFF << shift)
            self._pointer += 1
        return bytes(found)

    def _where(self, register: int) -> tuple[int, int]:
        """Pair and shift of a register by its address in the present bank."""
        if self._pairs[IOCON] & BANK:
            return min(register & 0x0F, OLAT), 8 if register & 0x10 else 0
        register %= 0x16
        return register // 2, 8 * (register % 2)

    def _pins(self) -> int:
        levels = int(self._around.wall()) & 0xFFFF if self._levels is None else self._levels
        direction = self._pairs[IODIR]
        outside = levels & self._driven | self._pairs[GPPU] & ~self._driven
        return (outside & direction | self._pairs[OLAT] & ~direction) ^ self._pairs[IPOL]

    def _advance(self) -> None:
        pins = self._pins()
        changed = (pins ^ self._last) & self._pairs[GPINTEN]
        for port in (0x00FF, 0xFF00):
            if changed & port and not self._pairs[INTF] & port:
                self._pairs[INTF] |= changed & port
                self._pairs[INTCAP] = self._pairs[INTCAP] & ~port | pins & port
        self._last = pins


MODEL = Model(Mcp23017Chip, address=0x20)
