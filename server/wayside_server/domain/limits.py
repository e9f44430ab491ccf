"""What one device may take up, whatever it sends: a broken or hostile one must not cost the others their server."""

from dataclasses import dataclass

from wayside_shared.batch import Counters
from wayside_shared.settings import setting

TOO_MANY_SERIES = "too many series"
TOO_MANY_EPOCHS = "too many epochs"
TENANT_FULL = "tenant full"
LETTERS_OVER_QUOTA = "dead letters over quota"
IMPOSSIBLE_COUNTERS = "impossible counters"
CARD_RESTORED = "card restored or cloned"
SERVER_BEHIND = "server behind"


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """`[limits]`."""

    series: int = setting(
        "Series of one device; a batch that would make more is refused. A batch holds 2,048 at the most, a board has"
        " tens.",
        4_096,
        minimum=1,
        maximum=1_000_000,
    )
    epochs: int = setting(
        "Epochs of one device; batches of further ones are refused. A card that is replaced or restored begins one, and"
        " an outbox in memory with each boot: daily boots for five years fit.",
        2_000,
        minimum=1,
        maximum=1_000_000,
    )
    dead_letters: int = setting(
        "Dead letters of one device that are kept one by one; what comes on top is counted by its code.",
        1_000,
        minimum=1,
        maximum=1_000_000,
    )
    dead_letter_bytes: int = setting(
        "Bytes of dead letters kept for one device, by default 64 messages of the largest size; of what comes on top"
        " size and SHA-256 are kept.",
        16 * 1024 * 1024,
        minimum=0,
        maximum=1 << 40,
    )
    log_lines: int = setting(
        "Lines of the log of one device that are kept, when it copies them to the server; the oldest make room.",
        5_000,
        minimum=0,
        maximum=1_000_000,
    )
    log_days: float = setting(
        "How long they are kept, in days; looked after whenever the device sends some.", 30.0, minimum=0.0
    )
    unsettled_samples: int = setting(
        "Samples that one device can hold; a report of more is not believed. A card of 16 GB holds about as many as"
        " the default.",
        10_000_000_000,
        minimum=65_536,
        maximum=1 << 50,
    )


def contradiction(counters: Counters, stored: int, limits: DeviceLimits) -> str | None:
    """Why a device's report cannot be true, or None.

    Args:
        counters: what it reports of a stream.
        stored: samples of the stream that are stored.
        limits: what a device can hold.
    """
    if counters.pending_from > counters.next_seq or counters.pending_before > counters.accepted:
        return (
            f"its lowest pending batch would be {counters.pending_from} of {counters.next_seq}, with"
            f" {counters.pending_before} of {counters.accepted} samples before it"
        )
    if too_much(counters.accepted, stored, limits):
        return f"it would have accepted {counters.accepted} samples, and {stored} are stored"
    return None


def too_much(accepted: int, stored: int, limits: DeviceLimits) -> bool:
    """Whether more than a device can hold would lie between `accepted` and `stored` samples of a stream."""
    return accepted > stored + limits.unsettled_samples
