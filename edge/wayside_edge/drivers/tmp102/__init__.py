"""Texas Instruments TMP102: temperature."""

from wayside_edge.drivers.tmp102.driver import KIND, Tmp102
from wayside_edge.drivers.tmp102.settings import Tmp102Settings

__all__ = ["KIND", "Tmp102", "Tmp102Settings"]
