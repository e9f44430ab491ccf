"""Bytes of a sample on the wire: the whole MQTT PUBLISH packet of a batch, beside the same samples as JSON."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.batches import BOOT_NS, Body, columns, messages
from bench.figures import TARGETS, Figure, Size
from wayside_shared.batch import CONTENT_TYPE, Column, encode_body
from wayside_shared.clock import NS_PER_S
from wayside_shared.plain import JSON_TYPE

DEVICE = "greenhouse-17"
TOPIC = f"wayside/1/{DEVICE}/up"
BATCH_S = 60
JITTER_NS = 3_000_000


def measure(group: str, size: Size) -> Iterator[Figure]:
    """Batches of 60 s from 8 sensors at 1 Hz, at one tick and each a little late; then of 10 s and 1 s."""
    batches = size.of(40, 4)
    aligned = _series(batches, BATCH_S, 0)
    jitter = _series(batches, BATCH_S, JITTER_NS)
    rows = _per_sample(aligned, _rows)
    single = packet_bytes(
        TOPIC, JSON_TYPE, json.dumps({"t": 1790000000000, "n": "air.temperature", "v": 21.37}).encode()
    )
    limit = TARGETS["wire_bytes_per_sample"][1]
    beside = f"at most {limit}; JSON rows in the same batch {rows:.1f}, a JSON message a sample {single}"
    ours = _per_sample(aligned, _ours)
    yield Figure(group, "wire_bytes_per_sample", ours, "B", f"60 s, aligned; {beside}", ours / rows)
    ours = _per_sample(jitter, _ours)
    yield Figure(group, "wire_bytes_per_sample_jitter", ours, "B", f"60 s, 0 to 3 ms of jitter; {beside}", ours / rows)
    for seconds in (10, 1):
        short = _series(batches, seconds, 0)
        ours, rows = _per_sample(short, _ours), _per_sample(short, _rows)
        how = f"{seconds} s, aligned; JSON rows in the same batch {rows:.1f}"
        yield Figure(group, f"wire_bytes_per_sample_{seconds}s", ours, "B", how, ours / rows)


def packet_bytes(topic: str, content_type: str, payload: bytes) -> int:
    """Size of a PUBLISH at QoS 1. Source: MQTT 5.0, sections 2.1 and 3.3."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = content_type
    rest = 2 + len(topic) + 2 + len(properties.pack()) + len(payload)  # type: ignore[no-untyped-call]
    length_bytes = next(count for count in (1, 2, 3, 4) if rest < 1 << 7 * count)
    return 1 + length_bytes + rest


def _series(batches: int, seconds: int, jitter_ns: int) -> list[list[Column]]:
    random = Random(1)
    return [columns(random, seconds, BOOT_NS + place * seconds * NS_PER_S, jitter_ns) for place in range(batches)]


def _per_sample(batches: Sequence[list[Column]], sizes: Callable[[Sequence[list[Column]]], int]) -> float:
    return sizes(batches) / sum(len(column.values) for batch in batches for column in batch)


def _ours(batches: Sequence[list[Column]]) -> int:
    made = [Body(encode_body(batch), sum(len(column.values) for column in batch)) for batch in batches]
    return sum(packet_bytes(TOPIC, CONTENT_TYPE, message) for message in messages(DEVICE, made, 3600))


def _rows(batches: Sequence[list[Column]]) -> int:
    total = 0
    for batch in batches:
        rows = [
            {"t": 1_790_000_000_000 + at // 1_000_000, "n": column.name, "v": value}
            for column in batch
            for at, value in zip(column.times_ns, column.values, strict=True)
        ]
        total += packet_bytes(TOPIC, JSON_TYPE, json.dumps(rows, separators=(",", ":")).encode())
    return total
