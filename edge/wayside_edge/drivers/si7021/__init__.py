"""Silicon Labs Si7021, and TE HTU21D (`htu21d`), which speaks the same language: temperature and humidity."""

from wayside_edge.drivers.si7021.driver import KIND, Htu21d, Htu21dSettings, Si7021, Si7021Settings

__all__ = ["KIND", "Htu21d", "Htu21dSettings", "Si7021", "Si7021Settings"]
