"""Fixtures for every level."""

pytest_plugins = [
    "wayside_testkit.postgres",
    "wayside_testkit.credentials",
    "wayside_testkit.broker",
    "wayside_testkit.installation",
]
