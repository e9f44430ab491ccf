"""Microchip MCP3008: eight analogue inputs."""

from wayside_edge.drivers.mcp3008.driver import KIND, Mcp3008
from wayside_edge.drivers.mcp3008.settings import Mcp3008Channel, Mcp3008Settings

__all__ = ["KIND", "Mcp3008", "Mcp3008Channel", "Mcp3008Settings"]
