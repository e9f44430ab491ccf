"""A BMP280 at register level: a BME280 without humidity, with its own identity and pauses.

Source: Bosch Sensortec, BMP280 Data sheet, BST-BMP280-DS001-23, revision 1.23 (November 2020): section 3.6.3 for the
pauses of normal mode, 4.2 for the memory map, 4.3.1 for the identity.
"""

from wayside_firmware.board.chip import Model
from wayside_firmware.board.chips.bme280 import Bme280Chip


class Bmp280Chip(Bme280Chip):
    """A BMP280 in some air, on I2C or SPI."""

    identities = (0x58, 0x60)
    standby_s = (0.0005, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
    humid = False


MODEL = Model(Bmp280Chip, address=0x76, spi=True)
