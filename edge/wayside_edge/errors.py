"""Errors of the agent that the shared tree does not have."""

from wayside_shared.errors import ConfigError, RejectedError, TransientError, WaysideError

__all__ = [
    "BusError",
    "ConfigError",
    "DeviceAbsentError",
    "OutboxError",
    "RejectedError",
    "SensorError",
    "TransientError",
    "WaysideError",
]


class BusError(TransientError):
    """A bus is missing, stuck or refused a transfer. The message names the bus and the fix."""


class DeviceAbsentError(BusError):
    """Nothing acknowledged the address: the chip is unplugged, unpowered or at another address."""


class SensorError(TransientError):
    """A chip answered, but not with a measurement: wrong identity, data not ready, value out of range."""


class OutboxError(TransientError):
    """The outbox cannot take or give data now: disk full, read-only, I/O error."""
