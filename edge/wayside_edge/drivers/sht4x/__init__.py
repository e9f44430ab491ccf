"""Sensirion SHT40, SHT41, SHT43 and SHT45: temperature and humidity."""

from wayside_edge.drivers.sht4x.driver import KIND, Sht4x
from wayside_edge.drivers.sht4x.settings import Sht4xSettings

__all__ = ["KIND", "Sht4x", "Sht4xSettings"]
