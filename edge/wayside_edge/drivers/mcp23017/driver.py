"""The driver of the MCP23017.

Source: Microchip, MCP23017/MCP23S17 data sheet, DS20001952C (2016): sections "Byte Mode and Sequential Mode", "Register
Description" with the Table "Control Register Summary (IOCON.BANK = 0)", "Interrupt Logic".
"""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from wayside_edge.drivers.mcp23017.settings import Mcp23017Settings
from wayside_edge.hal.chip import I2cDriver
from wayside_edge.ports import BusProvider, DriverKind, Quantity, Reading
from wayside_shared.quality import Quality

IODIR, IOCON = 0x00, 0x0A
IOCON_OF_BANK_1 = 0x05
"""Where IOCON is while its bit BANK is set; with BANK clear that is GPINTENB."""
MARK = 0x04
"""ODR: the interrupt pins are open drains. Is 0 after power-on, so a chip that was reset shows."""
SETTINGS, BURST = 14, 20
"""Registers up to the last that is set, GPPUB, and up to the last that is read, GPIOB."""


class Mcp23017(I2cDriver):
    """An MCP23017 on an I2C bus, all of whose pins are inputs.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Mcp23017Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._inputs = settings.inputs
        inverted = reduce(or_, (each.bit for each in settings.inputs if each.inverted), 0)
        edges = reduce(or_, (each.bit for each in settings.inputs if each.edges), 0)
        pull_up = reduce(or_, (each.bit for each in settings.inputs if each.pull_up), 0)
        # IODIR, IPOL, GPINTEN, DEFVAL, INTCON (each change counts), IOCON twice, GPPU: port A, then B.
        words = (0xFFFF, inverted, edges, 0, 0, MARK << 8 | MARK, pull_up)
        self._settings = b"".join(word.to_bytes(2, "little") for word in words)
        self._before: int | None = None

    def start(self) -> None:
        """See `Driver`. The chip has no identity: it is one if it keeps its fourteen registers."""
        self.connect()
        self.put(IOCON_OF_BANK_1, b"\x00")
        self.put(IOCON, bytes((MARK,)))
        self.put(IODIR, self._settings)
        kept = self.get(IODIR, SETTINGS)
        if kept != self._settings:
            what = f"is no MCP23017: keeps {kept.hex()} where {self._settings.hex()} was set; check kind and address"
            raise self.error(what, Quality.WRONG_CHIP)
        self._before = None

    def read(self) -> Sequence[Reading]:
        """See `Driver`. Reads settings, captured edges and pins in one transfer, which clears the edges."""
        block = self.get(IODIR, BURST)
        if block[:SETTINGS] != self._settings:
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        captured, pins = (int.from_bytes(block[at : at + 2], "little") for at in (SETTINGS, BURST - 2))
        # While one edge of a port waits, the chip captures no other there; a pin that stayed changed shows itself.
        # What was captured before the first read came from the setting up.
        changed = 0 if self._before is None else captured | (pins ^ self._before)
        self._before = pins
        readings = []
        for each in self._inputs:
            readings.append(Reading(each.name, bool(pins & each.bit), "1"))
            if each.edges:
                readings.append(Reading(f"{each.name}_changed", bool(changed & each.bit), "1"))
        return readings

    def close(self) -> None:
        """See `Driver`."""
        self.disconnect()


KIND = DriverKind(
    title="Microchip MCP23017: sixteen digital inputs",
    settings=Mcp23017Settings,
    build=Mcp23017,
    families=("i2c",),
    quantities=(Quantity("*", "1", 0.0, 1.0),),
    addresses=tuple(range(0x20, 0x28)),
)
"""It cannot be told by reading: to name a register is to write a byte, which sets the outputs of a PCF8574."""
