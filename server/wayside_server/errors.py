"""Errors of the server that the shared tree does not have."""

from wayside_shared.errors import ConfigError, RejectedError, TransientError, WaysideError
from wayside_shared.identifiers import is_device_id

__all__ = [
    "ConfigError",
    "NotFoundError",
    "RejectedError",
    "StorageError",
    "ThrottledError",
    "TransientError",
    "UnauthorizedError",
    "WaysideError",
]


class StorageError(TransientError):
    """The database is away, or could not finish; nothing of the transaction counts, try again."""


class NotFoundError(WaysideError):
    """What was asked for does not exist, or not for this caller."""


class ThrottledError(WaysideError):
    """Too much was asked too fast; `retry_after_s` is how many seconds to wait."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class UnauthorizedError(WaysideError):
    """Who asks could not be established, or may not do this. The message never says which part was wrong."""


class UnknownDeviceError(NotFoundError):
    """There is no such device, or it is another tenant's; what is no device's name is not repeated: it may be a secret
    in the wrong place.

    Args:
        name: what was asked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no device {name!r}" if is_device_id(name) else "there is no device of that name")
