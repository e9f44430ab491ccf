"""Readings to windows, and what a model says of them: gaps, stragglers, clocks that begin anew, restarts."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from wayside_edge.compute.inference import Inference, Result, Rule
from wayside_edge.compute.interpreter import described, load_runtimes, open_model
from wayside_edge.compute.periods import Periods, Row
from wayside_firmware.models.recording import Recorded, span_text
from wayside_firmware.models.windows import windows_of
from wayside_shared.cbor import dumps, loads_map
from wayside_shared.model_metadata import ModelMetadata, Scoring, Window
from wayside_shared.stage_worker import MAX_STATE_BYTES
from wayside_testkit.models import SECOND, autoencoder, echo, metadata


def gathered(periods: Periods, readings: Sequence[tuple[int, float, float]]) -> list[tuple[int, Row]]:
    """The rows from readings of input, second and value."""
    return [row for place, at, value in readings for row in periods.add(place, round(at * SECOND), value)]


def inference(said: ModelMetadata, file: bytes | None = None) -> Inference:
    data = file or echo(said)
    return Inference(open_model(data, described(data), load_runtimes()), said.scoring)


def told(model: Inference, values: Sequence[tuple[float, float]]) -> Sequence[Result]:
    for at, value in values:
        model.add(0, round(at * SECOND), value)
    return model.results()


def test_a_row_is_the_mean_of_its_period() -> None:
    periods = Periods(1, SECOND, 1, 10)
    assert gathered(periods, [(0, 5.0, 1.0), (0, 5.5, 2.0), (0, 6.0, 7.0), (0, 7.2, 1.0)]) == [(5, [1.5]), (6, [7.0])]


def test_a_period_waits_for_every_input_but_not_for_long() -> None:
    periods = Periods(2, SECOND, 2, 10)
    assert gathered(periods, [(0, 5.0, 1.0), (0, 6.0, 2.0), (1, 5.5, 4.0)]) == []
    assert gathered(periods, [(1, 6.5, 5.0)]) == [(5, [1.0, 4.0])]
    # From here on the second input is silent.
    assert gathered(periods, [(0, 7.0, 1.0), (0, 8.0, 1.0)]) == []
    assert gathered(periods, [(0, 9.0, 1.0)]) == [(6, [2.0, 5.0])]
    assert gathered(periods, [(0, 10.0, 1.0)]) == [(7, None)]
    assert periods.late == 0
    assert gathered(periods, [(1, 7.0, 1.0)]) == []
    assert periods.late == 1


def test_a_long_silence_is_not_gone_through_one_by_one() -> None:
    periods = Periods(1, SECOND, 1, 3)
    gathered(periods, [(0, 5.0, 1.0)])
    rows = gathered(periods, [(0, 1e9, 1.0)])
    assert rows[0] == (5, [1.0])
    assert [row for _, row in rows[1:]] == [None] * 3
    assert rows[-1][0] == 10**9 - 1
    assert periods.begins_anew(5 * SECOND)
    assert not periods.begins_anew((10**9 - 2) * SECOND)


def test_a_window_is_scored_when_its_last_period_is_over() -> None:
    said = metadata(window=Window(4, 1.0))
    results = told(inference(said), [(at, 20.0 + 2 * (at % 2)) for at in range(10, 17)])
    assert [result.time_ns for result in results] == [14 * SECOND, 15 * SECOND, 16 * SECOND]
    assert [result.values[0] for result in results] == pytest.approx([0.25] * 3)
    assert not any(result.partial for result in results)


def test_windows_end_at_multiples_of_the_stride() -> None:
    results = told(inference(metadata(window=Window(4, 1.0, 3))), [(at, 20.0) for at in range(30)])
    assert [result.time_ns // SECOND for result in results] == [4, 7, 10, 13, 16, 19, 22, 25, 28]


def test_a_small_gap_is_bridged_and_a_larger_one_leaves_windows_out() -> None:
    said = metadata(window=Window(4, 1.0, 1, 2))
    ramp = [(at, 20.0 + at) for at in range(12) if at not in (5, 6)]
    results = told(inference(said), ramp)
    assert [result.time_ns // SECOND for result in results] == [4, 5, 8, 9, 10, 11]
    # Along the line the window is what it would have been.
    assert [result.values[0] for result in results] == pytest.approx([0.3125] * 6)
    assert [result.partial for result in results] == [False, False, True, True, True, False]
    wide = told(inference(said), [(at, 20.0 + at) for at in range(14) if at not in (5, 6, 7)])
    assert [result.time_ns // SECOND for result in wide] == [4, 5, 12, 13]


def test_a_clock_that_begins_anew_begins_a_new_window() -> None:
    model = inference(metadata())
    assert len(told(model, [(at, 20.0) for at in range(1000, 1006)])) == 2
    assert [result.time_ns // SECOND for result in told(model, [(at, 20.0) for at in range(6)])] == [4, 5]


def test_an_anomaly_has_a_beginning_and_an_end() -> None:
    rule = Rule(Scoring(1.0, smoothing=1, consecutive=2))
    told_of = [(rule(score)[1], rule.event) for score in (0.5, 2.0, 0.5, 2.0, 3.0, 2.0, 0.25)]
    assert [flag for flag, _ in told_of] == [0, 0, 0, 0, 1, 1, 0]
    assert told_of[4][1] == "an anomaly began: its score is 3, above 1"
    assert told_of[6][1] == "the anomaly ended: its score is 0.25, not above 1; its largest was 3"
    assert [event for _, event in told_of].count(None) == 5


def test_a_score_is_averaged() -> None:
    rule = Rule(Scoring(1.0, smoothing=3))
    assert [rule(score)[0] for score in (3.0, 0.0, 0.0, 6.0)] == [3.0, 1.5, 1.0, 2.0]


@pytest.mark.parametrize("int8", [True, False])
def test_a_restart_at_any_place_changes_nothing(int8: bool) -> None:
    draw = random.Random(3)
    said = metadata(window=Window(16, 1.0, 2, 2), scoring=Scoring(1.2, 3, 2))
    file = autoencoder(said, int8=int8)
    readings = [(at / 3 + draw.random() / 4, draw.gauss(20.0, 3.0)) for at in range(900) if draw.random() < 0.6]
    whole = told(inference(said, file), readings)
    assert len(whole) > 50
    assert {result.partial for result in whole} == {True, False}
    assert sum(result.event is not None for result in whole) > 4
    for _ in range(5):
        parts: list[Result] = []
        model = inference(said, file)
        rest = list(readings)
        while rest:
            count = draw.randrange(1, 120)
            parts += told(model, rest[:count])
            rest = rest[count:]
            state = loads_map(dumps(model.state()))
            model = inference(said, file)
            model.restore(state)
        assert parts == list(whole)


def test_the_state_of_the_largest_window_fits_for_two_clocks() -> None:
    said = metadata(inputs=8, window=Window(512, 1.0, 1, 4096), scoring=Scoring(1.0, 1000))
    model = inference(said, autoencoder(said))
    for at in range(2000):
        for place in range(8):
            model.add(place, at * SECOND, 20.0 + at % 7 / 3)
    model.add(0, 2003 * SECOND, 20.1)
    assert len(model.results()) > 1000
    assert 2 * len(dumps(model.state())) < MAX_STATE_BYTES - 1024


def test_the_trainer_sees_the_windows_that_the_worker_sees() -> None:
    draw = random.Random(5)
    window = Window(6, 2.0, 2, 1)
    said = metadata(window=window)
    times = sorted(round(at * 0.8 * SECOND) for at in range(400) if draw.random() < 0.7)
    values = [draw.gauss(20.0, 3.0) for _ in times]
    recorded = Recorded("a", "Cel", np.array(times, np.int64), [repr(value) for value in values])
    ours = windows_of([recorded], window)
    model = inference(said)
    for at, value in zip(times, values, strict=True):
        model.add(0, at, value)
    results = model.results()
    assert len(results) > 20
    seen = ours.ends_ns <= times[-1]
    assert ours.ends_ns[seen].tolist() == [result.time_ns for result in results]
    scores = ((ours.values[seen] - 20.0) / 2.0).var(axis=1)
    assert [result.values[0] for result in results] == pytest.approx(scores.tolist(), rel=1e-4, abs=1e-5)


def test_how_long_a_recording_is_has_a_unit_that_says_it() -> None:
    spans = [span_text(0, seconds * 10**9).partition("(")[2] for seconds in (60, 180, 7200, 3 * 86_400)]
    assert spans == ["60 s)", "3.0 minutes)", "2.0 hours)", "3.0 days)"]


@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize("value", [1e20, 3.4e38, -1e300, 1e308])
def test_a_reading_that_cannot_be_is_a_gap_and_no_end(int8: bool, value: float) -> None:
    said = metadata(window=Window(4, 1.0, 1, 1))
    model = inference(said, autoencoder(said, int8=int8))
    readings = [(at, 20.0) for at in range(6)] + [(6.0, value), (6.5, value)] + [(at, 20.0) for at in range(7, 20)]
    results = told(model, readings)
    assert [result.time_ns // SECOND for result in results] == [4, 5, 6, *range(8, 20)]
    assert [result.partial for result in results[3:]] == [True] * 3 + [False] * 9
    assert all(np.isfinite(result.values).all() for result in results)


def test_a_window_without_a_score_is_told_and_the_next_ones_are_scored() -> None:
    said = metadata(window=Window(2, 1.0))
    model = inference(said)
    told(model, [(at, 20.0) for at in range(4)])
    # As it stands in a state that was kept before such rows were left out.
    state = loads_map(dumps(model.state()))
    state["history"]["rows"] = np.array([[0.0], [1e20]], "<f4").tobytes()
    model.restore(state)
    results = told(model, [(at, 20.0 + at % 2) for at in range(4, 9)])
    assert [bool(result.values) for result in results] == [False, True, True, True, True]
    assert results[0].event is None
