"""What a TFLite model says about itself: one JSON text in its file, under the name `WAYSIDE`.

It has all that the agent needs to run the model beside the file: the series that go in and how they are normalised,
the window, and what the output means. Keys that a reader does not know it passes over; anything that an old reader
would misread takes a new version.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from math import isfinite, prod
from typing import Any, Final, NoReturn

from wayside_shared.errors import RejectedError
from wayside_shared.identifiers import check_series_name
from wayside_shared.rejects import RejectCode
from wayside_shared.units import check_unit

METADATA_NAME: Final = "WAYSIDE"
METADATA_VERSION: Final = 1
MAX_METADATA_BYTES: Final = 64 * 1024
MAX_WINDOW_VALUES: Final = 4096
"""Samples of a window times inputs: a worker keeps one window for each clock in its state of 64 KiB."""
MAX_INPUTS: Final = 64
MAX_OUTPUTS: Final = 64
MAX_PERIOD_S: Final = 7 * 86_400.0
MIN_PERIOD_S: Final = 1e-4
MAX_RULE: Final = 1000
"""Most windows that a score is averaged over, or that must be over the threshold in a row."""


class ModelKind(Enum):
    """What a model is for. The value is what stands in the file."""

    AUTOENCODER = "autoencoder"
    """Gives its input again; how badly is the score."""
    CLASSIFIER = "classifier"
    """Gives a probability for each label."""
    REGRESSOR = "regressor"
    """Gives values."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """An input of a model; `(value - mean) / scale` goes into it.

    Args:
        name: for people, and how a tool finds its column; the configuration says which series it is.
        unit: its UCUM code; values of another unit are refused.
        mean: in that unit.
        scale: in that unit, more than 0.
    """

    name: str
    unit: str
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """An output of a regressor: `mean + scale * output` is its value.

    Args:
        name: of the series, below the name of the stage.
        unit: its UCUM code.
        mean: in that unit.
        scale: in that unit, more than 0.
    """

    name: str
    unit: str
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Window:
    """What a model looks at: `samples` means of each input, over periods that begin at multiples of `period_s`.

    Args:
        samples: periods in a window.
        period_s: seconds from one to the next.
        stride: windows end at periods whose number divides by this.
        max_gap: most periods in a row without a value that a straight line bridges; a window with more is left out.
    """

    samples: int
    period_s: float
    stride: int = 1
    max_gap: int = 0


@dataclass(frozen=True, slots=True)
class Scoring:
    """How an autoencoder tells an anomaly.

    The score of a window is the mean square of the difference between what went in and what came out, both
    normalised, averaged over the last windows.

    Args:
        threshold: an anomaly has a score above this.
        smoothing: windows that the score is averaged over.
        consecutive: windows in a row above the threshold before an anomaly begins; it ends with one that is not.
    """

    threshold: float
    smoothing: int = 1
    consecutive: int = 1


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """All of it.

    Args:
        kind: what the model is for.
        inputs: in the order in which a row of the window holds them.
        window: what it looks at.
        scoring: of an autoencoder, else None.
        labels: of a classifier, in the order of its outputs.
        outputs: of a regressor, in order.
        about: what else its maker says, text by name.
    """

    kind: ModelKind
    inputs: Sequence[ModelInput]
    window: Window
    scoring: Scoring | None = None
    labels: Sequence[str] = ()
    outputs: Sequence[ModelOutput] = ()
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def window_values(self) -> int:
        """Numbers that go into the model at once."""
        return prod((self.window.samples, len(self.inputs)))

    @property
    def output_values(self) -> int:
        """Numbers that come out of it."""
        match self.kind:
            case ModelKind.AUTOENCODER:
                return self.window_values
            case ModelKind.CLASSIFIER:
                return len(self.labels)
            case ModelKind.REGRESSOR:
                return len(self.outputs)

    def encode(self) -> bytes:
        """The text that goes into the file."""
        values = {"version": METADATA_VERSION, **asdict(self), "kind": self.kind.value}
        return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def decode_metadata(data: bytes) -> ModelMetadata:
    """The metadata in `data`.

    Raises:
        RejectedError: it is none, of another version, or over a limit; nothing else, whatever the bytes.
    """
    if len(data) > MAX_METADATA_BYTES:
        raise RejectedError(RejectCode.TOO_LARGE, f"metadata of {len(data)} bytes, at most {MAX_METADATA_BYTES}")
    try:
        values = json.loads(data.rstrip(b"\0").decode())
    except (ValueError, RecursionError) as error:
        raise RejectedError(RejectCode.MALFORMED, "the metadata is no JSON text in UTF-8") from error
    if type(values) is not dict:
        _refuse("it is no object")
    version = values.get("version")
    if version != METADATA_VERSION or type(version) is not int:
        raise RejectedError(
            RejectCode.UNSUPPORTED_VERSION, f"version {str(version)[:20]} of the metadata, not {METADATA_VERSION}"
        )
    made = ModelMetadata(
        kind=_kind(values.get("kind")),
        inputs=tuple(_input(item) for item in _list(values, "inputs", MAX_INPUTS)),
        window=_window(_table(values, "window")),
        scoring=_scoring(_table(values, "scoring")) if values.get("scoring") is not None else None,
        labels=tuple(_name(item, "a label") for item in _list(values, "labels", MAX_OUTPUTS, least=0)),
        outputs=tuple(_output(item) for item in _list(values, "outputs", MAX_OUTPUTS, least=0)),
        about=_about(values.get("about", {})),
    )
    _check(made)
    return made


def _check(made: ModelMetadata) -> None:
    if made.window_values > MAX_WINDOW_VALUES:
        raise RejectedError(
            RejectCode.TOO_LARGE, f"a window of {made.window_values} values, at most {MAX_WINDOW_VALUES}"
        )
    if (made.kind is ModelKind.AUTOENCODER) != (made.scoring is not None):
        _refuse("an autoencoder has scoring, and nothing else has")
    if (made.kind is ModelKind.CLASSIFIER) != bool(made.labels):
        _refuse("a classifier has labels, and nothing else has")
    if made.kind is ModelKind.CLASSIFIER and len(made.labels) == 1:
        _refuse("one label tells nothing")
    if (made.kind is ModelKind.REGRESSOR) != bool(made.outputs):
        _refuse("a regressor has outputs, and nothing else has")
    for names in ([each.name for each in made.outputs], list(made.labels)):
        if len(set(names)) != len(names):
            _refuse("a label or an output is there twice")


def _kind(value: Any) -> ModelKind:
    try:
        return ModelKind(value)
    except ValueError as error:
        raise RejectedError(RejectCode.MALFORMED, f"the metadata names the kind {str(value)[:40]!r}") from error


def _input(item: Any) -> ModelInput:
    return ModelInput(**_measured(item, "an input"))


def _output(item: Any) -> ModelOutput:
    return ModelOutput(**_measured(item, "an output"))


def _measured(item: Any, what: str) -> dict[str, Any]:
    if type(item) is not dict:
        _refuse(f"{what} is no object")
    unit = item.get("unit")
    if type(unit) is not str:
        _refuse(f"{what} has no unit")
    return {
        "name": _name(item.get("name"), what),
        "unit": check_unit(unit),
        "mean": _number(item, "mean", -1e300, 1e300, 0.0),
        "scale": _number(item, "scale", 1e-300, 1e300, 1.0),
    }


def _window(table: dict[str, Any]) -> Window:
    return Window(
        samples=_whole(table, "samples", 1, MAX_WINDOW_VALUES),
        period_s=_number(table, "period_s", MIN_PERIOD_S, MAX_PERIOD_S),
        stride=_whole(table, "stride", 1, MAX_WINDOW_VALUES, 1),
        max_gap=_whole(table, "max_gap", 0, MAX_WINDOW_VALUES, 0),
    )


def _scoring(table: dict[str, Any]) -> Scoring:
    return Scoring(
        threshold=_number(table, "threshold", 0.0, 1e300),
        smoothing=_whole(table, "smoothing", 1, MAX_RULE, 1),
        consecutive=_whole(table, "consecutive", 1, MAX_RULE, 1),
    )


def _about(value: Any) -> dict[str, str]:
    if type(value) is not dict or any(type(text) is not str for text in value.values()):
        _refuse("'about' is no object of texts")
    return dict(value)


def _table(values: dict[str, Any], key: str) -> dict[str, Any]:
    table = values.get(key)
    if type(table) is not dict:
        _refuse(f"{key!r} is no object")
    return table


def _list(values: dict[str, Any], key: str, most: int, least: int = 1) -> list[Any]:
    items = values.get(key, [])
    if type(items) is not list or not least <= len(items) <= most:
        _refuse(f"{key!r} is no list of {least} to {most}")
    return items


def _name(value: Any, what: str) -> str:
    if type(value) is not str:
        _refuse(f"{what} has no name")
    return check_series_name(value)


def _number(table: dict[str, Any], key: str, low: float, high: float, default: float | None = None) -> float:
    value: Any = table.get(key, default)
    if type(value) not in (int, float) or not low <= value <= high or not isfinite(value):
        _refuse(f"{key!r} is no number from {low:g} to {high:g}")
    return float(value)


def _whole(table: dict[str, Any], key: str, low: int, high: int, default: int | None = None) -> int:
    value = table.get(key, default)
    if type(value) is not int or not low <= value <= high:
        _refuse(f"{key!r} is no integer from {low} to {high}")
    return value


def _refuse(what: str) -> NoReturn:
    raise RejectedError(RejectCode.MALFORMED, f"no metadata of a model: {what}")
