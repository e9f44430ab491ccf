"""What each device attempted and what was accepted, kept where no fault reaches it, and the verdict over it."""

import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DEVICE_SPAN = 1_000_000_000
"""Values of device number n lie from n times this on, so that each value names its device and is given out once."""
_RECORD = struct.Struct("<qqq")


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of consecutive values. `seq` is its number in the outbox, 0 while that is not known."""

    first: int
    count: int
    seq: int = 0

    @property
    def values(self) -> range:
        """Its samples' values."""
        return range(self.first, self.first + self.count)


class Ledger:
    """The two files of one device. A record is one unbuffered write, so that SIGKILL leaves all of it or nothing.

    Args:
        folder: where no fault reaches.
        device: the device's name.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self._attempted = folder / f"{device}.attempted"
        self._accepted = folder / f"{device}.accepted"

    def attempt(self, batch: Batch) -> None:
        """Before the batch is offered to the outbox."""
        _write(self._attempted, batch)

    def accept(self, batch: Batch) -> None:
        """After the outbox has taken it."""
        _write(self._accepted, batch)

    def attempted(self) -> list[Batch]:
        """Every batch that may be in the database."""
        return list(_read(self._attempted))

    def accepted(self) -> list[Batch]:
        """Every batch that must be."""
        return list(_read(self._accepted))

    def next_value(self, number: int) -> int:
        """A value of device `number` that was never attempted."""
        attempted = self.attempted()
        return attempted[-1].first + attempted[-1].count if attempted else number * DEVICE_SPAN


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of what the promise rules out, in samples (`partial`: in batches); and of what it stands on."""

    accepted: int
    lost: int
    duplicated: int
    phantom: int
    partial: int
    in_doubt: int

    @property
    def clean(self) -> bool:
        """Whether the promise held."""
        return not (self.lost or self.duplicated or self.phantom or self.partial)


def judge(
    ledgers: Mapping[str, Ledger], stored: Mapping[str, Counter[int]], dropped: Collection[tuple[str, int]]
) -> Verdict:
    """The four sets compared.

    Args:
        ledgers: by device.
        stored: how often each value stands in the database, by device.
        dropped: (device, seq) of batches that were declared dropped.
    """
    verdicts = [_judge(name, ledger, stored.get(name, Counter()), dropped) for name, ledger in ledgers.items()]
    foreign = sum(sum(counts.values()) for name, counts in stored.items() if name not in ledgers)
    return Verdict(
        accepted=sum(v.accepted for v in verdicts),
        lost=sum(v.lost for v in verdicts),
        duplicated=sum(v.duplicated for v in verdicts),
        phantom=sum(v.phantom for v in verdicts) + foreign,
        partial=sum(v.partial for v in verdicts),
        in_doubt=sum(v.in_doubt for v in verdicts),
    )


def _judge(name: str, ledger: Ledger, stored: Counter[int], dropped: Collection[tuple[str, int]]) -> Verdict:
    attempted, accepted = ledger.attempted(), ledger.accepted()
    offered = {value for batch in attempted for value in batch.values}
    taken = _values(accepted)
    owed = _values([batch for batch in accepted if (name, batch.seq) not in dropped])
    found = [(batch.count, sum(value in stored for value in batch.values)) for batch in attempted]
    return Verdict(
        accepted=len(taken),
        lost=len(owed - stored.keys()),
        duplicated=sum(times - 1 for times in stored.values()),
        phantom=len(stored.keys() - offered),
        partial=sum(0 < present < count for count, present in found),
        in_doubt=len(stored.keys() - taken),
    )


def _values(batches: Sequence[Batch]) -> set[int]:
    return {value for batch in batches for value in batch.values}


def _write(path: Path, batch: Batch) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, _RECORD.pack(batch.first, batch.count, batch.seq))
    finally:
        os.close(handle)


def _read(path: Path) -> Iterator[Batch]:
    content = path.read_bytes() if path.exists() else b""
    whole = len(content) - len(content) % _RECORD.size
    for first, count, seq in _RECORD.iter_unpack(content[:whole]):
        yield Batch(first, count, seq)
