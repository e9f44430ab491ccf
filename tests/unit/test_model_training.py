"""Recordings to models: reading them, learning from them, and what is said of the result."""

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wayside_firmware.models.evaluation import alarms, read_windows
from wayside_firmware.models.network import Course, cross_entropy, learn, square
from wayside_firmware.models.recording import Wanted, read, time_ns
from wayside_firmware.models.signing import sign, verify
from wayside_firmware.models.windows import labels_at
from wayside_shared.errors import ConfigError
from wayside_testkit.models import rows

HOUR = 3600 * 10**9


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "data.csv"
    path.write_text(text)
    return path


def test_the_same_seed_gives_the_same_network() -> None:
    x = rows(60, 6)
    course = Course([6, 4, 1, 4, 6], frozenset({1, 3}), members=3, epochs=3)
    one, same = (learn(course, x, x, square) for _ in range(2))
    other = learn(Course([6, 4, 1, 4, 6], frozenset({1, 3}), members=3, epochs=3, seed=2), x, x, square)
    assert all((a.weights == b.weights).all() for a, b in zip(one.layers, same.layers, strict=True))
    assert (one.layers[0].weights != other.layers[0].weights).any()


def test_an_autoencoder_learns_what_its_rows_have_in_common() -> None:
    draw = np.random.default_rng(1)
    usual = np.outer(draw.normal(size=300), [1.0, -1.0, 2.0, 0.5]) + 0.05 * draw.normal(size=(300, 4))
    errors: list[float] = []
    course = Course([4, 16, 1, 16, 4], frozenset({1, 3}), members=4, epochs=60, noise=0.0)
    made = learn(course, usual, usual, square, lambda _epoch, error: errors.append(error))
    assert errors[-1] < 0.2 * errors[0]
    score = np.square(made(usual) - usual).mean(axis=1)
    odd = np.array([[1.0, 1.0, 2.0, 0.5]])
    assert np.square(made(odd) - odd).mean() > 5 * np.quantile(score, 0.9)


def test_a_classifier_learns_to_tell_two_kinds() -> None:
    x = rows(400, 2)
    wanted = np.eye(2)[(x[:, 0] + x[:, 1] > 0).astype(int)]
    made = learn(Course([2, 8, 2], frozenset({1}), members=2, epochs=30, noise=0.0), x, wanted, cross_entropy)
    assert (made(x).argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.97


def test_an_export_in_long_shape_is_read(tmp_path: Path) -> None:
    text = (
        "series,unit,time,value,quality\n"
        "room.a,Cel,2026-05-01T00:00:00Z,20.5,\nroom.b,%,2026-05-01T00:00:00Z,40,\n"
        "room.a,Cel,2026-05-01T00:01:00.500000Z,,open_circuit\nroom.a,Cel,2026-05-01T00:02:00Z,21,clipped\n"
    )
    a, b = read(written(tmp_path, text), [Wanted("room.a"), Wanted("room.b", "%")])
    assert a.numbers().tolist() == [20.5, 21.0]
    assert (a.unit, b.unit) == ("Cel", "%")
    assert a.times_ns.tolist() == [time_ns("2026-05-01"), time_ns("2026-05-01T00:02:00+00:00")]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("time,room.a [Cel],room.b [%]\n2026-05-01T00:00:00Z,20,40\n2026-05-01T00:01:00Z,,41\n", None),
        ('"date","room.a","room.b"\n"1","2026-05-01 00:00:00",20,40\n"2","2026-05-01 00:01:00",,41\n', None),
        ("room.b,room.a,when\n40,20,2026-05-01 02:00:00+02:00\n41,,2026-05-01 00:01:00\n", "when"),
    ],
)
def test_tables_are_read(tmp_path: Path, text: str, column: str | None) -> None:
    a, b = read(written(tmp_path, text), [Wanted("room.a", "Cel"), Wanted("room.b", "%")], column)
    assert (a.numbers().tolist(), b.numbers().tolist()) == ([20.0], [40.0, 41.0])
    assert b.times_ns.tolist() == [time_ns("2026-05-01"), time_ns("2026-05-01T00:01:00")]


