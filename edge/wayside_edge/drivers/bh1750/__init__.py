"""ROHM BH1750FVI: illuminance."""

from wayside_edge.drivers.bh1750.driver import KIND, Bh1750
from wayside_edge.drivers.bh1750.settings import Bh1750Settings

__all__ = ["KIND", "Bh1750", "Bh1750Settings"]
