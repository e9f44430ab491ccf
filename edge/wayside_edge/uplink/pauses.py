"""How long a device waits between two attempts to connect."""

from random import Random

RECONNECT_BASE_S = 1.0
"""A broker that comes back is found within a minute; full jitter spreads a fleet over it."""


def pause_s(failures: int, longest_s: float, random: Random) -> float:
    """How long to wait before the next attempt to connect, in seconds: by lot, so that devices that lost a broker
    together do not come back together ("full jitter").

    Args:
        failures: attempts and short sessions in a row.
        longest_s: where the pauses stop to grow.
        random: source of the lot.
    """
    spread_s = min(longest_s, RECONNECT_BASE_S * 2.0 ** min(failures, 30))
    return RECONNECT_BASE_S * 0.2 + random.uniform(0, spread_s)
