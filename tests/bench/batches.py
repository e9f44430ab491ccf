"""Batches as eight sensors make them: values with none to three decimals that move a little from one to the next."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from wayside_shared.batch import Column, Counters, Envelope, encode_body, encode_message
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState

SENSORS = (
    ("air.temperature", "Cel", 21.37, 0.02, 2),
    ("air.pressure", "Pa", 101_325.0, 3.0, 0),
    ("air.humidity", "%", 43.21, 0.05, 2),
    ("soil.temperature", "Cel", 14.812, 0.004, 3),
    ("soil.moisture", "%", 31.4, 0.1, 1),
    ("light.illuminance", "lx", 812.0, 4.0, 0),
    ("supply.voltage", "V", 12.431, 0.003, 3),
    ("supply.current", "mA", 86.2, 0.3, 1),
)
"""Name, unit, first value, mean step, decimals."""
BOOT_NS = 1_000 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Body:
    """An encoded body and how many samples it holds."""

    data: bytes
    n: int


def columns(random: Random, seconds: int, start_ns: int = BOOT_NS, jitter_ns: int = 0) -> list[Column]:
    """One batch: every sensor once a second.

    Args:
        random: source of values and jitter.
        seconds: how long.
        start_ns: boot time of the first sample.
        jitter_ns: each reading is late by up to this, in whole milliseconds; 0 aligns all sensors.
    """
    made = []
    for name, unit, first, step, decimals in SENSORS:
        times, values, value = [], [], first
        for second in range(seconds):
            value = round(value + random.gauss(0, step), decimals)
            late_ms = random.randint(0, jitter_ns // 1_000_000)
            times.append(start_ns + second * NS_PER_S + late_ms * 1_000_000)
            values.append(value)
        made.append(Column(name, unit, times, values))
    return made


def bodies(count: int, seconds: int) -> list[Body]:
    """`count` batches that follow each other, of `seconds` seconds each."""
    random = Random(1)
    return [
        Body(encode_body(columns(random, seconds, BOOT_NS + place * seconds * NS_PER_S)), seconds * len(SENSORS))
        for place in range(count)
    ]


def messages(device: str, made: Sequence[Body], before_now_s: int) -> list[bytes]:
    """`made` as the messages of a new epoch of `device`, the first sample `before_now_s` seconds ago."""
    epoch, boot_id = os.urandom(16), os.urandom(16)
    clock = ClockMap(BOOT_NS, time.time_ns() - before_now_s * NS_PER_S, ClockState.SYNCED)
    accepted = 0
    encoded = []
    for seq, body in enumerate(made, 1):
        counters = Counters(seq + 1, accepted + body.n, seq, accepted)
        envelope = Envelope(device, epoch, 1, seq, accepted, body.n, boot_id, clock, counters)
        encoded.append(encode_message(envelope, body.data))
        accepted += body.n
    return encoded
