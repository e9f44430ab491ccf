"""Microchip MCP23017: sixteen digital inputs."""

from wayside_edge.drivers.mcp23017.driver import KIND, Mcp23017
from wayside_edge.drivers.mcp23017.settings import Mcp23017Input, Mcp23017Settings

__all__ = ["KIND", "Mcp23017", "Mcp23017Input", "Mcp23017Settings"]
