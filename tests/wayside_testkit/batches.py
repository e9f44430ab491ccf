"""Batches as a device makes them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from wayside_server.domain.ingest import Item, Raw
from wayside_server.ingest.decode import decode
from wayside_shared.batch import CONTENT_TYPE, Column, Counters, Drop, Envelope, Marks, encode_body, encode_message
from wayside_shared.clock import NS_PER_S, NS_PER_US, ClockMap, ClockState
from wayside_shared.topics import Channel, topic

BOOT = b"boot-of-the-test"
WALL_NS = 1_790_000_000 * NS_PER_S
BOOT_NS = 1_000 * NS_PER_S
CLOCK = ClockMap(BOOT_NS, WALL_NS, ClockState.SYNCED)


def column(name: str, values: Sequence[float | bool | str], *, unit: str = "Cel", start_s: int = 0) -> Column:
    """One value a second from `start_s` seconds after the boot time of `CLOCK`."""
    times = [BOOT_NS + (start_s + i) * NS_PER_S for i in range(len(values))]
    return Column(name, unit, times, values)


@dataclass
class Device:
    """Numbers batches of one epoch as an agent does.

    Args:
        name: its name.
        epoch: 16 bytes.
    """

    name: str = "boiler-7"
    epoch: bytes = b"epoch-one-------"
    seq: int = 0
    accepted: int = 0
    sent: dict[int, bytes] = field(default_factory=dict)

    def message(self, *columns: Column, drops: Sequence[Drop] = (), marks: Sequence[Marks] = ()) -> bytes:
        """The next batch as the bytes of its message; `sent` keeps it by number."""
        n = sum(len(c.values) for c in columns) + sum(mark.absent for mark in marks)
        return self._next(n, encode_body(columns, drops, marks))

    def broken(self) -> Item:
        """The next batch as ingest sees it: one sample, whose series has a name that no encoder would let through."""
        body = zlib.decompress(encode_body([column("bad-name", [1.0])])).replace(b"bad-name", b"bad name")
        return received(self.name, self._next(1, zlib.compress(body)))

    def _next(self, n: int, body: bytes) -> bytes:
        self.seq += 1
        counters = Counters(self.seq + 1, self.accepted + n, self.seq, self.accepted)
        envelope = Envelope(self.name, self.epoch, 1, self.seq, self.accepted, n, BOOT, CLOCK, counters)
        self.accepted += n
        self.sent[self.seq] = encode_message(envelope, body)
        return self.sent[self.seq]

    def item(self, *columns: Column, drops: Sequence[Drop] = (), marks: Sequence[Marks] = ()) -> Item:
        """The next batch as ingest sees it."""
        return received(self.name, self.message(*columns, drops=drops, marks=marks))


def received(device: str, payload: bytes, content_type: str = CONTENT_TYPE, *, channel: Channel = Channel.UP) -> Item:
    """`payload` as ingest sees it, received two seconds after `WALL_NS`."""
    at_us = (WALL_NS + 2 * NS_PER_S) // NS_PER_US
    return decode(Raw(device, topic(device, channel), content_type, payload, at_us), channel)
