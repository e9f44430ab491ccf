"""Sensirion SHT30, SHT31, SHT35 and SHT85: temperature and humidity."""

from wayside_edge.drivers.sht3x.driver import KIND, Sht3x
from wayside_edge.drivers.sht3x.settings import Sht3xSettings

__all__ = ["KIND", "Sht3x", "Sht3xSettings"]
