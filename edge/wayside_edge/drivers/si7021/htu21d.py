"""The kind of driver for an HTU21D: the Si7021's, with its times."""

from wayside_edge.drivers.si7021.driver import ADDRESS, HTU21D, MAX_C, MIN_C, Htu21d, Htu21dSettings, is_part
from wayside_edge.ports import DriverKind, I2cBus, Quantity


def _identify(bus: I2cBus, address: int) -> bool:
    return is_part(HTU21D, bus, address)


KIND = DriverKind(
    title="TE HTU21D: temperature and humidity",
    settings=Htu21dSettings,
    build=Htu21d,
    families=("i2c",),
    quantities=(
        Quantity("temperature", "Cel", MIN_C, MAX_C, "±0.3 °C at 25 °C"),
        Quantity("humidity", "%", 0.0, 100.0, "±2 % from 20 % to 80 %"),
    ),
    addresses=(ADDRESS,),
    identify=_identify,
)
"""Accuracies: data sheet HTU21D(F), typical."""
