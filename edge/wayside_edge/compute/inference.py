"""A model on one clock: readings in, what the model says of each window out."""

from collections import deque
from collections.abc import Mapping, Sequence
from math import isfinite
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wayside_edge.compute.history import History, Quantisation
from wayside_edge.compute.interpreter import OpenModel
from wayside_edge.compute.periods import Periods
from wayside_edge.compute.serving import StageError
from wayside_shared.clock import NS_PER_S
from wayside_shared.model_metadata import ModelKind, ModelMetadata, Scoring
from wayside_shared.stage_block import BlockSeries
from wayside_shared.stage_worker import Failure

MAX_WAIT: Final = 3
"""Periods that an input may lag behind another: more would hold results up, and fill the state with open periods."""


class Result(NamedTuple):
    """What a model said of a window.

    Args:
        time_ns: the end of its last period.
        values: for the series of `series_of`, in order; empty when the model gave what is no number.
        partial: whether the window holds rows that were not measured.
        event: what began or ended with it, in words.
    """

    time_ns: int
    values: Sequence[float]
    partial: bool
    event: str | None


def series_of(metadata: ModelMetadata) -> Sequence[BlockSeries]:
    """The series that a model gives."""
    match metadata.kind:
        case ModelKind.AUTOENCODER:
            return [BlockSeries("score", "1"), BlockSeries("anomaly", "1")]
        case ModelKind.CLASSIFIER:
            return [*(BlockSeries(f"probability_{label}", "1") for label in metadata.labels), BlockSeries("class", "1")]
        case ModelKind.REGRESSOR:
            return [BlockSeries(each.name, each.unit) for each in metadata.outputs]


class Rule:
    """Tells from the scores of windows, one after another, when an anomaly begins and ends."""

    def __init__(self, scoring: Scoring) -> None:
        self.event: str | None = None
        """What began or ended with the last score, in words."""
        self._threshold = scoring.threshold
        self._consecutive = scoring.consecutive
        self._averaged = scoring.smoothing > 1
        self._recent: deque[float] = deque(maxlen=scoring.smoothing)
        self._above = 0
        self._anomaly = False
        self._largest = 0.0

    def __call__(self, score: float) -> tuple[float, float]:
        """The averaged score, and 1.0 within an anomaly."""
        if self._averaged:
            self._recent.append(score)
            score = sum(self._recent) / len(self._recent)
        self.event = None
        if score > self._threshold:
            self._above += 1
            self._largest = max(self._largest, score)
            if self._above >= self._consecutive and not self._anomaly:
                self._anomaly = True
                self.event = f"an anomaly began: its score is {score:.4g}, above {self._threshold:.4g}"
        elif self._above:
            self._end(score)
        return score, 1.0 if self._anomaly else 0.0

    def _end(self, score: float) -> None:
        if self._anomaly:
            self.event = (
                f"the anomaly ended: its score is {score:.4g}, not above {self._threshold:.4g}; "
                f"its largest was {self._largest:.4g}"
            )
        self._above, self._anomaly, self._largest = 0, False, 0.0

    def state(self) -> list[Any]:
        """What to restore it from."""
        return [list(self._recent), self._above, self._anomaly, self._largest]

    def restore(self, state: Any) -> None:
        """Go on where `state` was asked for.

        Raises:
            TypeError, ValueError: it is not what `state` gives.
        """
        recent, above, anomaly, largest = state
        self._recent.clear()
        self._recent.extend(float(score) for score in recent)
        self._above, self._anomaly, self._largest = int(above), bool(anomaly), float(largest)


