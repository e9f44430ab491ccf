"""What the log says of batches that the server refuses for good: each cause once, then how many more there were."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from wayside_shared.clock import NS_PER_S
from wayside_shared.rejects import RejectCode
from wayside_shared.session import Reject

log = logging.getLogger(__name__)

AGAIN_S: Final = 3600.0
"""A cause such as a full tenant lasts until a person acts; a line an hour is found, and fills no card."""


def reason(reject: Reject) -> str:
    """Why, for a person."""
    return f"{reject.code.meaning}: {reject.detail}" if reject.detail else reject.code.meaning


class Refusals:
    """The causes that were said, and what came since."""

    def __init__(self) -> None:
        self._said_ns: dict[RejectCode, int] = {}
        self._since: Counter[RejectCode] = Counter()

    def note(self, refused: Sequence[Reject], now_ns: int) -> None:
        """Batches were refused at `now_ns` (boot time)."""
        for reject in refused:
            log.debug("the server refuses batch %d: %s", reject.seq, reason(reject))
            said_ns = self._said_ns.get(reject.code)
            self._since[reject.code] += 1
            if said_ns is None:
                log.error("the server refuses samples for good: %s; wayside-edge status counts them", reason(reject))
            elif now_ns - said_ns >= AGAIN_S * NS_PER_S:
                log.error("the server refused %d more batches: %s", self._since[reject.code], reason(reject))
            else:
                continue
            self._said_ns[reject.code] = now_ns
            self._since[reject.code] = 0
