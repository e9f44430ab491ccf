"""Analog Devices ADXL345: acceleration."""

from wayside_edge.drivers.adxl345.driver import KIND, Adxl345
from wayside_edge.drivers.adxl345.settings import Adxl345Settings

__all__ = ["KIND", "Adxl345", "Adxl345Settings"]