@pytest.mark.parametrize(
    ("text", "wanted", "said"),
    [
        ("time,b\n2026-05-01,1\n", Wanted("a"), "no column 'a'; it has time, b"),
        ("when,a\n2026-05-01,1\n", Wanted("a"), "--time-column"),
        ("time,a\nyesterday,1\n", Wanted("a"), "no ISO 8601"),
        ("time,a\n2026-05-01,\n", Wanted("a"), "no values of 'a'"),
        ("time,a [K]\n2026-05-01,1\n", Wanted("a", "Cel"), "in K, not in Cel"),
    ],
)
def test_a_recording_that_does_not_fit_says_why(tmp_path: Path, text: str, wanted: Wanted, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(written(tmp_path, text), [wanted])


def test_a_label_is_the_last_of_its_period(tmp_path: Path) -> None:
    (labels,) = read(
        written(tmp_path, "time,l\n2026-05-01T00:00:10,a\n2026-05-01T00:00:50,b\n2026-05-01T00:02:30,c\n"),
        [Wanted("l")],
    )
    ends = time_ns("2026-05-01") + np.array([60, 120, 180], np.int64) * 10**9
    assert labels_at(labels, ends, 60.0) == ["b", None, "c"]


def test_alarms_outside_the_windows_count_once_a_day() -> None:
    times = np.arange(200, dtype=np.int64) * HOUR
    anomaly = np.zeros(200, bool)
    anomaly[[5, 60, 62, 83, 150]] = True  # learned from, found, within a day of its end twice, late
    anomaly[90:104] = True
    found = alarms(
        times, anomaly, [(58 * HOUR, 61 * HOUR), (100 * HOUR, 120 * HOUR), (170 * HOUR, 180 * HOUR)], 10 * HOUR
    )
    assert found.found == [True, True, False]
    assert found.false_alarms == [62 * HOUR, 150 * HOUR]
    assert found.begun == 2
    assert "found 2 of 3" in found.lines()[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.json", json.dumps([["2026-05-01 00:00:00.000000", "2026-05-02"]])),
        ("w.json", json.dumps({"x/other.csv": [], "x/temp.csv": [["2026-05-01", "2026-05-02T00:00:00Z"]]})),
        ("w.csv", "from,to\n2026-05-01,2026-05-02\n"),
    ],
)
def test_labelled_windows_are_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_windows(tmp_path / name, "temp") == [(time_ns("2026-05-01"), time_ns("2026-05-02"))]


@pytest.mark.parametrize("content", ["{", "[1]", '[["a", "b"]]', "{}"])
def test_what_are_no_windows_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "w.json").write_text(content)
    with pytest.raises(ConfigError, match="no list of windows"):
        read_windows(tmp_path / "w.json", "temp")


def test_a_signature_holds_for_its_file_and_key_alone(tmp_path: Path) -> None:
    model, key = tmp_path / "model.tflite", tmp_path / "key.pem"
    model.write_bytes(b"a model")
    assert sign(model, key) == tmp_path / "model.tflite.sig"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = tmp_path / "key.pem.pub"
    assert verify(model, public)
    model.write_bytes(b"A model")
    assert not verify(model, public)
    sign(model, tmp_path / "other.pem")
    assert not verify(model, public)
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        sign(model, key)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n!\n"])
def test_what_is_no_key_is_said(tmp_path: Path, content: bytes) -> None:
    key: Any = tmp_path / "key.pem"
    key.write_bytes(content)
    key.chmod(0o600)
    model = tmp_path / "m"
    model.write_bytes(b"m")
    with pytest.raises(ConfigError, match="no private key"):
        sign(model, key)
    (tmp_path / "m.sig").write_bytes(b"")
    with pytest.raises(ConfigError, match="no public key"):
        verify(model, key)
