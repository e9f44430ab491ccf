"""The kind of driver for a BMP280: the BME280's, without humidity."""

from wayside_edge.drivers.bme280.driver import BMP280, Bmp280, identity
from wayside_edge.drivers.bme280.settings import Bmp280Settings
from wayside_edge.ports import DriverKind, I2cBus, Quantity


def _identify(bus: I2cBus, address: int) -> bool:
    return identity(bus, address) in BMP280.identities


KIND = DriverKind(
    title="Bosch BMP280: temperature and pressure",
    settings=Bmp280Settings,
    build=Bmp280,
    families=("i2c", "spi"),
    quantities=(
        Quantity("temperature", "Cel", -40.0, 85.0, "±1.0 °C, ±0.5 °C at 25 °C"),
        Quantity("pressure", "hPa", 300.0, 1100.0, "±1 hPa"),
    ),
    addresses=(0x76, 0x77),
    identify=_identify,
)
"""Accuracies: data sheet BST-BMP280-DS001-23, Table 2."""
