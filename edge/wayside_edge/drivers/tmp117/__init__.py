"""Texas Instruments TMP117: temperature to a tenth of a degree."""

from wayside_edge.drivers.tmp117.driver import KIND, Tmp117
from wayside_edge.drivers.tmp117.settings import Tmp117Settings

__all__ = ["KIND", "Tmp117", "Tmp117Settings"]
