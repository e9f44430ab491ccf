"""Upkeep that no request waits for."""
