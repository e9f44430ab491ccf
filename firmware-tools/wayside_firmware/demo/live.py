"""The account of all devices while the demo runs, in one line."""

import time
from dataclasses import dataclass

from wayside_firmware.demo.api import Api

VERIFY_EVERY = 5
"""Looks from one count of all rows to the next: counting is the only thing here that grows with the table."""


@dataclass(frozen=True, slots=True)
class Look:
    """The sum of the devices' accounts at one moment.

    Args:
        accepted, stored, pending, dropped, missing: as in the account, in samples.
        duplicates: rows stored more than once, when they were last counted.
        samples_per_s: stored since the look before.
        online: devices that are connected.
        devices: how many there are.
    """

    accepted: int
    stored: int
    pending: int
    dropped: int
    missing: int
    duplicates: int
    samples_per_s: float
    online: int
    devices: int

    def line(self) -> str:
        """The look in one line."""
        words = [
            f"accepted {self.accepted:,}",
            f"stored {self.stored:,}",
            f"pending {self.pending:,}",
            f"dropped {self.dropped:,}",
            f"missing {self.missing:,}",
            f"duplicates {self.duplicates:,}",
            f"{self.samples_per_s:.0f} samples/s",
            f"{self.online} of {self.devices} online",
        ]
        return " · ".join(words)


class Watch:
    """Looks at the devices' accounts, again and again.

    Args:
        api: the server.
        devices: names.
    """

    def __init__(self, api: Api, devices: list[str]) -> None:
        self._api = api
        self._devices = devices
        self._looks = 0
        self._before: tuple[float, int] | None = None
        self._duplicates = 0

    def look(self) -> Look:
        """The accounts now.

        Raises:
            TransientError: the server does not answer.
        """
        verify = self._looks % VERIFY_EVERY == 0
        self._looks += 1
        states = {one["name"]: one["state"] for one in self._api.get("/api/v1/devices")["devices"]}
        query = "?verify=true" if verify else ""
        accounts = [self._api.get(f"/api/v1/devices/{name}/account{query}") for name in self._devices if name in states]
        if verify:
            self._duplicates = sum(account["verified"]["duplicates_stored"] for account in accounts)
        totals = {
            word: sum(int(account[word]) for account in accounts)
            for word in ("accepted", "stored", "pending", "dropped", "missing")
        }
        return Look(
            **totals,
            duplicates=self._duplicates,
            samples_per_s=self._rate(totals["stored"]),
            online=sum(states.get(name) == "online" for name in self._devices),
            devices=len(self._devices),
        )

    def _rate(self, stored: int) -> float:
        now = time.monotonic()
        before, self._before = self._before, (now, stored)
        return 0.0 if before is None else max(0, stored - before[1]) / max(1e-3, now - before[0])
