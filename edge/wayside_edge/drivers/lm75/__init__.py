"""LM75 and its kin: temperature."""

from wayside_edge.drivers.lm75.driver import KIND, Lm75
from wayside_edge.drivers.lm75.settings import Lm75Settings

__all__ = ["KIND", "Lm75", "Lm75Settings"]
