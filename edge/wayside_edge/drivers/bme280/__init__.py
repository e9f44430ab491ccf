"""Bosch BME280: temperature, pressure and humidity."""

from wayside_edge.drivers.bme280.driver import KIND, Bme280
from wayside_edge.drivers.bme280.settings import Bme280Settings

__all__ = ["KIND", "Bme280", "Bme280Settings"]
