"""Sensirion SGP40: raw signal of volatile organic compounds."""

from wayside_edge.drivers.sgp40.driver import KIND, Sgp40, Sgp40Settings

__all__ = ["KIND", "Sgp40", "Sgp40Settings"]
