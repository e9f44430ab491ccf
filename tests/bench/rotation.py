"""A fleet renews its certificates while it delivers: the agent's own outbox, uplink and keeper for each device, against
a whole installation. Its disks are in memory; what is measured is that nothing is lost.
"""

import asyncio
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from bench.figures import Figure, Size, progress, within
from bench.rotating import EVERY_S, SAMPLES, Fleet
from bench.server_side import Installation, installed
from wayside_server.storage.database import open_pool
from wayside_testkit.installation import record

DEVICES = 1_000
A_PROCESS = 100
"""Devices in one: paho waits with select(), which takes no descriptor above 1,023."""
SPREAD_S = 60
LIFE_DAYS, AGE_DAYS = 90, 70
"""The last third has begun for all; which moment is theirs, each one's clock decides."""
MEMORY = Path("/dev/shm")
TESTS = Path(__file__).resolve().parent.parent
COUNTS = """
    SELECT device.name, count(*), count(DISTINCT sample.value) FROM sample
    JOIN series ON series.id = sample.series_id JOIN device ON device.id = series.device_id GROUP BY device.name"""
NEWEST = """
    SELECT DISTINCT ON (device.name) device.name, serial, count(*) OVER (PARTITION BY device.name) FROM certificate
    JOIN device ON device.id = certificate.device_id ORDER BY device.name, certificate.not_before DESC"""


def measure(group: str, size: Size) -> Iterator[Figure]:
    """How many samples are lost or doubled, and how long it takes."""
    count, spread_s = size.of(DEVICES, 30), size.of(SPREAD_S, 4)
    room = MEMORY if MEMORY.is_dir() else None
    with installed() as made, tempfile.TemporaryDirectory(prefix="wayside-fleet-", dir=room) as folder:
        folders = asyncio.run(_enrolled(made, Path(folder), count))
        with made.broker(), made.ingest(), made.role("api", ready="serving"):
            fleets = list(_fleets(made, folders, spread_s))
            done, took_s = _live(Path(folder), fleets)
            progress(f"{count:,} devices have renewed within {took_s:.0f} s")
        lost, doubled = _judged(made, done)
    accepted, troubled = (
        sum(one["accepted"] for one in done.values()),
        sum(bool(one["trouble"]) for one in done.values()),
    )
    sessions = sum(one["sessions"] for one in done.values())
    how = (
        f"{count:,} devices accept {SAMPLES} samples every {EVERY_S:.0f} s each and renew within {spread_s} s;"
        f" {accepted:,} samples accepted, {sessions:,} sessions, {troubled} devices in trouble at the end"
    )
    yield within(group, "rotation_lost", lost, "samples", how)
    yield within(group, "rotation_doubled", doubled, "samples", how)
    yield Figure(
        group, "rotation_s", took_s, "s", f"until the last old certificate was wiped; {how}", took_s / spread_s
    )


async def _enrolled(made: Installation, folder: Path, count: int) -> dict[str, Path]:
    """Folders with an identity that the installation knows, by device."""
    folders = {}
    at = datetime.now(UTC) - timedelta(days=AGE_DAYS)
    async with open_pool(made.conninfo, max_size=1) as pool:
        for number in range(count):
            who = made.credentials.device(f"rotating-{number:04}", days=LIFE_DAYS, now=at)
            place = folders[who.name] = folder / who.name
            place.mkdir(mode=0o700)
            for source, name in ((who.ca_file, "ca.pem"), (who.cert_file, "device.pem"), (who.key_file, "device.key")):
                (place / name).touch(0o600)
                (place / name).write_bytes(source.read_bytes())
            await record(pool, who)
            if (number + 1) % 250 == 0:
                progress(f"{number + 1:,} of {count:,} devices enrolled")
    return folders


def _fleets(made: Installation, folders: Mapping[str, Path], spread_s: float) -> Iterator[Fleet]:
    """The devices by processes; the moments of their renewals are spread evenly."""
    server = f"https://127.0.0.1:{made.api_port}"
    names = list(folders)
    due_s = {name: spread_s * place / len(names) for place, name in enumerate(names)}
    processes = -(-len(names) // A_PROCESS)
    for first in range(processes):
        mine = names[first::processes]
        yield Fleet({name: folders[name] for name in mine}, due_s, made.broker_port, server)


def _live(folder: Path, fleets: list[Fleet]) -> tuple[dict[str, dict[str, Any]], float]:
    """What each device did, and how long the renewals took."""
    files = [folder / f"fleet-{number}.pickle" for number in range(len(fleets))]
    with ExitStack() as stack:
        children = []
        for file, fleet in zip(files, fleets, strict=True):
            file.write_bytes(pickle.dumps(fleet))
            children.append(stack.enter_context(_child(file)))
        for child in children:
            _expect(child, "ready")
        progress(f"{sum(len(fleet.folders) for fleet in fleets):,} devices are connected")
        began_s = time.monotonic()
        for child in children:
            _go_on(child)
        for child in children:
            _expect(child, "rotated")
        took_s = time.monotonic() - began_s
        for child in children:
            _go_on(child)
        for child in children:
            if child.wait():
                raise RuntimeError(f"a fleet ended with status {child.returncode}")
    done: dict[str, dict[str, Any]] = {}
    for file in files:
        done |= pickle.loads(file.with_suffix(".done").read_bytes())
    return done, took_s


@contextmanager
def _child(file: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.rotating", str(file)],
        cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _expect(child: "subprocess.Popen[str]", word: str) -> None:
    assert child.stdout is not None
    said = child.stdout.readline().strip()
    if said != word:
        raise RuntimeError(f"a fleet said {said!r} instead of {word!r}")


def _go_on(child: "subprocess.Popen[str]") -> None:
    pipe: IO[str] | None = child.stdin
    assert pipe is not None
    pipe.write("\n")
    pipe.flush()


def _judged(made: Installation, done: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
    """Samples lost and doubled.

    Raises:
        RuntimeError: a device does not use the newest of its two certificates.
    """
    with made.database() as connection:
        stored = {name: (rows, values) for name, rows, values in connection.execute(COUNTS.encode())}
        newest = {name: (f"{int(serial):x}", many) for name, serial, many in connection.execute(NEWEST.encode())}
    for name, one in done.items():
        if newest[name] != (one["serial"], 2):
            raise RuntimeError(f"{name} uses certificate {one['serial']}; the server issued {newest[name]}")
    lost = sum(one["accepted"] - stored.get(name, (0, 0))[1] for name, one in done.items())
    return lost, sum(rows - values for rows, values in stored.values())
