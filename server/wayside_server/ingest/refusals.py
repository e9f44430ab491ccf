"""What the broker refuses, read from its log: counted, so that an operator sees it without reading logs."""

import re
from collections import Counter

from wayside_server.identity.authority import RESERVED_PREFIX
from wayside_shared.topics import Channel, topic

_KINDS = (
    ("certificate verify failed", "broker: untrusted certificate"),
    ("did not return a certificate", "broker: no certificate"),
    ("unsupported protocol", "broker: TLS older than 1.3"),
    ("already connected, closing old connection", "broker: name connected twice"),
    ("OpenSSL Error", "broker: failed handshake"),
    ("Client connection from", "broker: failed handshake"),
)
"""Pieces of mosquitto's and OpenSSL's messages (2.0 and 2.1; 3.0 to 3.5), most telling first."""

_SUBSCRIPTION = re.compile(r"\d+: ([a-z0-9][a-z0-9-]{2,62}) [012] (.+)", re.DOTALL)
"""Mosquitto's line on a subscription: client id, QoS, filter. Its other lines begin with a capital."""
FOREIGN = "broker: foreign topic"
_TWICE = re.compile(r"\d+: Client ([a-z0-9][a-z0-9-]{2,62}) already connected, closing old connection\.?")
MOST_DEVICES = 100
"""Devices told apart between two writes; what others do counts as nobody's, so that a storm costs few rows."""


def kind_of(line: str) -> str | None:
    """What kind of refusal `line` of the broker's log tells of; None for anything else."""
    subscription = _SUBSCRIPTION.fullmatch(line)
    if subscription is not None:
        # The filter is the client's own words, so it is not looked through for the broker's.
        return FOREIGN if _is_foreign(subscription[1], subscription[2]) else None
    return next((kind for piece, kind in _KINDS if piece in line), None)


def _is_foreign(client: str, wanted: str) -> bool:
    """Whether `client` gets nothing for the filter `wanted`, or not only what is its own."""
    below_own_name = topic(client, Channel.ACK).removesuffix(Channel.ACK.value)
    return not client.startswith(RESERVED_PREFIX) and not wanted.startswith(below_own_name)


def device_of(line: str) -> str | None:
    """The device that `line` tells a refusal of; None when its certificate was not good, or there was none."""
    subscription = _SUBSCRIPTION.fullmatch(line)
    if subscription is not None:
        return subscription[1]
    twice = _TWICE.fullmatch(line)
    return None if twice is None else twice[1]


class RefusalTally:
    """Refusals since the last `take`, so that a storm of them costs one row for each kind and device."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str | None]] = Counter()
        self._details: dict[tuple[str, str | None], str] = {}

    def note(self, line: str) -> None:
        """Count a line of the broker's log, when it is a refusal."""
        kind = kind_of(line)
        if kind is not None:
            key = kind, device_of(line)
            if key not in self._counts and len(self._counts) >= MOST_DEVICES:
                key = kind, None
            self._counts[key] += 1
            # The line begins with the broker's clock, which the row has of its own.
            self._details[key] = line.partition(": ")[2][:300]

    def take(self) -> dict[tuple[str, str | None], tuple[int, str]]:
        """Count and latest detail by kind and device; the tally begins anew."""
        taken = {key: (count, self._details[key]) for key, count in self._counts.items()}
        self._counts.clear()
        return taken
