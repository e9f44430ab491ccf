"""The measurements run, and their results have the shape that readers rely on. Nothing here is about speed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = {
    "ingest_vs_copy", "ingest_vs_plain", "export_csv_vs_copy", "export_json_vs_copy", "export_rss_growth_mb",
    "wire_bytes_per_sample", "agent_rss_mb", "agent_cpu_pct", "outbox_samples_per_s", "latency_p50_s", "latency_p99_s",
}  # fmt: skip
PARTS = [f"core/{part}" for part in ("wire", "outbox", "ingest", "export", "agent")]
"""Not the demo, which has tests of its own."""


@pytest.mark.slow
def test_a_quick_run_has_every_figure(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.bench", *PARTS, "--quick", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())
    assert all(set(row) == {"group", "name", "value", "unit", "against", "ratio"} for row in rows)
    figures = {row["name"]: row for row in rows}
    assert len(figures) == len(rows)
    assert figures.keys() >= NAMED
    # CPU time is counted in ticks of 10 ms, and a quick run can take less than one; memory may shrink.
    assert all(figures[name]["value"] > 0 for name in NAMED - {"export_rss_growth_mb", "agent_cpu_pct"})
    assert all(name in done.stdout for name in NAMED)
    assert (
        figures["wire_bytes_per_sample"]["value"]
        < 5
        < 20
        < figures["wire_bytes_per_sample"]["value"] / (figures["wire_bytes_per_sample"]["ratio"])
    )


@pytest.mark.slow
def test_a_small_fleet_renews_its_certificates_under_load_and_loses_nothing_row_11(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.bench", "identity/rotation", "--quick", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    figures = {row["name"]: row["value"] for row in json.loads(output.read_text())}
    assert (figures["rotation_lost"], figures["rotation_doubled"]) == (0, 0)


def test_the_groups_are_listed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert set(PARTS) < set(done.stdout.split())
