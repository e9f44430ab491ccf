"""Microchip MCP9808: temperature."""

from wayside_edge.drivers.mcp9808.driver import KIND, Mcp9808
from wayside_edge.drivers.mcp9808.settings import Mcp9808Settings

__all__ = ["KIND", "Mcp9808", "Mcp9808Settings"]
