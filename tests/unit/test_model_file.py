"""What models say about themselves, and files that are none."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from wayside_shared import model_file
from wayside_shared.errors import RejectedError
from wayside_shared.model_file import read_model
from wayside_shared.model_metadata import ModelKind, ModelOutput, Scoring, Window, decode_metadata
from wayside_testkit.models import autoencoder, metadata, network, quantise, rows, write_model

GOOD = json.loads(metadata(inputs=2).encode())


@pytest.mark.parametrize(
    "said",
    [
        metadata(inputs=3, window=Window(16, 0.5, 4, 2), scoring=Scoring(2.5, 6, 3)),
        metadata(kind=ModelKind.CLASSIFIER, labels=["empty", "occupied"]),
        metadata(kind=ModelKind.REGRESSOR, outputs=[ModelOutput("power", "W", 5.0, 2.0)]),
    ],
)
def test_metadata_come_back_as_they_were(said: Any) -> None:
    assert decode_metadata(said.encode()) == said
    assert decode_metadata(said.encode() + b"\0\0") == said


def test_unknown_keys_are_passed_over() -> None:
    assert decode_metadata(json.dumps({**GOOD, "colour": [1]}).encode()) == metadata(inputs=2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2"),
        ({"version": True}, "version True"),
        ({"kind": "oracle"}, "'oracle'"),
        ({"inputs": []}, "'inputs'"),
        ({"inputs": [{"name": "a b", "unit": "1"}]}, "series name"),
        ({"inputs": [{"name": "a", "unit": "no unit"}]}, "unit"),
        ({"inputs": [{"name": "a", "unit": "1", "scale": 0}]}, "'scale'"),
        ({"inputs": [{"name": "a", "unit": "1", "mean": True}]}, "'mean'"),
        ({"window": {"samples": 0, "period_s": 1}}, "'samples'"),
        ({"window": {"samples": 4, "period_s": 0}}, "'period_s'"),
        ({"window": {"samples": 4096, "period_s": 1}}, "8192 values"),
        ({"window": None}, "'window'"),
        ({"scoring": None}, "scoring"),
        ({"scoring": {"threshold": -1}}, "'threshold'"),
        ({"labels": ["a", "b"]}, "labels"),
        ({"kind": "classifier", "scoring": None, "labels": ["a"]}, "one label"),
        ({"kind": "classifier", "scoring": None, "labels": ["a", "a"]}, "twice"),
        ({"outputs": [{"name": "a", "unit": "1"}]}, "outputs"),
        ({"about": {"a": 1}}, "'about'"),
    ],
)
def test_metadata_that_say_something_else_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RejectedError, match=said):
        decode_metadata(json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 60_000, b" " * 70_000, b'{"version": 1}'])
def test_what_is_no_metadata_is_refused(data: bytes) -> None:
    with pytest.raises(RejectedError):
        decode_metadata(data)


def test_a_file_tells_its_tensors_and_metadata() -> None:
    said = metadata(inputs=2)
    file = read_model(autoencoder(said))
    assert file.metadata == said
    into, out = file.tensors[file.inputs[0]], file.tensors[file.outputs[0]]
    assert (into.dtype, list(into.shape), into.channels) == ("int8", [1, 8], 1)
    assert (out.dtype, list(out.shape), out.channels) == ("int8", [1, 8], 1)
    assert into.scale > 0
    assert file.operators == 2
    weights = next(each for each in file.tensors if each.name == "weights 0")
    assert (weights.constant, weights.channels) == (48, 6)


def test_a_model_of_other_sizes_than_its_metadata_is_refused() -> None:
    made = network(5, 3, 5)
    for model in (made, quantise(made, rows(9, 5))):
        with pytest.raises(RejectedError, match="shape"):
            read_model(write_model(model, metadata()))


def test_a_model_without_metadata_is_refused() -> None:
    file = autoencoder().replace(b"WAYSIDE", b"WAYSIDF")
    with pytest.raises(RejectedError, match="no metadata named WAYSIDE"):
        read_model(file)


def test_a_name_that_is_no_text_is_refused_before_the_interpreter_trips_over_it() -> None:
    with pytest.raises(RejectedError, match="not UTF-8"):
        read_model(autoencoder().replace(b"layer 1", b"layer \xff"))


def test_damaged_files_are_refused_or_read_and_nothing_else() -> None:
    draw = random.Random(4)
    whole = autoencoder(metadata(inputs=2))
    refused = 0
    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 8])):
            damaged[draw.randrange(len(damaged))] = draw.choice([0, 255, draw.randrange(256)])
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        try:
            read_model(bytes(damaged))
        except RejectedError:
            refused += 1
    assert 300 < refused < 1500


def test_a_model_of_more_steps_than_a_board_can_prepare_is_refused() -> None:
    made = read_model(autoencoder())
    assert made.operators < 10
    with pytest.raises(RejectedError, match="100000 operators"):
        model_file._check(replace(made, operators=100_000))


def test_a_file_that_claims_endless_tables_is_refused_at_once() -> None:
    whole = autoencoder()
    # Each offset in the file in turn points at the root table's own offset, or claims as many items as there can be.
    for at in range(0, min(len(whole), 2000), 4):
        for word in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f"):
            damaged = whole[:at] + word + whole[at + 4 :]
            try:
                read_model(damaged)
            except RejectedError:
                continue
