"""Maxim MAX31855: a thermocouple and its cold junction."""

from wayside_edge.drivers.max31855.driver import KIND, Max31855, Max31855Settings

__all__ = ["KIND", "Max31855", "Max31855Settings"]
