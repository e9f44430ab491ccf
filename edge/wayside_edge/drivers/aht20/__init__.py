"""Aosong AHT20 and AHT21: temperature and humidity."""

from wayside_edge.drivers.aht20.driver import KIND, Aht20, Aht20Settings

__all__ = ["KIND", "Aht20", "Aht20Settings"]
