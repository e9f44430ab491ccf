"""The driver of the MCP3008.

Source: Microchip, MCP3004/3008 data sheet, DS21295: section 4.2 (transfer function), section 5 with Table 5-2 and
Figures 5-1 and 5-2 (serial communication), section 1 (electrical characteristics).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wayside_edge.drivers.mcp3008.settings import INPUTS, Mcp3008Channel, Mcp3008Settings
from wayside_edge.hal.chip import SpiDriver, decimals_of
from wayside_edge.ports import BusProvider, DriverKind, Quantity, Reading
from wayside_shared.quality import Quality

MODE = 0
MAX_SPEED_HZ = 1_350_000
"""At a supply of 2.7 V; 3.6 MHz at 5 V (section 1)."""
TOP = 0x3FF
CODES = 1024
START_AT, NULL_AT, DATA_AT = 25, 19, 9
"""Bits from the end of a transfer of 32: with the start bit so placed, one bit for the sampling, the null bit, the
result from B9 to B0, and then B1 to B9 once more just fill it (Figures 5-1 and 5-2)."""


@dataclass(frozen=True, slots=True)
class _Input:
    channel: Mcp3008Channel
    command: bytes
    step: float
    decimals: int


class Mcp3008(SpiDriver):
    """An MCP3008 on an SPI bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Mcp3008Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.chip_select, mode=MODE, max_speed_hz=MAX_SPEED_HZ)
        self._settings = settings
        self._inputs = [_input(channel, settings.reference_v) for channel in settings.channels]

    def start(self) -> None:
        """See `Driver`. The chip has no identity: what tells that it is there is its null bit, and any input."""
        self.connect()
        self._check_alive()

    def read(self) -> Sequence[Reading]:
        """See `Driver`. One conversion of each channel, which ends with its transfer."""
        codes = [self._convert(each.command) for each in self._inputs]
        if not any(codes):
            self._check_alive()
        return [_reading(each, code) for each, code in zip(self._inputs, codes, strict=True)]

    def close(self) -> None:
        """See `Driver`. The chip is idle whenever it is not selected."""
        self.disconnect()

    def _check_alive(self) -> None:
        codes = [self._convert(_command(INPUTS.index(str(number)))) for number in range(8)]
        if not any(codes) and not self._settings.zero_is_valid:
            what = (
                "reads 0 V at all eight inputs, as a missing one does; check its power and wiring, or set zero_is_valid"
            )
            raise self.error(what, Quality.ABSENT)

    def _convert(self, command: bytes) -> int:
        word = int.from_bytes(self.transfer(command), "big")
        if word >> NULL_AT & 1:
            raise self.error("does not answer (no null bit); check its power, wiring and chip select", Quality.ABSENT)
        code = word >> DATA_AT & TOP
        again = int(f"{word & 0x1FF:09b}"[::-1], 2) << 1 | code & 1
        if again != code:
            what = f"gave 0x{code:03x}, then 0x{again:03x} backwards; shorten the wires, or is it an MCP3208?"
            raise self.error(what, Quality.CHECKSUM)
        return code


def _command(configuration: int) -> bytes:
    return (1 << START_AT | configuration << START_AT - 4).to_bytes(4, "big")


def _input(channel: Mcp3008Channel, reference_v: float) -> _Input:
    step = reference_v / CODES
    digits = decimals_of(step * abs(channel.scale))
    return _Input(channel, _command(INPUTS.index(channel.input)), step, digits)


def _reading(source: _Input, code: int) -> Reading:
    # 1024 × V / VREF (section 4.2): the last code is one step below the reference.
    value = code * source.step * source.channel.scale + source.channel.offset
    quality = Quality.GOOD if 0 < code < TOP else Quality.CLIPPED
    return Reading(source.channel.name, value, source.channel.unit, decimals=source.decimals, quality=quality)


KIND = DriverKind(
    title="Microchip MCP3008: eight analogue inputs of 10 bits",
    settings=Mcp3008Settings,
    build=Mcp3008,
    families=("spi",),
    quantities=(Quantity("*", "", -1e12, 1e12, "±1 LSB (reference / 1024) linearity, ±1.5 LSB zero, ±1 LSB gain"),),
)
"""Accuracy: DS21295, section 1."""
