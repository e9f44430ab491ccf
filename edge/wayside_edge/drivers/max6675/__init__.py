"""Maxim MAX6675: a type K thermocouple."""

from wayside_edge.drivers.max6675.driver import KIND, Max6675, Max6675Settings

__all__ = ["KIND", "Max6675", "Max6675Settings"]
