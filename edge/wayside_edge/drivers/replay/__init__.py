"""Recorded measurements, played back from a CSV file."""

from wayside_edge.drivers.replay.driver import KIND, Replay
from wayside_edge.drivers.replay.settings import ReplaySettings

__all__ = ["KIND", "Replay", "ReplaySettings"]
