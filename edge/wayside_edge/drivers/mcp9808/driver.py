"""The driver of the MCP9808.

Source: Microchip, MCP9808 data sheet, DS25095A (2011): sections "Sensor Configuration Register", "Ambient Temperature
Register", "Manufacturer ID Register", "Device ID and Revision ID Register", "Resolution Register".
"""

from collections.abc import Sequence

from wayside_edge.drivers.mcp9808.settings import RESOLUTIONS_C, Mcp9808Settings
from wayside_edge.hal.chip import I2cDriver, decimals_of, signed
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

CONFIG, TEMPERATURE, MANUFACTURER, DEVICE, RESOLUTION = 0x01, 0x05, 0x06, 0x07, 0x08
MICROCHIP, DEVICE_ID = 0x0054, 0x04
MARK = 0x0600
"""A hysteresis of 6 °C: does nothing while the alert is off; 0 after power-on, so a chip that was reset shows."""
BITS = 13
"""Two's complement in 1/16 °C; above stand three flags of limits."""
LOW_C, HIGH_C = -40.0, 125.0


class Mcp9808(I2cDriver):
    """An MCP9808 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Mcp9808Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings

    def start(self) -> Steps[None]:
        """See `Driver`."""
        self.connect()
        maker, device = self.word(MANUFACTURER), self.word(DEVICE)
        if (maker, device >> 8) != (MICROCHIP, DEVICE_ID):
            what = f"is no MCP9808: maker 0x{maker:04x}, device 0x{device:04x}, not 0x0054 and 0x0400; check kind"
            raise self.error(what, Quality.WRONG_CHIP)
        self.put(RESOLUTION, bytes((RESOLUTIONS_C.index(self._settings.resolution_c),)))
        self.put_word(CONFIG, MARK)
        found = self.word(CONFIG)
        if found != MARK:
            raise self.error(f"keeps its settings locked (0x{found:04x}); take its power away for a moment")
        yield self._settings.conversion_s

    def read(self) -> Sequence[Reading]:
        """See `Driver`. The chip measures all the time."""
        word = self.word(TEMPERATURE)
        if self.word(CONFIG) != MARK:
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        celsius = signed(word, BITS) / 16
        if not LOW_C - 5 <= celsius <= HIGH_C + 5:
            raise self.error(f"gives {celsius} °C, outside of what it can measure", Quality.OUT_OF_RANGE)
        return [Reading("temperature", celsius, "Cel", decimals=decimals_of(self._settings.resolution_c))]

    def close(self) -> None:
        """See `Driver`. It goes on measuring, as after power-on."""
        self.disconnect()


def _identify(bus: I2cBus, address: int) -> bool:
    found = [bus.write_read(address, bytes((register,)), 2) for register in (MANUFACTURER, DEVICE)]
    return found[0] == MICROCHIP.to_bytes(2, "big") and found[1][0] == DEVICE_ID


KIND = DriverKind(
    title="Microchip MCP9808: temperature",
    settings=Mcp9808Settings,
    build=Mcp9808,
    families=("i2c",),
    quantities=(Quantity("temperature", "Cel", LOW_C, HIGH_C, "±0.5 °C from -20 °C to 100 °C, ±1 °C elsewhere"),),
    addresses=tuple(range(0x18, 0x20)),
    identify=_identify,
)
"""Accuracy: Table "Temperature Characteristics", greatest errors."""
