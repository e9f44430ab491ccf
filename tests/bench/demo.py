"""How soon the demo shows its first sample, once everything is installed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from bench.figures import Figure, Size, middle, progress, within


def measure(group: str, size: Size) -> Iterator[Figure]:
    """The demo's own figure."""
    if find_spec("wayside_firmware.__main__") is None:
        progress("there is no demo yet, so no first_sample_s")
        return
    found = [_first_sample_s() for _ in range(size.of(3, 1))]
    yield within(group, "first_sample_s", median(found), "s", f"`wayside demo --for 10 --json`: {middle(found)}")


def _first_sample_s() -> float:
    command = [str(Path(sys.executable).with_name("wayside")), "demo", "--for", "10", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["first_sample_s"])
