"""Tenants: whose devices, people and keys these are, and how much of the installation they may take up."""

from dataclasses import dataclass
from datetime import datetime

MOST = 1 << 53
"""No quota is larger: JSON readers take greater integers for floats."""
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{1,62}$"
NAME_RULE = "a name has 2 to 63 of a-z, 0-9 and -, and begins with a letter or digit"
"""`NAME_PATTERN` for people."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a tenant may have at most; None sets no limit.

    Args:
        devices: that are known, whatever became of them.
        series: of all its devices.
        samples: that are stored.
    """

    devices: int | None = None
    series: int | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant has; counted as `Quota`."""

    devices: int
    series: int
    samples: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as the installation knows it.

    Args:
        id: the store's own number for it.
        name: by which people and programs name it; never changed.
        title: what people call it.
        created_at: when it was made, UTC.
        closed_at: when its deletion began; None for all that are in use.
        quota: what it may have.
        usage: what it has.
    """

    id: int
    name: str
    title: str
    created_at: datetime
    closed_at: datetime | None
    quota: Quota
    usage: Usage


def shares(tenant: Tenant) -> list[tuple[str, int, int | None]]:
    """What it is called, how many of it `tenant` has, and may have."""
    usage, quota = tenant.usage, tenant.quota
    return [
        ("devices", usage.devices, quota.devices),
        ("series", usage.series, quota.series),
        ("samples", usage.samples, quota.samples),
    ]
