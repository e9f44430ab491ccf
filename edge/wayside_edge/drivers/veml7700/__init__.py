"""Vishay VEML7700: illuminance over five decades."""

from wayside_edge.drivers.veml7700.driver import KIND, Veml7700
from wayside_edge.drivers.veml7700.settings import Veml7700Settings

__all__ = ["KIND", "Veml7700", "Veml7700Settings"]
