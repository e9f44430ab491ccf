"""Errors of the server that the shared tree does not have."""

from wayside_shared.errors import ConfigError, RejectedError, TransientError, WaysideError

__all__ = [
    "ConfigError",
    "NotFoundError",
    "RejectedError",
    "StorageError",
    "TransientError",
    "UnauthorizedError",
    "WaysideError",
]


class StorageError(TransientError):
    """The database is away, or could not finish; nothing of the transaction counts, try again."""


class NotFoundError(WaysideError):
    """What was asked for does not exist, or not for this caller."""


class UnauthorizedError(WaysideError):
    """Who asks could not be established, or may not do this. The message never says which part was wrong."""
