"""`wayside-fw model` from a recording to a signed model, and its results on real recordings."""

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.compute_tflite import MACHINE_RECIPE, machine_result, occupancy_result
from wayside_firmware.models.training import Precision
from wayside_shared.model_file import read_model
from wayside_testkit.models import autoencoder, recordings

HELD = "2026-05-08"


def wayside_fw(*arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "wayside_firmware", "model", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days of a daily wave in long shape, with an afternoon in which it was stuck too high."""
    draw = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("export") / "export.csv"
    lines = ["series,unit,time,value,quality"]
    for step in range(10 * 24 * 4):
        day, quarter = divmod(step, 96)
        wave = 4.0 if day == 8 and 40 <= quarter < 70 else math.sin(quarter / 96 * 2 * math.pi)
        stamp = f"2026-05-{day + 1:02d}T{quarter // 4:02d}:{quarter % 4 * 15:02d}:00Z"
        lines.append(f"pump.flow,m3/h,{stamp},{10 + 4 * wave + draw.normal() / 10:.3f},")
    path.write_text("\n".join(lines) + "\n")
    return path


def trained(export: Path, out: Path, *more: str) -> str:
    return wayside_fw(
        "train", "--data", str(export), "--series", "pump.flow", "--period", "3600", "--window", "6", "--until", HELD,
        "--members", "4", "--epochs", "10", "--out", str(out), *more,
    )  # fmt: skip


def test_from_an_export_to_a_signed_model(tmp_path: Path, export: Path) -> None:
    out, again, windows = tmp_path / "flow.tflite", tmp_path / "again.tflite", tmp_path / "windows.csv"
    windows.write_text("from,to\n2026-05-09T10:00:00Z,2026-05-10T00:00:00Z\n")
    said = trained(export, out, "--windows", str(windows))
    assert "found 1 of 1 labelled windows" in said
    assert "0 false alarms" in said
    trained(export, again)
    assert again.read_bytes() == out.read_bytes()
    card = out.with_suffix(".md").read_text()
    assert all(each in card for each in ("pump.flow", "m3/h", "seed 1", "SHA-256", "flow.svg", "1 of 1"))
    assert out.with_suffix(".svg").read_text().startswith("<svg")
    scores = tmp_path / "scores.csv"
    given = wayside_fw(
        "evaluate", str(out), "--data", str(export), "--series", "pump.flow", "--from", HELD, "--windows", str(windows),
        "--scores", str(scores),
    )  # fmt: skip
    # The tool's figures are the worker's: the card has them and the evaluation finds them again.
    assert [line for line in given.splitlines() if "window" in line][:2] == [
        line for line in said.splitlines() if "window" in line
    ][:2]
    rows = scores.read_text().splitlines()
    assert rows[0] == "time,score,anomaly"
    assert rows[1].startswith(f"{HELD} ")  # what lies before --from was not asked for
    assert len(rows) - 1 == int(given.split(" windows")[0])
    assert "learned from" not in given
    assert "largest score over what it learned from" in said
    picture = out.with_suffix(".svg").read_text()
    assert all(
        each in picture for each in ("flow.tflite: score", "labelled anomaly", "alarm", "threshold", ">2026-05-0")
    )
    key = tmp_path / "key.pem"
    wayside_fw("sign", str(out), "--key", str(key))
    shown = wayside_fw("inspect", str(out), "--key", f"{key}.pub")
    assert shown.splitlines()[0] == "the signature is good"
    assert "input pump.flow in m3/h" in shown
    out.write_bytes(out.read_bytes() + b"\0")
    assert "NOT OF THIS FILE" in wayside_fw("inspect", str(out), "--key", f"{key}.pub", status=1)


def test_a_classifier_says_how_right_it_was_on_what_it_has_not_seen(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    lines = ["time,light,there"]
    for step in range(1200):
        there = step // 60 % 2
        light = 400 * there + draw.normal(100, 60)
        lines.append(f"2026-05-01 {step // 60:02d}:{step % 60:02d}:00,{light:.1f},{there}")
    table, out = tmp_path / "light.csv", tmp_path / "light.tflite"
    table.write_text("\n".join(lines) + "\n")
    options = ["--data", str(table), "--series", "light=lx", "--labels", "there"]
    train = ["--kind", "classifier", "--period", "60", "--window", "1", "--epochs", "5", "--out", str(out)]
    said = wayside_fw("train", *options, *train, "--until", "2026-05-01T12:00:00", "--label-names", "empty,occupied")
    given = wayside_fw("evaluate", str(out), *options, "--from", "2026-05-01T12:00:00")
    for each in (said, given):
        accuracy = next(line for line in each.splitlines() if line.startswith("accuracy"))
        assert float(accuracy.split()[1]) > 0.95
        assert accuracy.endswith("over 480 windows")
    drawn = out.with_suffix(".svg").read_text()
    assert ">occupied<" in drawn
    assert "light.svg" in out.with_suffix(".md").read_text()
    assert "labels empty, occupied" in wayside_fw("inspect", str(out))
    assert "all of this is what it learned from" in wayside_fw("train", *options, *train)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspect", "{export}"], "no model"),
        (["inspect", "/nowhere.tflite"], "No such file"),
        (["inspect", "{model}", "--key", "{export}"], "not signed: there is no {model}.sig; wayside-fw model sign"),
        (
            ["train", "--data", "{export}", "--series", "pump.flo", "--period", "3600", "--out", "x"],
            "no values of 'pump.flo' in it; did you mean pump.flow? It has pump.flow",
        ),
        (
            ["train", "--data", "{export}", "--series", "pump.flow", "--period", "3600", "--out", "nodir/x.tflite"],
            "nodir/x.tflite: its folder is not there; type: mkdir -p nodir",
        ),
        (
            ["train", "--data", "{export}", "--series", "pump.flow", "--period", "3600", "--out", "x.md"],
            "let it end in .tflite",
        ),
        (
            ["evaluate", "{model}", "--data", "{export}", "--series", "pump.flow", "--scores", "nodir/x"],
            "type: mkdir -p nodir",
        ),
        (
            ["train", "--data", "{export}", "--series", "pump.flow", "--period", "36000", "--out", "x"],
            "it takes 50: give more data, or take a shorter --period than 36000 s or a smaller --window than 24",
        ),
        (["train", "--data", "{export}", "--series", "pump.flow", "--period", "86400", "--out", "x"], "takes 50"),
        (
            ["train", "--kind", "classifier", "--data", "{export}", "--series", "pump.flow", "--period", "60",
             "--out", "x"],
            "--labels",
        ),
    ],
)  # fmt: skip
def test_what_does_not_work_says_why(export: Path, arguments: Sequence[str], said: str) -> None:
    model = export.with_name("some.tflite")
    model.write_bytes(autoencoder())
    given = [each.replace("{export}", str(export)).replace("{model}", str(model)) for each in arguments]
    assert said.replace("{model}", str(model)) in wayside_fw(*given, status=78)


def test_periods_without_a_reading_are_told_of(tmp_path: Path) -> None:
    table, out = tmp_path / "slow.csv", tmp_path / "slow.tflite"
    lines = [f"2026-05-{1 + at // 1440:02d} {at // 60 % 24:02d}:{at % 60:02d}:00,{at % 97}" for at in range(0, 3000, 2)]
    table.write_text("\n".join(["time,level", *lines]) + "\n")
    options = ["--data", str(table), "--series", "level=m"]
    said = wayside_fw("train", *options, "--period", "60", "--window", "1", "--epochs", "1", "--out", str(out))
    line = "1,499 of 2,999 periods lack a reading of an input; readings come every 120 s, a period has 60 s"
    assert line in said
    assert "all of this is what it learned from" in out.with_suffix(".md").read_text()
    assert line in wayside_fw("evaluate", str(out), *options)
    assert "lack a reading" not in wayside_fw("train", *options, "--period", "120", "--epochs", "1", "--out", str(out))


def test_the_failures_of_a_machine_are_found_in_a_real_recording(tmp_path: Path) -> None:
    folder = recordings()
    integers = machine_result(folder, seed=1)
    assert all(integers.alarms.found)
    assert len(integers.alarms.false_alarms) <= 5
    assert integers.learned_rows == 2126
    floats = machine_result(folder, seed=1, precision=Precision.FLOAT32)
    assert floats.alarms.found == integers.alarms.found
    assert len(floats.alarms.false_alarms) == len(integers.alarms.false_alarms)
    # Far outside of what was learned from the integers reach their ends; what is told of is the same.
    assert np.abs(floats.scores - integers.scores)[:150].max() < 0.01
    assert np.mean(floats.anomaly == integers.anomaly) > 0.99
    # Not the luck of a seed.
    other = machine_result(folder, seed=2)
    assert all(other.alarms.found)
    assert len(other.alarms.false_alarms) <= 5
    # The command makes the very model that was judged here.
    out = tmp_path / "machine.tflite"
    machine = folder / "machine" / "machine_temperature.csv"
    wayside_fw(
        "train", "--data", str(machine), "--series", "value=Cel", "--period", f"{MACHINE_RECIPE.window.period_s:g}",
        "--smoothing", str(MACHINE_RECIPE.smoothing), "--until", "2013-12-10T06:25:00", "--out", str(out),
    )  # fmt: skip
    assert out.read_bytes() == integers.file
    assert read_model(integers.file).tensors[0].dtype == "int8"


def test_occupancy_is_told_from_the_air_of_a_real_office() -> None:
    assert occupancy_result(recordings()).accuracy >= 0.95
