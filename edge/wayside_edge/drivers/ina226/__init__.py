"""Texas Instruments INA226: current, voltage and power, with averages and an alert."""

from wayside_edge.drivers.ina226.driver import KIND, Ina226
from wayside_edge.drivers.ina226.settings import Ina226Settings

__all__ = ["KIND", "Ina226", "Ina226Settings"]
