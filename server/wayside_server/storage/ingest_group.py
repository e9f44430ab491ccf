"""A group of messages on its way into the database: what is known of it, and its columns for each statement."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wayside_server.domain.ingest import LATE_US, Batch, Incident, Item, Plain, Plan, StreamKey
from wayside_server.domain.limits import IMPOSSIBLE_COUNTERS, DeviceLimits, contradiction, too_much
from wayside_shared.batch import Counters
from wayside_shared.clock import ClockState
from wayside_shared.columns import Block, Body
from wayside_shared.quality import FIRST_ABSENT
from wayside_shared.rejects import RejectCode

Series = tuple[int, str, str]

MAX_ERR_MS = 100 * 366 * 86_400_000
"""A century: times lie in 2000 to 2099."""


@dataclass(slots=True)
class LockedStream:
    """A locked row of `stream`."""

    id: int
    contiguous_upto: int
    max_seq: int
    stored: int


@dataclass(slots=True)
class Group:
    """What is known of a group while it is written."""

    devices: dict[str, int] = field(default_factory=dict)
    tenants: dict[str, int] = field(default_factory=dict)
    """Of the devices, by their names."""
    revoked: set[str] = field(default_factory=set)
    """Devices that are let in no more."""
    gone: set[str] = field(default_factory=set)
    """Devices that were deleted with their tenant, or are about to be."""
    devices_locked: bool = False
    streams: dict[StreamKey, LockedStream] = field(default_factory=dict)
    series: dict[Series, int] = field(default_factory=dict)
    over_epochs: list[Batch] = field(default_factory=list)
    """Refused batches of epochs that may not be."""
    incidents: dict[tuple[int, str], Incident] = field(default_factory=dict)
    """By device's id and kind."""
    blocks: list[tuple[int, Block]] = field(default_factory=list)
    late: dict[StreamKey, int] = field(default_factory=lambda: defaultdict(int))
    estimated: dict[StreamKey, int] = field(default_factory=lambda: defaultdict(int))
    unsynced: dict[StreamKey, int] = field(default_factory=lambda: defaultdict(int))
    estimate_err_ms: dict[StreamKey, int] = field(default_factory=lambda: defaultdict(int))
    stored: dict[StreamKey, int] = field(default_factory=lambda: defaultdict(int))
    plain_stored: int = 0
    plain_duplicates: int = 0

    def count_stored(self, batch: Batch, blocks: Sequence[Block]) -> None:
        """Enter what is stored of `batch`, and how its samples were timed."""
        key, clock, samples = batch.stream, batch.envelope.clock, sum(block.samples for block in blocks)
        self.stored[key] += samples
        self.late[key] += older(blocks, batch.raw.received_us - LATE_US)
        if clock.state is ClockState.ESTIMATED:
            self.estimated[key] += samples
            # A device may claim any bound; the column holds 64 bits.
            self.estimate_err_ms[key] = max(self.estimate_err_ms[key], min(clock.err_ms, MAX_ERR_MS))
        elif clock.state is ClockState.UNSYNCED:
            self.unsynced[key] += samples

    def note(self, device: str, kind: str, detail: str) -> None:
        """An operator must see that `kind` happened to `device`; `detail` says what in particular."""
        incident = self.incidents.setdefault((self.devices[device], kind), Incident(device, kind, detail))
        incident.detail = detail
        incident.count += 1


def blocks_of(item: Item) -> Sequence[Block]:
    match item:
        case Batch(content=Body() as body):
            return body.blocks
        case Plain(blocks=blocks):
            return blocks
        case _:
            return ()


def older(blocks: Sequence[Block], than_us: int) -> int:
    """How many samples of one batch were measured before `than_us`, in UTC microseconds."""
    counts: dict[int, int] = {}
    total = 0
    for block in blocks:
        if block.qualities is not None:
            total += int(np.count_nonzero((block.times_us < than_us) & (block.qualities >= FIRST_ABSENT)))
            continue
        # The series of a batch mostly share one column of times.
        column = id(block.times_us)
        if column not in counts:
            counts[column] = int(np.count_nonzero(block.times_us < than_us))
        total += counts[column]
    return total


