"""Audits of certificates: what is near its end, what has ended, and whether the revocation list is renewed."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import structlog

from wayside_server.errors import StorageError
from wayside_server.jobs import metrics

log = structlog.get_logger(__name__)

AUDIT_EVERY_S = 300.0
"""A certificate of a day is near its end for some hours; a list for half a week."""


class Audited(Protocol):
    """What is audited. Every method raises StorageError."""

    async def audit(self, now: datetime) -> Mapping[str, int]:
        """Raises incidents of what was not said before; how many of each kind."""

    async def expiring(self, now: datetime) -> Mapping[str, int]:
        """How many certificates end within a time, by its label, and under 'expired' those that have."""

    async def revoked_devices(self) -> int:
        """How many devices are revoked."""

    async def list_is_stale(self, detail: str) -> None:
        """Raises the incident of a list that was not renewed."""


class Audits:
    """Audits what an installation has issued.

    Args:
        audited: the certificates.
        complaint: what is wrong with the revocation list; None when it is well.
        now: the time, aware.
    """

    def __init__(self, audited: Audited, complaint: Callable[[], str | None], now: Callable[[], datetime]) -> None:
        self._audited = audited
        self._complaint = complaint
        self._now = now
        self._complained = False

    async def run(self) -> None:
        """Audits until cancelled."""
        away = False
        while True:
            try:
                await self.audit()
                away = False
            except StorageError as error:
                if not away:
                    log.warning("certificates could not be audited, trying again", reason=str(error))
                away = True
            await asyncio.sleep(AUDIT_EVERY_S)

    async def audit(self) -> None:
        """One audit.

        Raises:
            StorageError: the database is away.
        """
        now = self._now()
        for kind, count in (await self._audited.audit(now)).items():
            if count:
                log.warning("certificates need somebody", kind=kind, devices=count)
        counts = dict(await self._audited.expiring(now))
        metrics.EXPIRED.set(counts.pop("expired"))
        for label, count in counts.items():
            metrics.EXPIRING.labels(label).set(count)
        metrics.REVOKED.set(await self._audited.revoked_devices())
        metrics.AUDITED.set(now.timestamp())
        await self._look_at_list()

    async def _look_at_list(self) -> None:
        complaint = self._complaint()
        if complaint is not None and not self._complained:
            log.error("the revocation list needs somebody", reason=complaint)
            await self._audited.list_is_stale(complaint)
        elif complaint is None and self._complained:
            log.info("the revocation list is well again")
        self._complained = complaint is not None