class Inference:
    """The windows of one clock, and the model.

    Args:
        opened: the model. Several may share it, one at a time.
        scoring: of an autoencoder.
    """

    def __init__(self, opened: OpenModel, scoring: Scoring | None) -> None:
        self.used_ns = 0
        """Time that the interpreter took, in nanoseconds."""
        self._opened = opened
        self._period_ns = max(1, round(opened.metadata.window.period_s * NS_PER_S))
        self._stride = opened.metadata.window.stride
        self._rule = None if scoring is None else Rule(scoring)
        self._input, self._output = opened.input, opened.output
        interpreter = opened.interpreter
        self._set, self._invoke, self._get = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor
        self._given: list[NDArray[Any]] = []
        self._starts: list[int] = []
        self._times: list[int] = []
        self._partial: list[bool] = []
        self._results: list[Result] = []
        step = 1.0 if opened.out is None else opened.out.step
        self._square_step = step * step / opened.metadata.output_values
        self._begin()

    def add(self, place: int, time_ns: int, value: float) -> None:
        """Take a reading of the input `place` in, and put the windows that are whole with it through the model.

        Raises:
            StageError: the model failed.
        """
        if self._periods.begins_anew(time_ns):
            self._tell()
            self._begin()
        for period, row in self._periods.add(place, time_ns, value):
            if self._history.full:
                self._tell()
            if self._history.append(row) and period % self._stride == 0:
                self._times.append((period + 1) * self._period_ns)
                self._partial.append(self._history.partial)
                self.infer()

    def results(self) -> Sequence[Result]:
        """What the model said since this was last asked for."""
        self._tell()
        results, self._results = self._results, []
        return results

    @property
    def late(self) -> int:
        """Readings left out because their period was over."""
        return self._periods.late

    @property
    def unsound(self) -> int:
        """Rows left out because no measurement can give them, since the clock began anew or this was built."""
        return self._history.unsound

    def infer(self) -> None:
        """Put the last rows through the model; what it says waits for `scores` or `_read`.

        Raises:
            StageError: it failed.
        """
        ready, start = self._history.window()
        began_ns = perf_counter_ns()
        try:
            self._set(self._input, ready)
            self._invoke()
            self._given.append(self._get(self._output))
        except (ValueError, RuntimeError) as error:
            raise StageError(Failure.MODEL, " ".join(str(error).split())[:300]) from error
        self.used_ns += perf_counter_ns() - began_ns
        self._starts.append(start)

    def scores(self) -> Sequence[float]:
        """How far what came out of an autoencoder was from what went in, of each window since this was last asked for.

        All at once, and in steps of the output: it would cost more than the model if each window were taken by itself
        and both brought back to numbers.
        """
        given = np.concatenate(self._given).reshape(len(self._given), -1)
        # What is no number is found by whoever asked; a warning would reach the agent's log as a line of its own.
        with np.errstate(over="ignore", invalid="ignore"):
            difference = given - self._history.targets(self._starts)
            found: list[float] = (np.square(difference).sum(axis=1) * self._square_step).tolist()
        self._given, self._starts = [], []
        return found

    def _tell(self) -> None:
        """Make results of what came out so far, before the rows that it came from move."""
        if not self._given:
            return
        values: list[Sequence[float]]
        events: list[str | None] = [None] * len(self._given)
        if self._rule is None:
            values = [self._read(given) for given in self._given]
            self._given, self._starts = [], []
        else:
            values = []
            for place, score in enumerate(self.scores()):
                if not isfinite(score):
                    values.append(())
                    continue
                values.append(self._rule(score))
                events[place] = self._rule.event
        self._results += map(Result, self._times, values, self._partial, events)
        self._times, self._partial = [], []

    def _read(self, given: Any) -> Sequence[float]:
        out, metadata = self._opened.out or FLOATS, self._opened.metadata
        numbers = [(value - out.zero) * out.step for value in given.reshape(-1).tolist()]
        if not all(map(isfinite, numbers)):
            return ()
        if metadata.kind is ModelKind.CLASSIFIER:
            return [*numbers, float(max(range(len(numbers)), key=numbers.__getitem__))]
        return [each.mean + each.scale * number for each, number in zip(metadata.outputs, numbers, strict=True)]

    def _begin(self) -> None:
        opened = self._opened
        window, inputs = opened.metadata.window, len(opened.metadata.inputs)
        wait = min(1 + window.max_gap, MAX_WAIT)
        self._periods = Periods(inputs, self._period_ns, wait, window.samples + window.max_gap + wait)
        self._history = History(opened.metadata, opened.shape, opened.into, opened.out)

    def state(self) -> dict[str, object]:
        """What to restore it from."""
        rule = self._rule.state() if self._rule else None
        return {"periods": self._periods.state(), "history": self._history.state(), "rule": rule}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was asked for.

        Raises:
            TypeError, ValueError, KeyError: it is not what `state` gives.
        """
        self._periods.restore(state["periods"])
        self._history.restore(state["history"])
        if self._rule:
            self._rule.restore(state["rule"])


FLOATS: Final = Quantisation()
