"""From MQTT to committed rows, beside what PostgreSQL can take at all and beside the consumer that people write first.

All of them in turn, several times, in one run: the same broker, database, table and disk.
"""

import asyncio
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import psutil
import psycopg

from bench.batches import SENSORS, Body, bodies, columns, messages
from bench.figures import Figure, Size, middle, progress
from bench.publisher import Load
from bench.server_side import Installation, installed
from wayside_server.storage.database import open_pool
from wayside_server.storage.partitions import ensure_near_partitions, ensure_partitions
from wayside_server.storage.samples import copy_rows
from wayside_shared.batch import CONTENT_TYPE, decode_message
from wayside_shared.columns import decode_body
from wayside_shared.plain import JSON_TYPE
from wayside_testkit.credentials import Credentials

DEVICES = 20
BATCH_S = 60
AGO_S = 6 * 3600
"""All samples lie in the past and, but for one Sunday night in a year of runs, in one week."""
COPY_MESSAGES = 200
"""In one transaction of the raw COPY: 96,000 rows, more of which make it no faster."""
LOOK_S = 0.01
DEADLINE_S = 300.0
TESTS = Path(__file__).resolve().parent.parent

Messages = dict[str, list[bytes]]


@dataclass
class Rates:
    """Rows a second of each round."""

    raw: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)


def measure(group: str, size: Size) -> Iterator[Figure]:
    """The ingest figures."""
    rounds = size.of(5, 1)
    large = bodies(size.of(200, 4), BATCH_S)
    small = bodies(size.of(200, 10), 1)
    plain = size.of(100, 5)
    rates = Rates()
    with installed() as made, made.broker():
        names = [f"bench-{number:03}" for number in range(DEVICES)]
        who = [made.credentials.device(name) for name in names]
        for turn in range(rounds):
            rates.raw.append(_raw(made, _encoded(names, large)))
            with made.ingest() as role:
                seconds, samples, cpu = _ours(made, who, _encoded(names, large), role.pid)
                rates.ours.append(samples / seconds)
                for program, spent_s in cpu.items():
                    rates.cpu.setdefault(program, []).append(spent_s / samples * 1e6)
                seconds, samples, _ = _ours(made, who, _encoded(names, small), role.pid)
                rates.small.append(samples / seconds)
            rates.plain.append(_plain(made, who, plain))
            progress(
                f"ingest, round {turn + 1} of {rounds}: COPY {rates.raw[-1]:,.0f} rows/s, ours {rates.ours[-1]:,.0f}, "
                f"one-second batches {rates.small[-1]:,.0f}, plain consumer {rates.plain[-1]:,.0f}"
            )
    yield from _figures(group, rates, len(large), len(small), plain)


def _figures(group: str, rates: Rates, large: int, small: int, plain: int) -> Iterator[Figure]:
    n = BATCH_S * len(SENSORS)
    raw, ours, simple = median(rates.raw), median(rates.ours), median(rates.plain)
    against_raw = f"raw binary COPY, 96,000 rows a transaction: {middle(rates.raw)} rows/s"
    against_plain = f"paho, one JSON message for 8 values, INSERT each, one commit: {middle(rates.plain)} rows/s"
    per_turn = [a / b for a, b in zip(rates.ours, rates.raw, strict=True)]
    per_plain = [a / b for a, b in zip(rates.ours, rates.plain, strict=True)]
    sizes = f"{DEVICES} devices, {DEVICES * large:,} batches of {n} samples"
    yield Figure(group, "ingest_samples_per_s", ours, "samples/s", f"{middle(rates.ours)}; {sizes}; {against_raw}",
                 ours / raw)  # fmt: skip
    yield Figure(group, "ingest_vs_copy", median(per_turn), "ratio", f"{middle(per_turn)}; {against_raw}",
                 median(per_turn))  # fmt: skip
    yield Figure(group, "ingest_vs_plain", median(per_plain), "ratio", f"{middle(per_plain)}; {against_plain}",
                 median(per_plain))  # fmt: skip
    yield Figure(
        group, "ingest_small_samples_per_s", median(rates.small), "samples/s",
        f"{middle(rates.small)}; {DEVICES * small:,} one-second batches of 8 samples; {against_plain}",
        median(rates.small) / simple,
    )  # fmt: skip
    for program, spent in rates.cpu.items():
        yield Figure(group, f"ingest_cpu_{program}_us", median(spent), "us/sample",
                     f"processor time of {program} with batches of {n}: {middle(spent)}")  # fmt: skip


def _encoded(names: Sequence[str], made: Sequence[Body]) -> Messages:
    return {name: messages(name, made, AGO_S) for name in names}


def _clear(made: Installation) -> None:
    with made.database() as connection:
        connection.execute("TRUNCATE sample, sample_value, latest")
        connection.execute("CHECKPOINT")


