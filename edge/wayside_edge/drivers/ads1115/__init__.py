"""Texas Instruments ADS1115: four analogue inputs with 16 bits."""

from wayside_edge.drivers.ads1115.driver import KIND, Ads1115
from wayside_edge.drivers.ads1115.settings import Ads1115Channel, Ads1115Settings

__all__ = ["KIND", "Ads1115", "Ads1115Channel", "Ads1115Settings"]
