"""The program that runs models, as the agent starts it: what it gives, what it refuses, and files that are damaged."""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from wayside_shared.model_metadata import ModelKind, ModelOutput, Scoring, Window
from wayside_shared.stage_block import Block, BlockReading, BlockSeries, decode_block
from wayside_shared.stage_worker import Done, Failed, Failure, Process, encode_frame
from wayside_testkit import forked_models
from wayside_testkit.models import SECOND, autoencoder, block, echo, metadata, network, running, write_model

DEADLINE_S = 1.0
SAID = metadata(window=Window(4, 1.0), scoring=Scoring(0.5))


def series(done: Done | Failed) -> dict[str, list[tuple[int, float]]]:
    """What came out, by name: seconds and values."""
    assert isinstance(done, Done), done
    found: dict[str, list[tuple[int, float]]] = {}
    if done.block:
        given = decode_block(done.block, max_readings=10_000)
        for reading in given.readings:
            found.setdefault(given.series[reading.series].name, []).append((reading.time_ns // SECOND, reading.value))
    return found


def test_scores_anomalies_and_events_come_out(tmp_path: Path) -> None:
    with running(tmp_path, echo(SAID)) as worker:
        assert isinstance(worker.load(), Done)
        assert series(worker.process(block([(at, 20.0) for at in range(5)]))) == {
            "score": [(4, 0.0)],
            "anomaly": [(4, 0.0)],
        }
        swing = worker.process(block([(5, 24.0), (6, 20.0), (7, 20.0)]))
        assert series(swing)["anomaly"] == [(5, 0.0), (6, 1.0), (7, 1.0)]
        assert isinstance(swing, Done)
        assert swing.events == ("an anomaly began: its score is 0.75, above 0.5",)
        assert swing.used_us > 0
        calm = worker.process(block([(at, 20.0) for at in range(8, 14)]))
        assert isinstance(calm, Done)
        assert calm.events == ("the anomaly ended: its score is 0, not above 0.5; its largest was 0.75",)
        assert worker.ended() == 0


def test_clocks_are_kept_apart_and_a_restart_goes_on_with_both(tmp_path: Path) -> None:
    first, second = [(at, 20.0 + at % 3) for at in range(7)], [(at + 0.5, 20.0 + at % 2) for at in range(1000, 1009)]
    with running(tmp_path, echo(SAID)) as worker:
        worker.load()
        whole = [series(worker.process(block(first))), series(worker.process(block(second), "utc"))]
        assert isinstance(third := worker.process(block(second), "third"), Failed)
        assert third.failure is Failure.REFUSED
        assert worker.ended() == 1
    state = None
    parts: list[dict[str, list[tuple[int, float]]]] = [{}, {}]
    for half in (0, 1):
        with running(tmp_path, echo(SAID)) as worker:
            assert isinstance(worker.load(state=state), Done)
            for place, (clock, values) in enumerate((("boot", first), ("utc", second))):
                done = worker.process(block(values[:5] if half == 0 else values[5:]), clock)
                assert isinstance(done, Done)
                state = done.state
                for name, given in series(done).items():
                    parts[place].setdefault(name, []).extend(given)
    assert parts == whole


def test_several_series_go_in_by_the_order_of_the_configuration(tmp_path: Path) -> None:
    said = metadata(kind=ModelKind.REGRESSOR, inputs=2, window=Window(1, 1.0), outputs=[ModelOutput("sum", "W", 5, 2)])
    made = network(2, 1)
    weights = made.layers[0].weights
    with running(tmp_path, write_model(made, said)) as worker:
        assert isinstance(worker.load(["room.b", "room.a"]), Done)
        readings = [(0, 22.0, 0), (0, 24.0, 1), (1, 20.0, 0), (1, 20.0, 1)]
        given = Block(
            [BlockSeries("room.a", "Cel"), BlockSeries("room.b", "Cel"), BlockSeries("hall.a", "K")],
            [BlockReading(at * SECOND, value, place) for at, value, place in [*readings, (0, 1.0, 2)]],
        )
        output = weights[0, 0] * 2.0 + weights[0, 1] * 1.0 + made.layers[0].bias[0]
        assert series(worker.process(given.encode()))["sum"] == [(1, pytest.approx(5 + 2 * output, rel=1e-5))]


def test_a_classifier_gives_probabilities_and_a_class(tmp_path: Path) -> None:
    said = metadata(kind=ModelKind.CLASSIFIER, window=Window(2, 1.0), labels=["empty", "occupied"])
    with running(tmp_path, write_model(network(2, 3, 2, softmax=True), said)) as worker:
        assert isinstance(worker.load(), Done)
        given = series(worker.process(block([(0, 20.0), (1, 22.0), (2, 20.0)])))
        (_, empty), (_, occupied) = given["probability_empty"][0], given["probability_occupied"][0]
        assert empty + occupied == pytest.approx(1.0, abs=1e-6)
        assert given["class"] == [(2, float(occupied > empty))]


@pytest.mark.parametrize(
    ("wrong", "failure", "said"),
    [
        ("sha256", Failure.FILE, "SHA-256"),
        ("missing", Failure.FILE, "No such file"),
        ("inputs", Failure.MODEL, "takes 1 inputs (a), and 2 are configured"),
        ("settings", Failure.REFUSED, "'colour'"),
        ("shape", Failure.MODEL, "shape"),
        ("metadata", Failure.MODEL, "no metadata"),
        ("text", Failure.MODEL, "begin"),
        ("module", Failure.MODEL, 'kind = "wasm"'),
        ("unit", Failure.REFUSED, "is in K"),
        ("garbage", Failure.REFUSED, "of the block"),
    ],
)
def test_what_does_not_fit_fails_with_its_reason(tmp_path: Path, wrong: str, failure: Failure, said: str) -> None:
    files = {
        "shape": write_model(network(5, 5), SAID),
        "metadata": echo(SAID).replace(b"WAYSIDE", b"WAYSIDF"),
        "module": b"\0asm\1\0\0\0",
        "text": b"#!/bin/sh\necho model\n",
    }
    with running(tmp_path, files.get(wrong, echo(SAID))) as worker:
        path = tmp_path / "model.tflite"
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if wrong == "missing":
            path.unlink()
        answer = worker.load(
            ["room.a", "room.b"] if wrong == "inputs" else ["room.a"],
            sha256="0" * 64 if wrong == "sha256" else sha256,
            settings={"colour": "red"} if wrong == "settings" else {},
        )
        if isinstance(answer, Done):
            given = b"not a block of readings" if wrong == "garbage" else block([(0, 20.0)], unit="K")
            answer = worker.process(given)
        assert isinstance(answer, Failed)
        assert answer.failure is failure
        assert said in answer.detail
        assert worker.ended() == 1


def test_the_configuration_may_name_another_threshold_and_a_foreign_state_is_left(tmp_path: Path) -> None:
    with running(tmp_path, echo(SAID)) as worker:
        loaded = worker.load(settings={"threshold": 2}, state=b"\xa1\x61a\x01")
        assert isinstance(loaded, Done)
        assert [line for _, line in loaded.log] == ["the state that it had kept is not used: 'version'"]
        swing = worker.process(block([(at, 20.0 + 4 * (at == 4)) for at in range(9)]))
        assert {value for _, value in series(swing)["anomaly"]} == {0.0}


def test_readings_without_a_value_are_a_gap(tmp_path: Path) -> None:
    with running(tmp_path, echo(SAID)) as worker:
        worker.load()
        assert series(worker.process(block([(at, 20.0) for at in range(4)]))) == {}
        assert series(worker.process(block([(4, 0.0)], quality=64))) == {}
        assert [at for at, _ in series(worker.process(block([(at, 20.0) for at in range(5, 11)])))["score"]] == [
            4,
            9,
            10,
        ]


def test_a_reading_that_cannot_be_is_left_out_and_told(tmp_path: Path) -> None:
    with running(tmp_path, echo(SAID)) as worker:
        worker.load()
        done = worker.process(block([(at, 1e20 if at == 4 else 20.0) for at in range(11)]))
        assert [at for at, _ in series(done)["score"]] == [4, 9, 10]
        assert isinstance(done, Done)
        assert [line for _, line in done.log] == [
            "1 periods are left out: a value lies further from the model's mean than any measurement"
        ]


def damaged(whole: bytes) -> dict[str, bytes]:
    """Files that were this model: bits turned, ends cut off, bytes of the description changed."""
    draw = random.Random(6)
    made: dict[str, bytes] = {"whole": whole}
    for place in range(90):
        bits = bytearray(whole)
        bits[draw.randrange(len(bits))] ^= 1 << draw.randrange(8)
        made[f"flip-{place:02d}"] = bytes(bits)
    for place in range(20):
        made[f"cut-{place:02d}"] = whole[: draw.randrange(len(whole))]
    for place in range(40):
        words = bytearray(whole)
        at = draw.randrange(len(words) // 4) * 4
        words[at : at + 4] = draw.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\x01\0\0\0"])
        made[f"word-{place:02d}"] = bytes(words)
    return made


def test_damaged_models_fail_or_run_but_neither_hang_nor_crash(tmp_path: Path) -> None:
    folder, frames = tmp_path / "models", tmp_path / "frames"
    folder.mkdir()
    for name, data in damaged(autoencoder(SAID)).items():
        (folder / f"{name}.tflite").write_bytes(data)
    blocks = [block([(at + part * 10, 20.0 + at % 3) for at in range(10)]) for part in range(3)]
    frames.write_bytes(b"".join(encode_frame(Process(each)) for each in blocks))
    command = [sys.executable, forked_models.__file__, str(folder), str(frames), str(DEADLINE_S)]
    ran = subprocess.run(command, capture_output=True, timeout=100, check=True)
    found = {each["model"].removesuffix(".tflite"): each for each in map(json.loads, ran.stdout.splitlines())}
    assert len(found) == 151
    assert found["whole"]["answers"] == ["done"] * 4
    assert max(each["took_s"] for each in found.values()) < 2 * DEADLINE_S
    assert {each["status"] for each in found.values()} <= {0, 1}
    allowed = {"done", Failure.MODEL.value, Failure.OUTPUT.value, Failure.MEMORY.value}
    assert {answer for each in found.values() for answer in each["answers"]} <= allowed
    assert sum(each["answers"][-1] != "done" for each in found.values()) > 40
