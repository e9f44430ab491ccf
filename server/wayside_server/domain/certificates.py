"""Certificates of devices: how much of their life is used, and what an operator should think of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Protocol

NEAR_END_PART = 6
"""An agent renews at two thirds of a certificate's life and goes on trying: with a sixth left that has failed."""
WITHIN: Mapping[str, timedelta] = MappingProxyType(
    {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
)
"""How soon certificates end that are counted as expiring, by label."""


class Standing(Enum):
    """What an operator should think of a certificate."""

    GOOD = "good"
    NEAR_END = "near its end"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of a device that lasts longest; times are UTC.

    Args:
        device_id: the store's own number for the device.
        device: its name.
        serial: the certificate's serial number.
        not_before: from when on it is good; a day before it was issued.
        not_after: when it ends.
        revoked_at: when it, or the device, was revoked.
        revoked_reason: why.
        last_seen: when the device was last heard.
    """

    device_id: int
    device: str
    serial: int
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None
    revoked_reason: str | None
    last_seen: datetime | None

    def life_used(self, now: datetime) -> float:
        """How much of its life has passed at `now`, from 0 to 1."""
        return min(1.0, max(0.0, (now - self.not_before) / (self.not_after - self.not_before)))

    def standing(self, now: datetime) -> Standing:
        """What to think of it at `now`."""
        if self.revoked_at is not None:
            return Standing.REVOKED
        if now >= self.not_after:
            return Standing.EXPIRED
        if self.not_after - now < (self.not_after - self.not_before) / NEAR_END_PART:
            return Standing.NEAR_END
        return Standing.GOOD


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a device is to the installation; times are UTC.

    Args:
        device: its name.
        revoked_at: when it was revoked; None when it is in good standing.
        revoked_reason: why.
        revoked_by: the actor who did it.
        session_ended_at: when its session with the broker was ended after that; None while that is under way.
        certificate: the one that lasts longest; None when none is known.
    """

    device: str
    revoked_at: datetime | None
    revoked_reason: str | None
    revoked_by: str | None
    session_ended_at: datetime | None
    certificate: Certificate | None


class Certificates(Protocol):
    """Answers from committed state. Every method raises StorageError when the database is away."""

    async def certificates(
        self, tenant_id: int | None, *, after: tuple[datetime, int] | None, limit: int
    ) -> Sequence[Certificate]:
        """The longest-lasting certificate of each device of the tenant, the one that ends first before all.

        Args:
            tenant_id: of which tenant; None of all.
            after: end and device's number of the last one of the page before.
            limit: most to give.
        """

    async def identity(self, tenant_id: int | None, device: str) -> Identity:
        """Of the device called `device`; raises NotFoundError when the tenant has none of that name."""
