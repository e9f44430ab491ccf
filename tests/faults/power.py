"""Power cuts: an ext4 file system on a loop device is shut down without flushing, under a writing outbox.

SIGKILL cannot show what this shows: the page cache survives a process. Here everything that was not flushed to the
device is gone. Only what was accepted before the cut began counts: an append that returns while the cut is under way
proves nothing.
"""

import fcntl
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from faults.processes import Program, module
from wayside_edge.outbox.sqlite import connect
from wayside_edge.outbox.wal import holds_lost_commits

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: the journal is lost as well (linux/fs/ext4/ext4.h)."""
IMAGE_MB = 64
BEFORE_CUT_S = (0.1, 0.6)
FIRST_APPEND_DEADLINE_S = 20.0
RECORD = struct.Struct("<qq")
"""What the writer tells of each append that returned: the batch's number and CLOCK_MONOTONIC after it, in ns."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """What the cuts did, in batches."""

    cuts: int
    accepted: int
    lost: int
    opened_s: float


def why_not_here() -> str:
    """Why power cannot be cut on this machine, or ''."""
    if os.geteuid() != 0:
        return "it needs root"
    with tempfile.TemporaryDirectory(prefix="wayside-power-") as folder:
        try:
            with _device(Path(folder)) as device, _mounted(device, Path(folder) / "disk"):
                _cut(Path(folder) / "disk")
        except (OSError, subprocess.CalledProcessError) as error:
            text = error.stderr.decode().strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
            return f"no ext4 on a loop device can be shut down here: {text.splitlines()[-1] if text else error}"
    return ""


def cut_power(folder: Path, count: int, random: Random) -> Cuts:
    """Cut the power `count` times under an outbox and count what was accepted before a cut and is gone after it.

    Args:
        folder: an existing folder on another file system than the one that is cut.
        count: cuts.
        random: when.
    """
    accepted = lost = 0
    slowest_s = 0.0
    disk, journal = folder / "disk", folder / "accepted"
    with _device(folder) as device:
        for cut in range(count):
            path = disk / f"outbox-{cut % 5}.db"
            journal.write_bytes(b"")
            writer = Program("writer", "writer", module("faults.writer", str(path), str(journal)), folder / "log")
            with _mounted(device, disk):
                writer.start()
                _await_first(writer, journal)
                time.sleep(random.uniform(*BEFORE_CUT_S))
                cut_ns = time.monotonic_ns()
                _cut(disk)
                writer.kill()
            owed = {seq for seq, at_ns in RECORD.iter_unpack(_whole(journal.read_bytes())) if at_ns < cut_ns}
            with _mounted(device, disk):
                began = time.monotonic()
                found = _numbers(path)
                slowest_s = max(slowest_s, time.monotonic() - began)
            accepted += len(owed)
            lost += len(owed - found)
    return Cuts(count, accepted, lost, round(slowest_s, 3))


def _numbers(path: Path) -> set[int]:
    if not path.exists():
        return set()
    if holds_lost_commits(path):
        message = "what a power cut leaves is taken for damage"
        raise RuntimeError(message)
    connection = connect(path, IMAGE_MB << 20)
    try:
        return {seq for (seq,) in connection.execute("SELECT seq FROM batch")}
    finally:
        connection.close()


def _await_first(writer: Program, journal: Path) -> None:
    deadline = time.monotonic() + FIRST_APPEND_DEADLINE_S
    while not journal.stat().st_size:
        if writer.ended() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the writer appends nothing: {writer.last_words()}")
        time.sleep(0.01)


def _cut(disk: Path) -> None:
    handle = os.open(disk, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(handle)


@contextmanager
def _device(folder: Path) -> Iterator[Path]:
    """A file with an ext4 file system in it."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(IMAGE_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    yield image


@contextmanager
def _mounted(image: Path, disk: Path) -> Iterator[None]:
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(disk)], check=True, capture_output=True)


def _whole(content: bytes) -> bytes:
    return content[: len(content) - len(content) % RECORD.size]
