"""Bosch BME280: temperature, pressure and humidity; and BMP280, without humidity (`bmp280`)."""

from wayside_edge.drivers.bme280.driver import KIND, Bme280, Bmp280
from wayside_edge.drivers.bme280.settings import Bme280Settings, Bmp280Settings

__all__ = ["KIND", "Bme280", "Bme280Settings", "Bmp280", "Bmp280Settings"]