def progress(
    group: Group,
    key: StreamKey,
    batches: Sequence[Batch],
    settled: Sequence[int],
    plan: Plan,
    limits: DeviceLimits,
) -> dict[str, Any]:
    """What the group changes in one stream, as a row for the statement `advance`.

    Args:
        group: it.
        key: the stream.
        batches: those of the stream.
        settled: numbers that are new in its ledger.
        plan: what was decided.
        limits: what may be believed.
    """
    own = [batch.envelope for batch in batches]
    stream = group.streams[key]
    stored = stream.stored + group.stored[key]
    reports = [
        envelope.counters
        for envelope in own
        if envelope.counters is not None and believed(group, key[0], envelope.counters, stored, limits)
    ]
    report = max(reports, key=lambda counters: counters.next_seq, default=None)
    forked = any(reject.code is RejectCode.SEQ_REUSE for reject in plan.rejects.get(key, ()))
    told = [envelope.before + envelope.n for envelope in own]
    credible = [accepted for accepted in told if not too_much(accepted, stored, limits)]
    if len(credible) < len(told):
        group.note(key[0], IMPOSSIBLE_COUNTERS, f"a batch would be behind {max(told)} samples, and {stored} are stored")
    return {
        "stream_ids": stream.id,
        "accepted": max([*credible, report.accepted if report else 0], default=0),
        "stored": group.stored[key],
        "late": group.late[key],
        "estimated": group.estimated[key],
        "unsynced": group.unsynced[key],
        "err_ms": group.estimate_err_ms[key],
        "duplicates": plan.duplicates.get(key, 0),
        "max_seqs": max(settled, default=stream.max_seq),
        "next_seqs": report.next_seq if report else None,
        "pending_froms": report.pending_from if report else None,
        "pending_befores": report.pending_before if report else None,
        "forked": forked,
    }


def believed(group: Group, device: str, counters: Counters, stored: int, limits: DeviceLimits) -> bool:
    """Whether `counters` can be true; if not, that is noted."""
    why = contradiction(counters, stored, limits)
    if why is not None:
        group.note(device, IMPOSSIBLE_COUNTERS, why)
    return why is None


def flat(placed: Sequence[tuple[int, Block]]) -> dict[str, list[Any]]:
    """Blocks as columns of single samples; for the few that do not go through COPY."""
    columns: dict[str, list[Any]] = {"series_ids": [], "times_us": [], "values": [], "texts": [], "qualities": []}
    for number, block in placed:
        columns["series_ids"].extend([number] * len(block))
        columns["times_us"].extend(block.times_us.tolist())
        columns["values"].extend([] if block.numbers is None else block.numbers.tolist())
        columns["texts"].extend(block.texts or ())
        columns["qualities"].extend([] if block.qualities is None else block.qualities.tolist())
    return columns


def newest(placed: Sequence[tuple[int, Block]]) -> dict[str, list[Any]]:
    """The newest sample of each series in `placed`, as columns like those of `flat`."""
    found: dict[int, tuple[int, Block, int]] = {}
    for number, block in placed:
        at = int(block.times_us.argmax())
        time_us = int(block.times_us[at])
        if number not in found or found[number][0] <= time_us:
            found[number] = (time_us, block, at)
    columns: dict[str, list[Any]] = {"series_ids": [], "times_us": [], "values": [], "texts": [], "qualities": []}
    for number, (time_us, block, at) in found.items():
        columns["series_ids"].append(number)
        columns["times_us"].append(time_us)
        columns["values"].append(None if block.numbers is None else float(block.numbers[at]))
        columns["texts"].append(None if block.texts is None else block.texts[at])
        columns["qualities"].append(None if block.qualities is None else int(block.qualities[at]))
    return columns


def printable(text: str | None) -> str | None:
    """`text` as PostgreSQL can hold it."""
    return None if text is None else text.replace("\0", "").encode("utf-8", "replace").decode()
