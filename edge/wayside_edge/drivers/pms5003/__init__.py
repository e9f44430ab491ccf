"""Plantower PMS5003."""

from wayside_edge.drivers.pms5003.driver import KIND, Mode, Pms5003, Pms5003Settings

__all__ = ["KIND", "Mode", "Pms5003", "Pms5003Settings"]
