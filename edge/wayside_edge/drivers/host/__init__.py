"""The machine that the agent runs on."""

from wayside_edge.drivers.host.driver import Host, HostSettings

__all__ = ["Host", "HostSettings"]
