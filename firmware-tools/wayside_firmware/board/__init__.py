"""A simulated board: chips modelled at register level, on a bus shaped like smbus2's `SMBus`."""

from wayside_firmware.board.build import open_bus
from wayside_firmware.board.bus import Fault, SimulatedBus

__all__ = ["Fault", "SimulatedBus", "open_bus"]
