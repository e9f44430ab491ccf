"""Recorded measurements, played back from a CSV file."""

from wayside_edge.drivers.replay.driver import Replay
from wayside_edge.drivers.replay.settings import ReplaySettings

__all__ = ["Replay", "ReplaySettings"]
