"""A PWM output of the kernel."""

from wayside_edge.drivers.pwm.driver import KIND, PwmDriver, PwmOutputSettings

__all__ = ["KIND", "PwmDriver", "PwmOutputSettings"]
