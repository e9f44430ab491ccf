"""How many requests somebody may make, and messages a device: so that one without end costs the others nothing."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from wayside_shared.settings import setting

BURST_S: Final = 10.0
"""A page of the console asks for a dozen things at once, and a program begins with a listing: what was not used within
this time may be used at once."""
MAX_KNOWN: Final = 100_000
"""Names that are remembered at a time, some 20 MB; of more the longest silent are forgotten, which favours them."""


class Share(Enum):
    """Whose requests, or messages, are counted together."""

    ADDRESS = "address"
    KEY = "key"
    TENANT = "tenant"
    DEVICE_MESSAGES = "device messages"
    TENANT_MESSAGES = "tenant messages"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """`[rates]`."""

    address: float = setting(
        "Requests a second from one network address, whoever makes them; people behind one router share it, and"
        " all IPv6 addresses of one /64.",
        100.0,
        minimum=1.0,
        maximum=1_000_000.0,
    )
    key: float = setting("Requests a second of one API key, person or device.", 50.0, minimum=0.1, maximum=1_000_000.0)
    tenant: float = setting(
        "Requests a second of all keys, people and devices of one tenant.", 200.0, minimum=0.1, maximum=1_000_000.0
    )

    device_messages: float = setting(
        "MQTT messages a second of one device. The agent is told to slow down before it comes to that; what comes on"
        " top is not taken, and the agent sends it again. Plain devices lose it: it is counted as refused.",
        200.0,
        minimum=0.1,
        maximum=1_000_000.0,
    )
    tenant_messages: float = setting(
        "MQTT messages a second of all devices of one tenant, likewise.", 5_000.0, minimum=0.1, maximum=1_000_000.0
    )

    def of(self, share: Share) -> float:
        """Requests, or messages, a second."""
        return {
            Share.ADDRESS: self.address,
            Share.KEY: self.key,
            Share.TENANT: self.tenant,
            Share.DEVICE_MESSAGES: self.device_messages,
            Share.TENANT_MESSAGES: self.tenant_messages,
        }[share]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a share is used up.

    Args:
        share: whose.
        per_s: requests a second that it may make on and on.
        burst: requests that it may make at once, when it was silent before.
        left: requests that it may make at once now.
    """

    share: Share
    per_s: float
    burst: int
    left: int


class Rates:
    """Counts requests by the generic cell rate algorithm (ITU-T I.371): of each name only one time is kept, at which
    all that it used is earned again.

    Args:
        limits: how much is allowed.
        now_s: a clock that never goes back, in seconds.
    """

    def __init__(self, limits: RateLimits, now_s: Callable[[], float]) -> None:
        self._limits = limits
        self._now_s = now_s
        self._earned_s: OrderedDict[tuple[Share, str], float] = OrderedDict()

    def take(self, share: Share, name: str) -> float:
        """Counts a request; seconds to wait before it may be made, 0 when it may be made now.

        One that must wait is not counted: whoever hammers is served at the allowed rate.
        """
        now_s, each_s = self._now_s(), 1 / self._limits.of(share)
        earned_s = max(self._earned_s.get((share, name), now_s), now_s) + each_s
        if earned_s - now_s > self._room_s(share):
            return earned_s - now_s - self._room_s(share)
        self._earned_s[share, name] = earned_s
        self._earned_s.move_to_end((share, name))
        if len(self._earned_s) > MAX_KNOWN:
            self._earned_s.popitem(last=False)
        return 0.0

    def usage(self, share: Share, name: str) -> Usage:
        """What is left to `name`."""
        now_s, per_s = self._now_s(), self._limits.of(share)
        owed_s = max(self._earned_s.get((share, name), now_s) - now_s, 0.0)
        left = round((self._room_s(share) - owed_s) * per_s)
        return Usage(share, per_s, round(self._room_s(share) * per_s), max(left, 0))

    def _room_s(self, share: Share) -> float:
        return max(BURST_S, 1 / self._limits.of(share))