def _raw(made: Installation, encoded: Messages) -> float:
    """Rows a second of COPY alone, with everything decoded and formed before."""
    _clear(made)
    turns = [message for turn in zip(*encoded.values(), strict=True) for message in turn]
    buffers, rows, latest_us, earliest_us = [], 0, 0, 1 << 62
    for at in range(0, len(turns), COPY_MESSAGES):
        parts = []
        for place, message in enumerate(turns[at : at + COPY_MESSAGES]):
            blocks = decode_body(decode_message(message)).blocks
            parts += [(1 + place % DEVICES * len(blocks) + index, block) for index, block in enumerate(blocks)]
            earliest_us = min(earliest_us, int(blocks[0].times_us.min()))
            latest_us = max(latest_us, int(blocks[0].times_us.max()))
        rows += sum(len(block) for _, block in parts)
        buffers.append(copy_rows(parts))

    async def room() -> None:
        async with open_pool(made.conninfo, max_size=1) as pool, pool.connection() as connection:
            await ensure_near_partitions(connection, time.time_ns() // 1000)
            await ensure_partitions(connection, earliest_us, latest_us)

    asyncio.run(room())
    with psycopg.connect(made.conninfo, autocommit=True) as connection:
        began = time.monotonic()
        for buffer in buffers:
            with (
                connection.transaction(),
                connection.cursor().copy("COPY sample (series_id, ts, value) FROM STDIN (FORMAT BINARY)") as copy,
            ):
                copy.write(buffer)
        return rows / (time.monotonic() - began)


def _ours(
    made: Installation, who: Sequence[Credentials], encoded: Messages, pid: int
) -> tuple[float, int, dict[str, float]]:
    """Seconds from the first publish to the last commit, samples, and processor seconds of each program."""
    _clear(made)
    samples = sum(decode_message(message).envelope.n for own in encoded.values() for message in own)
    with closing(made.database()) as connection:
        before = _stored(connection)
        with _publishing(made, who, encoded, CONTENT_TYPE) as publisher:
            programs = {"ingest": psutil.Process(pid), "publisher": psutil.Process(publisher.pid)}
            programs["database"] = _backend(connection)
            spent = {name: _cpu_s(process) for name, process in programs.items()}
            began = _go(publisher)
            while _stored(connection) < before + samples:
                # What is polled for is a commit as others see it; a reader of the database has no event for it.
                time.sleep(LOOK_S)
                if time.monotonic() - began > DEADLINE_S:
                    raise RuntimeError(f"{before + samples - _stored(connection)} samples did not arrive")
            seconds = time.monotonic() - began
            cpu = {name: _cpu_s(process) - spent[name] for name, process in programs.items()}
    return seconds, samples, cpu


def _stored(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT coalesce(sum(stored), 0)::bigint FROM stream").fetchone()
    assert row is not None
    return int(row[0])


def _backend(connection: psycopg.Connection) -> psutil.Process:
    """The postmaster; with its children it is all of the database."""
    return psutil.Process(psutil.Process(connection.info.backend_pid).ppid())


def _cpu_s(process: psutil.Process) -> float:
    family = [process, *process.children()]
    return sum(times.user + times.system for times in (member.cpu_times() for member in family))


def _plain(made: Installation, who: Sequence[Credentials], readings: int) -> float:
    """Rows a second of the consumer that people write first."""
    _clear(made)
    encoded: Messages = {}
    random = Random(2)
    start_s = time.time() - AGO_S
    for place, holder in enumerate(who):
        series = columns(random, readings)
        encoded[holder.name] = [
            json.dumps({
                "ts": start_s + second,
                "values": {str(place * len(series) + index): one.values[second] for index, one in enumerate(series)},
            }).encode()
            for second in range(readings)
        ]  # fmt: skip
    home = made.home
    name = "wayside-server-2"
    files = (home.ca_file, home.certificate(name), home.key(name))
    count = readings * len(who)
    consumer = subprocess.Popen(
        [sys.executable, "-m", "bench.plain_consumer", str(made.broker_port), *map(str, files), made.conninfo,
         str(count)],
        cwd=TESTS, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert consumer.stdout is not None
    consumer.stdout.readline()
    with _publishing(made, who, encoded, JSON_TYPE) as publisher:
        began = _go(publisher)
        ended = float(consumer.stdout.readline())
    consumer.wait(30)
    return count * len(SENSORS) / (ended - began)


@contextmanager
def _publishing(
    made: Installation, who: Sequence[Credentials], encoded: Messages, content_type: str
) -> Iterator["subprocess.Popen[str]"]:
    """A publisher whose devices are connected; see `_go`."""
    loads = [
        Load(
            one.name, f"wayside/1/{one.name}/up", str(one.ca_file), str(one.cert_file), str(one.key_file),
            encoded[one.name],
        )
        for one in who
    ]  # fmt: skip
    file = made.folder / "load.pickle"
    file.write_bytes(pickle.dumps((made.broker_port, content_type, loads)))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.publisher", str(file)],
        cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _go(publisher: "subprocess.Popen[str]") -> float:
    """Lets it publish; the monotonic time of its first message."""
    assert publisher.stdin is not None
    assert publisher.stdout is not None
    publisher.stdin.write("go\n")
    publisher.stdin.flush()
    return float(publisher.stdout.readline())
