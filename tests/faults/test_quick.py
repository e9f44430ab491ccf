"""The fault laboratory, quick: it runs as the command does, so that what CI proves is what a person can repeat."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_over_a_hundred_kills() -> None:
    # Power cuts have a test of their own.
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--cuts", "0"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    print(done.stdout, done.stderr, sep="\n")
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, verdict
    assert verdict["kills"] >= 100
    assert {verdict[name] for name in ("lost", "duplicated", "phantom", "partial", "missing")} == {0}
