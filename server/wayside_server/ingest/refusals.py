"""What the broker refuses, read from its log: counted, so that an operator sees it without reading logs."""

from collections import Counter

_KINDS = (
    ("certificate verify failed", "broker: untrusted certificate"),
    ("did not return a certificate", "broker: no certificate"),
    ("unsupported protocol", "broker: TLS older than 1.3"),
    ("already connected, closing old connection", "broker: name connected twice"),
    ("OpenSSL Error", "broker: failed handshake"),
    ("Client connection from", "broker: failed handshake"),
)
"""Pieces of mosquitto's and OpenSSL's messages (2.0 and 2.1; 3.0 to 3.5), most telling first."""


def kind_of(line: str) -> str | None:
    """What kind of refusal `line` of the broker's log tells of; None for anything else."""
    return next((kind for piece, kind in _KINDS if piece in line), None)


class RefusalTally:
    """Refusals since the last `take`, so that a storm of them costs one row a kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._details: dict[str, str] = {}

    def note(self, line: str) -> None:
        """Count a line of the broker's log, when it is a refusal."""
        kind = kind_of(line)
        if kind is not None:
            self._counts[kind] += 1
            # The line begins with the broker's clock, which the row has of its own.
            self._details[kind] = line.partition(": ")[2][:300]

    def take(self) -> dict[str, tuple[int, str]]:
        """Count and latest detail by kind; the tally begins anew."""
        taken = {kind: (count, self._details[kind]) for kind, count in self._counts.items()}
        self._counts.clear()
        return taken
