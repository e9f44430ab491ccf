"""Texas Instruments INA219: current, voltage and power."""

from wayside_edge.drivers.ina219.driver import KIND, Ina219
from wayside_edge.drivers.ina219.settings import Ina219Settings

__all__ = ["KIND", "Ina219", "Ina219Settings"]
