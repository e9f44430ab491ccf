"""Maxim DS18B20 and its sisters on 1-Wire."""

from wayside_edge.drivers.ds18b20.driver import KIND, Ds18b20, Ds18b20Settings

__all__ = ["KIND", "Ds18b20", "Ds18b20Settings"]
