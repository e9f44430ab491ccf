"""A simulated board: chips modelled at register level, on buses shaped like smbus2's, spidev's and pyserial's."""

from wayside_firmware.board.build import open_bus, open_spi, open_uart
from wayside_firmware.board.bus import SimulatedBus, SimulatedSpi
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.gpio import open_gpio
from wayside_firmware.board.modbus import open_modbus

__all__ = ["Fault", "SimulatedBus", "SimulatedSpi", "open_bus", "open_gpio", "open_modbus", "open_spi", "open_uart"]
