"""The real agent on a simulated board, over TLS to the real broker and a real ingest: what it costs, and how late."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import psutil

from bench.figures import Figure, Size, middle, progress, within
from bench.server_side import Installation, installed

SERIES = 8
WARM_UP_S = 10
MIB = 1024 * 1024
AGENTS = {"bench-hasty": 1, "bench-usual": 10, "bench-thrifty": 60}
"""Name, and age of its batches in seconds: 10 is what the agent does when not told otherwise."""


def measure(group: str, size: Size) -> Iterator[Figure]:
    """Three agents of 8 series at 1 Hz beside each other, with batches of 1, 10 and 60 seconds."""
    seconds = size.of(90, 5)
    with installed(commit_times=True) as made, made.broker(), made.ingest(), _agents(made) as agents:
        time.sleep(size.of(WARM_UP_S, 3))
        began, spent = time.monotonic(), {name: _cpu_s(agent) for name, agent in agents.items()}
        rss: dict[str, list[float]] = {name: [] for name in agents}
        progress(f"agents run for {seconds} s")
        while time.monotonic() < began + seconds:
            for name, agent in agents.items():
                rss[name].append(agent.memory_info().rss / MIB)
            time.sleep(0.5)
        took_s = time.monotonic() - began
        share = {name: (_cpu_s(agent) - spent[name]) / took_s * 100 for name, agent in agents.items()}
        late = _latencies(made, "bench-hasty", seconds)
        stored = _bytes_per_sample(made.folder / "bench-thrifty")
    how = f"{SERIES} series at 1 Hz from 3 BME280s, TLS, batches of 10 s, {took_s:.0f} s"
    yield within(group, "agent_rss_mb", max(rss["bench-usual"]), "MiB", f"{how}; {middle(rss['bench-usual'])}")
    yield within(group, "agent_cpu_pct", share["bench-usual"], "% of a core", how)
    for name, age in (("bench-hasty", 1), ("bench-thrifty", 60)):
        yield Figure(group, f"agent_cpu_pct_{age}s", share[name], "% of a core", f"the same with batches of {age} s")
    how = f"one-second batches, {len(late):,} samples, read to commit by PostgreSQL's own commit times"
    yield within(group, "latency_p50_s", median(late), "s", how)
    yield within(group, "latency_p99_s", late[int(len(late) * 0.99)], "s", f"{how}; worst {late[-1]:.2f} s")
    if stored is not None:
        yield Figure(group, "agent_body_bytes_per_sample", stored, "B",
                     "bodies of 60 s as that agent made them, without envelope and packet")  # fmt: skip


@contextmanager
def _agents(made: Installation) -> Iterator[dict[str, psutil.Process]]:
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, age_s in AGENTS.items():
            config = _configured(made, name, age_s)
            with (config.parent / "log").open("wb") as log:
                running[name] = subprocess.Popen(
                    [sys.executable, "-m", "wayside_edge", "run", "--config", str(config)], stderr=log
                )
        yield {name: psutil.Process(process.pid) for name, process in running.items()}
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(30)


def _configured(made: Installation, name: str, age_s: int) -> Path:
    folder = made.folder / name
    folder.mkdir()
    who = made.credentials.device(name)
    chips = ", ".join(
        f'{{model = "bme280", address = {address}, place = "{place}", seed = {address}}}'
        for address, place in ((0x76, "office"), (0x77, "greenhouse"))
    )
    sensors = [("front", "one", 0x76, 1), ("middle", "one", 0x77, 1), ("back", "two", 0x76, 0)]
    text = f"""
[uplink]
host = "127.0.0.1"
port = {made.broker_port}
device = "{name}"
ca_file = "{who.ca_file}"
cert_file = "{who.cert_file}"
key_file = "{who.key_file}"
[outbox]
path = "{folder / "outbox.db"}"
[batch]
max_age_s = {age_s}
[clock]
trust_system = true
"""
    for bus in ("one", "two"):
        text += f'[[bus]]\nname = "{bus}"\nkind = "simulated"\nchips = [{chips}]\n'
    for sensor, bus, address, humidity in sensors:
        text += (
            f'[[sensor]]\nname = "{sensor}"\nkind = "bme280"\nbus = "{bus}"\naddress = {address}\n'
            f"humidity_oversampling = {humidity}\n"
        )
    config = folder / "edge.toml"
    config.write_text(text)
    return config


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _latencies(made: Installation, device: str, seconds: int) -> list[float]:
    """Read to commit of each sample of the last `seconds` seconds, sorted."""
    with made.database() as connection:
        found = connection.execute(
            "SELECT extract(epoch FROM pg_xact_commit_timestamp(v.xmin) - v.ts)::float8 FROM sample v"
            " JOIN series s ON s.id = v.series_id JOIN device d ON d.id = s.device_id"
            " WHERE d.name = %s AND v.ts > now() - %s * interval '1 second' ORDER BY 1",
            [device, seconds],
        ).fetchall()
    expected = SERIES * (seconds - 3)
    if len(found) < expected:
        raise RuntimeError(f"{len(found)} samples of {device} were stored, not {expected}")
    return [float(row[0]) for row in found]


def _bytes_per_sample(folder: Path) -> float | None:
    """Of the whole batches in an outbox; None before the first."""
    with closing(sqlite3.connect(f"file:{folder / 'outbox.db'}?mode=ro", uri=True)) as outbox:
        row = outbox.execute("SELECT sum(length(body)), sum(n) FROM batch").fetchone()
    return None if not row or not row[1] else row[0] / row[1]
