"""Fixtures for every level."""

pytest_plugins = ["wayside_testkit.postgres"]
