"""Errors of the agent that the shared tree does not have."""

from wayside_shared.errors import ConfigError, RejectedError, TransientError, WaysideError
from wayside_shared.quality import Quality

__all__ = [
    "BusError",
    "ConfigError",
    "DeviceAbsentError",
    "DeviceRefusedError",
    "OutboxError",
    "RejectedError",
    "SensorError",
    "TransientError",
    "WaysideError",
]


class BusError(TransientError):
    """A bus is missing, stuck or refused a transfer. The message names the bus and the fix."""

    quality = Quality.BUS_FAULT


class DeviceAbsentError(BusError):
    """Nothing acknowledged the address: the chip is unplugged, unpowered or at another address."""

    quality = Quality.ABSENT


class SensorError(TransientError):
    """A chip answered, but not with a measurement.

    Args:
        message: which chip, what is wrong, and the fix.
        quality: what its samples are marked with: one that has no value.
    """

    def __init__(self, message: str, quality: Quality = Quality.INVALID) -> None:
        super().__init__(message)
        self.quality = quality


class OutboxError(TransientError):
    """The outbox cannot take or give data now: disk full, read-only, I/O error."""


class DeviceRefusedError(TransientError):
    """The broker was reached, and ended the session of this device before it came about.

    With TLS 1.3 that is how a refused certificate shows: as a disconnect after a handshake that seemed to succeed
    (RFC 8446, section 4.4.2.4). A broker that is just being restarted looks the same, once or twice.
    """
