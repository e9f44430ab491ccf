"""Sensirion SCD40, SCD41 and SCD43: carbon dioxide, temperature and humidity."""

from wayside_edge.drivers.scd4x.driver import KIND, Scd4x
from wayside_edge.drivers.scd4x.settings import Scd4xSettings

__all__ = ["KIND", "Scd4x", "Scd4xSettings"]
