"""The machine that the agent runs on."""

from wayside_edge.drivers.host.driver import KIND, Host, HostSettings

__all__ = ["KIND", "Host", "HostSettings"]
