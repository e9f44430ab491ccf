"""Hypothesis for all properties: no deadline a shared machine could miss, a count that keeps the suite short."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "wayside", deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("wayside")
