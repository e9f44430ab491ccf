"""How fast devices may send. Agents are told to slow down before anything of theirs is not taken."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from math import ceil
from typing import Final

from wayside_server.domain.rates import MAX_KNOWN, Rates, Share
from wayside_server.ingest import metrics

MOST_DEVICES: Final = 100
"""Devices told apart between two looks at what was not taken; that of others counts as nobody's."""
FLEET_PAUSE_MS: Final = 1_000
"""Between the batches of each device, when all of a tenant together are near what they may send."""


class Pace:
    """Counts the messages of devices and tenants.

    Args:
        rates: how many there may be.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._tenants: OrderedDict[str, str] = OrderedDict()
        self._refused: Counter[str | None] = Counter()

    def admits(self, device: str) -> bool:
        """Counts a message of `device`; whether it may be taken."""
        for share, name in self._shares(device):
            if self._rates.take(share, name) > 0:
                metrics.LIMITED.labels(share.value).inc()
                known = device in self._refused or len(self._refused) < MOST_DEVICES
                self._refused[device if known else None] += 1
                return False
        return True

    def learn(self, tenants: Mapping[str, int]) -> None:
        """Take in whose devices these are; messages of one that is not known yet count for no tenant."""
        for device, tenant_id in tenants.items():
            self._tenants[device] = str(tenant_id)
            self._tenants.move_to_end(device)
        while len(self._tenants) > MAX_KNOWN:
            self._tenants.popitem(last=False)

    def pause_ms(self, device: str) -> int:
        """How long `device` should wait between its batches: 0 until half of what it or its tenant may send at once is
        used up."""
        pause_ms = 0
        for share, name in self._shares(device):
            usage = self._rates.usage(share, name)
            if usage.left * 2 < usage.burst:
                fair_ms = ceil(1_000 / usage.per_s)
                pause_ms = max(pause_ms, fair_ms if share is Share.DEVICE_MESSAGES else FLEET_PAUSE_MS)
        return pause_ms

    def take_refused(self) -> Mapping[str | None, int]:
        """Messages that were not taken since the last call, by device."""
        taken = dict(self._refused)
        self._refused.clear()
        return taken

    def _shares(self, device: str) -> list[tuple[Share, str]]:
        shares = [(Share.DEVICE_MESSAGES, device)]
        tenant = self._tenants.get(device)
        if tenant is not None:
            shares.append((Share.TENANT_MESSAGES, tenant))
        return shares
