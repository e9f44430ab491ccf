"""Exports over HTTPS from the API's own process, beside COPY TO STDOUT of the same rows, and the memory they take."""

import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np
import psutil
import psycopg

from bench.batches import SENSORS
from bench.figures import Figure, Size, middle, progress
from bench.server_side import Installation, installed
from wayside_server.storage.samples import copy_rows
from wayside_shared.columns import Block

DEVICE = "bench-export"
RUN_S = 60
"""Rows of one series that lie together, as batches of a minute leave them."""
CHUNK = 1 << 18
MIB = 1024 * 1024

SAME_ROWS = """
COPY (SELECT s.name, s.unit, v.ts, v.value FROM sample v JOIN series s ON s.id = v.series_id
      JOIN device d ON d.id = s.device_id WHERE d.name = 'bench-export')
TO STDOUT (FORMAT csv)"""
"""Not ordered, as the export is: PostgreSQL would sort ten million rows, and be a weaker peer."""
BARE = "COPY (SELECT series_id, ts, value FROM sample) TO STDOUT"


def measure(group: str, size: Size) -> Iterator[Figure]:
    """CSV and JSON of one device, alternating with the two COPYs."""
    rows = size.of(10_000_000, 80_000) // (len(SENSORS) * RUN_S) * len(SENSORS) * RUN_S
    rates: dict[str, list[float]] = {name: [] for name in ("same", "bare", "csv", "json")}
    with installed() as made:
        _fill(made, rows)
        key = made.command("api-key", "create", "bench")
        with made.role("api", ready="serving") as role:
            _download(made, key, "format=csv&start=-2h")
            with _watched(role.pid) as memory:
                before = memory[-1]
                for turn in range(size.of(3, 1)):
                    rates["same"].append(rows / _copied(made, SAME_ROWS))
                    rates["csv"].append(rows / _exported(made, key, "csv", rows + 1))
                    rates["bare"].append(rows / _copied(made, BARE))
                    rates["json"].append(rows / _exported(made, key, "json", rows))
                    progress(f"export, round {turn + 1}: " + ", ".join(f"{k} {v[-1]:,.0f}" for k, v in rates.items()))
            after = _rss(role.pid)
    same, bare = (f"{middle(rates[name])} rows/s" for name in ("same", "bare"))
    beside = f"COPY (the same rows and columns, unordered) TO STDOUT: {same}; COPY of the bare rows: {bare}"
    for kind in ("csv", "json"):
        own, turns = rates[kind], [a / b for a, b in zip(rates[kind], rates["same"], strict=True)]
        ratio = median(own) / median(rates["bare"])
        yield Figure(group, f"export_{kind}_rows_per_s", median(own), "rows/s", f"{middle(own)}; {beside}", ratio)
        yield Figure(
            group, f"export_{kind}_vs_copy", median(turns), "ratio", f"{middle(turns)}; {beside}", median(turns)
        )
    peak = max(memory)
    how = f"{rows:,} rows an export: {before:.1f} MiB before, at most {peak:.1f} meanwhile, {after:.1f} after"
    yield Figure(group, "export_rss_growth_mb", peak - before, "MiB", how, peak / before)


def _fill(made: Installation, rows: int) -> None:
    """One device with `rows` samples at 1 Hz a series, ending now, stored as ingest stores them."""
    seconds = rows // len(SENSORS)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds)
    start_us = int(start.timestamp()) * 1_000_000
    random = np.random.default_rng(1)
    with made.database() as connection:
        connection.execute("SELECT ensure_sample_weeks(%s, now())", [start])
        connection.execute("INSERT INTO device (name) VALUES (%s)", [DEVICE])
        ids = []
        for name, unit, *_ in SENSORS:
            added = connection.execute(
                "INSERT INTO series (device_id, name, unit) SELECT id, %s, %s FROM device WHERE name = %s RETURNING id",
                [name, unit, DEVICE],
            ).fetchone()
            assert added is not None
            ids.append(int(added[0]))
        for at in range(0, seconds, 100 * RUN_S):
            parts = []
            for minute in range(at, min(at + 100 * RUN_S, seconds), RUN_S):
                times_us = start_us + np.arange(minute, minute + RUN_S, dtype=np.int64) * 1_000_000
                for number, (name, unit, value, step, decimals) in zip(ids, SENSORS, strict=True):
                    values = np.round(value + random.normal(0, 10 * step, RUN_S), decimals)
                    parts.append((number, Block(name, unit, times_us, values)))
            with connection.cursor().copy("COPY sample (series_id, ts, value) FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(copy_rows(parts))
        # As autovacuum leaves a table that has been written: whoever reads first would pay for it otherwise.
        connection.execute("VACUUM (ANALYZE) sample")
        connection.execute("CHECKPOINT")
    progress(f"export: {rows:,} rows stored")


def _copied(made: Installation, statement: str) -> float:
    """Seconds that psycopg takes to fetch `statement`."""
    with psycopg.connect(made.conninfo, options="-c timezone=UTC") as connection:
        began = time.monotonic()
        with connection.cursor().copy(statement) as copy:
            for _ in copy:
                pass
        return time.monotonic() - began


def _exported(made: Installation, key: str, kind: str, lines: int) -> float:
    """Seconds until the last byte of an export; it must have as many lines as it should."""
    began = time.monotonic()
    found = _download(made, key, f"format={kind}")
    seconds = time.monotonic() - began
    if abs(found - lines) > 1:
        raise RuntimeError(f"the {kind} export has {found} lines, not {lines}")
    return seconds


def _download(made: Installation, key: str, query: str) -> int:
    """Reads an export and throws it away; its lines."""
    context = ssl.create_default_context(cafile=str(made.home.ca_file))
    connection = http.client.HTTPSConnection("127.0.0.1", made.api_port, context=context, timeout=120)
    url = f"/api/v1/devices/{DEVICE}/telemetry/export?{query}"
    connection.request("GET", url, headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the export was refused: {answer.status} {answer.read(500)!r}")
    lines = 0
    while piece := answer.read(CHUNK):
        lines += piece.count(b"\n")
    connection.close()
    return lines


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """The process's resident memory in MiB, every 50 ms while the block runs."""
    seen = [_rss(pid)]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.append(_rss(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _rss(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / MIB
