"""The pictures of a model's card: parsed as the XML that a browser reads."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from wayside_firmware.models.picture import GREEN, PINK, RED, class_picture, score_picture
from wayside_firmware.models.worker import Run

NS = 10**9
MINUTE = 60 * NS
SVG = "{http://www.w3.org/2000/svg}"


def _run(times: list[int], **values: list[float]) -> Run:
    return Run(np.array(times, np.int64), {name: np.array(each) for name, each in values.items()}, [], 0)


def _texts(drawn: ET.Element) -> list[str]:
    return [each.text or "" for each in drawn.iter(f"{SVG}text")]


def _boxes(drawn: ET.Element, colour: str) -> list[tuple[float, float]]:
    """Left edge and width of what is filled so, without the one in the key."""
    found = [each for each in drawn.iter(f"{SVG}rect") if each.get("fill") == colour]
    return [(float(each.get("x", 0)), float(each.get("width", 0))) for each in found if each.get("width") != "18"]


def test_a_score_has_axes_a_title_a_key_and_its_alarms() -> None:
    times = [at * MINUTE for at in range(60)]
    score = [0.1] * 40 + [3.0] * 5 + [0.1] * 15
    run = _run(times, score=score, anomaly=[float(each > 1) for each in score])
    drawn = ET.fromstring(score_picture("a<b.tflite", run, 1.0, 20 * MINUTE, [(35 * MINUTE, 50 * MINUTE)]))
    texts = _texts(drawn)
    assert texts[0] == "a<b.tflite: score over time"
    assert {"0", "1", "2", "3", "threshold 1", "alarm", "labelled anomaly", "learned from"} <= set(texts)
    assert [each for each in texts if each.startswith("1970-01-01 00:")] == [
        f"1970-01-01 00:{at:02d}" for at in range(0, 60, 10)
    ]
    (alarm,), (labelled,) = _boxes(drawn, RED), _boxes(drawn, PINK)
    assert labelled[0] < alarm[0]
    assert alarm[0] + alarm[1] < labelled[0] + labelled[1]
    (learned,) = [each for each in drawn.iter(f"{SVG}line") if each.get("stroke") == GREEN]
    assert float(learned.get("x2", 0)) < alarm[0]


@pytest.mark.parametrize(("peak", "said"), [(2.5, "over time"), (200.0, "over time, cut off at 2 (it reaches 200)")])
def test_a_score_is_cut_off_only_where_that_shows_more(peak: float, said: str) -> None:
    times = [at * MINUTE for at in range(4000)]
    run = _run(times, score=[0.5] * 3999 + [peak], anomaly=[0.0] * 4000)
    assert score_picture("m", run, 1.0, None, []).split("</text>")[0].endswith(said)


def test_what_was_not_measured_is_not_drawn() -> None:
    times = [at * MINUTE for at in (*range(10), *range(100, 110))]
    run = _run(times, probability_off=[0.2] * 20, probability_on=[0.8] * 20)
    drawn = ET.fromstring(class_picture("m", run, ["off", "on"], ["on"] * 20, None))
    assert len(list(drawn.iter(f"{SVG}polyline"))) == 2
    assert len(_boxes(drawn, PINK)) == 2
    assert "on" in _texts(drawn)
    assert "off" not in _texts(drawn)  # of two, the other says the same


def test_several_labels_have_a_row_each_and_one_window_is_enough() -> None:
    labels = ["off", "idle", "running-at-full-speed"]
    run = _run([MINUTE], **{f"probability_{each}": [1 / 3] for each in labels})
    drawn = ET.fromstring(class_picture("m", run, labels, [None], None))
    assert {"off", "idle", "running-at-…"} <= set(_texts(drawn))
    assert len(list(drawn.iter(f"{SVG}circle"))) == 3
