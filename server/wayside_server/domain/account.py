"""The account of a device: what it accepted, and where each of those samples is now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wayside_shared.rejects import RejectCode


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One epoch of a device, as the database has it.

    Args:
        epoch: its 16 bytes.
        accepted: samples that the device has accepted, as far as it told.
        stored: samples stored.
        late: those of them that arrived more than five minutes after they were measured.
        duplicates: samples that arrived again and were refused.
        contiguous_upto: every batch up to here is settled.
        reported_pending_from: lowest number that the device still held when it last reported; None before that.
        reported_pending_before: samples that it had accepted before that number.
        not_stored: samples settled otherwise, by outcome.
        settled_before_pending: samples of ledger rows below `reported_pending_from`; needed only when there is a gap.
        estimated: those of the stored ones whose boot never knew the time, and which are timed by what came before and
            after it.
        unsynced: those whose time is what an unsynchronised clock gave.
        estimate_err_ms: largest bound of the error of the estimated ones, in milliseconds.
        forked: two cards wrote to this epoch, so what its batches say of the total cannot be believed: what is settled
            counts as accepted, and what was not settled here went on in another epoch.
    """

    epoch: bytes
    accepted: int
    stored: int
    late: int
    duplicates: int
    contiguous_upto: int
    reported_pending_from: int | None = None
    reported_pending_before: int | None = None
    not_stored: Mapping[str, int] = field(default_factory=dict)
    settled_before_pending: int = 0
    estimated: int = 0
    unsynced: int = 0
    estimate_err_ms: int = 0
    forked: bool = False

    @property
    def settled(self) -> int:
        """Samples that the ledger has, however they were settled."""
        return self.stored + sum(self.not_stored.values())

    @property
    def has_gap(self) -> bool:
        """Whether the device gave up holding a batch that the ledger does not know."""
        return self.reported_pending_from is not None and self.contiguous_upto < self.reported_pending_from - 1

    @property
    def missing(self) -> int:
        """Samples that neither the device nor the ledger has."""
        if self.forked or not self.has_gap or self.reported_pending_before is None:
            return 0
        return max(0, self.reported_pending_before - self.settled_before_pending)

    @property
    def pending(self) -> int:
        """Samples that are still on the device, as far as the server knows."""
        return 0 if self.forked else max(0, self.accepted - self.settled - self.missing)


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """The counters of a device that belong to no epoch.

    Args:
        name: the device.
        plain_stored: samples stored that came without sequence numbers.
        plain_duplicates: those that arrived again, by series and time, and were refused.
        garbage: messages so broken that no batch could be named.
        over_epochs: samples refused because their epoch was one too many, each time that they came.
    """

    name: str
    plain_stored: int = 0
    plain_duplicates: int = 0
    garbage: int = 0
    over_epochs: int = 0


@dataclass(frozen=True, slots=True)
class RowCount:
    """Rows counted one by one in the sample tables, and in the ledger.

    Args:
        rows: samples of the device's series.
        ledger: samples of its ledger rows that are stored.
    """

    rows: int
    ledger: int


@dataclass(frozen=True, slots=True)
class Account:
    """accepted = stored + pending + dropped + rejected + missing, for one device."""

    device: str
    accepted: int
    stored: int
    late: int
    pending: int
    dropped: Mapping[str, int]
    rejected: Mapping[str, int]
    missing: int
    duplicates: int
    plain_stored: int
    plain_duplicates: int
    garbage: int
    epochs: int
    counted: RowCount | None = None
    estimated: int = 0
    unsynced: int = 0
    estimate_err_ms: int = 0

    @property
    def dropped_total(self) -> int:
        """Samples that the device gave up and declared."""
        return sum(self.dropped.values())

    @property
    def rejected_total(self) -> int:
        """Samples that the server refused for good; their bytes are dead letters."""
        return sum(self.rejected.values())

    @property
    def duplicates_stored(self) -> int | None:
        """Rows beyond those stored once; negative when rows are gone. None when nothing was counted."""
        return None if self.counted is None else self.counted.rows - self.stored

    @property
    def sentence(self) -> str:
        """The account in one line for a person."""
        parts = [f"accepted {self.accepted:,}", f"stored {self.stored:,}"]
        if self.pending:
            parts.append(f"pending {self.pending:,}")
        for label, reasons in (("dropped", self.dropped), ("rejected", self.rejected)):
            if reasons:
                why = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
                parts.append(f"{label} {sum(reasons.values()):,} ({why})")
        missing = f"{self.missing:,} missing" if self.missing else "nothing missing"
        return f"{', '.join(parts)}: {missing}{self.timing and '; '}{self.timing}"

    @property
    def timing(self) -> str:
        """How those samples were timed that no synchronised clock timed; empty when there are none."""
        parts = []
        if self.estimated:
            parts.append(f"{self.estimated:,} timed by estimate, within {_duration(self.estimate_err_ms)}")
        if self.unsynced:
            parts.append(f"{self.unsynced:,} by a clock that was not synchronised")
        return "; ".join(parts)


def _duration(ms: int) -> str:
    """`ms`, rounded up, in the largest unit of which there are two or more."""
    for unit, length_ms in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
        if ms > length_ms:
            return f"{-(-ms // length_ms):,} {unit}"
    return f"{max(-(-ms // 1_000), 1)} s"


def settle(device: DeviceRow, streams: Sequence[StreamRow], counted: RowCount | None = None) -> Account:
    """The account of `device` over all its epochs.

    Samples from senders without sequence numbers count as accepted when they are stored: nothing earlier is known.
    """
    dropped: dict[str, int] = {}
    rejected: dict[str, int] = {}
    for stream in streams:
        for outcome, count in stream.not_stored.items():
            kind, _, reason = outcome.partition(":")
            reasons = dropped if kind == "dropped" else rejected
            reasons[reason] = reasons.get(reason, 0) + count
    if device.over_epochs:
        # The server knows nothing else of such an epoch: what it has seen of it is what was accepted.
        code = RejectCode.TOO_MANY_EPOCHS.value
        rejected[code] = rejected.get(code, 0) + device.over_epochs
    own = sum(s.settled if s.forked else max(s.accepted, s.settled) for s in streams)
    return Account(
        device=device.name,
        accepted=own + device.plain_stored + device.over_epochs,
        stored=sum(stream.stored for stream in streams) + device.plain_stored,
        late=sum(stream.late for stream in streams),
        pending=sum(stream.pending for stream in streams),
        dropped=dropped,
        rejected=rejected,
        missing=sum(stream.missing for stream in streams),
        duplicates=sum(stream.duplicates for stream in streams) + device.plain_duplicates,
        plain_stored=device.plain_stored,
        plain_duplicates=device.plain_duplicates,
        garbage=device.garbage,
        epochs=len(streams),
        counted=counted,
        estimated=sum(stream.estimated for stream in streams),
        unsynced=sum(stream.unsynced for stream in streams),
        estimate_err_ms=max((stream.estimate_err_ms for stream in streams), default=0),
    )
