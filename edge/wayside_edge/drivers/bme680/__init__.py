"""Bosch BME680 and BME688: temperature, pressure, humidity and gas resistance."""

from wayside_edge.drivers.bme680.driver import KIND, Bme680
from wayside_edge.drivers.bme680.settings import Bme680Settings

__all__ = ["KIND", "Bme680", "Bme680Settings"]
