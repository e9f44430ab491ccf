"""The last rows of a window, kept in the form that the model takes, so that a window is ready when its last row is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wayside_edge.compute.periods import Row
from wayside_shared.model_metadata import ModelMetadata

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Quantisation:
    """`(integer - zero) * step` is the number; for floats 1.0 and 0."""

    step: float = 1.0
    zero: int = 0


class History:
    """Rows, normalised as the model wants them, each stored twice at a window's distance: any window is one slice.

    Args:
        metadata: of the model.
        shape: of its input.
        into: how its input is quantised; None for one of floats.
        out: how its output is, which an autoencoder's is compared to.
    """

    def __init__(
        self, metadata: ModelMetadata, shape: Sequence[int], into: Quantisation | None, out: Quantisation | None
    ) -> None:
        rows, inputs = metadata.window.samples, len(metadata.inputs)
        self._rows = rows
        self._max_gap = metadata.window.max_gap
        self._mean = np.array([each.mean for each in metadata.inputs])
        self._scale = np.array([each.scale for each in metadata.inputs])
        self._into, self._out = into, out or Quantisation()
        self._normal = np.zeros((2 * rows, inputs), np.float32)
        self._ready = np.zeros((2 * rows, inputs), np.int8) if into else self._normal
        self._target = self._normal if out is None else np.zeros((2 * rows, inputs), np.float32)
        self._views: list[tuple[NDArray[Any], Floats]] = [
            (self._ready[at : at + rows].reshape(tuple(shape)), self._target[at : at + rows].reshape(-1))
            for at in range(rows)
        ]
        self._at = 0
        self._run = 0
        self._missing = 0
        self._since_bridge = rows

    def append(self, row: Row) -> bool:
        """Take the next row in; whether the window that ends with it is whole."""
        if row is None:
            self._missing += 1
            self._put(np.zeros(len(self._mean), np.float32))
            self._since_bridge += 1
            return False
        fresh = ((np.array(row) - self._mean) / self._scale).astype(np.float32)
        if self._missing:
            self._bridge(fresh)
        self._put(fresh)
        self._run = min(self._run + 1, self._rows)
        self._since_bridge = min(self._since_bridge + 1, self._rows)
        return self._run == self._rows

    @property
    def partial(self) -> bool:
        """Whether the window holds rows that were not measured."""
        return self._since_bridge < self._rows

    def window(self) -> tuple[NDArray[Any], Floats]:
        """The last rows as they go into the model, and as its output is compared to them. Views, not copies."""
        return self._views[self._at]

    def _bridge(self, fresh: Floats) -> None:
        """Give the rows that were missing before `fresh` values along a straight line, if they are not too many."""
        missing, self._missing = self._missing, 0
        if not self._run or missing > min(self._max_gap, self._rows - 1):
            self._run = 0
            self._since_bridge = self._rows
            return
        before = self._normal[(self._at - missing - 1) % self._rows].copy()
        for step in range(1, missing + 1):
            self._store((self._at - missing - 1 + step) % self._rows, before + (fresh - before) * step / (missing + 1))
        self._run = min(self._run + missing, self._rows)
        self._since_bridge = 0

    def _put(self, normal: Floats) -> None:
        self._store(self._at, normal)
        self._at = (self._at + 1) % self._rows

    def _store(self, at: int, normal: Floats) -> None:
        for place in (at, at + self._rows):
            self._normal[place] = normal
        if self._into is not None:
            ready = np.clip(np.rint(normal / self._into.step) + self._into.zero, -128, 127)
            for place in (at, at + self._rows):
                self._ready[place] = ready
        if self._target is not self._normal:
            target = normal / self._out.step + self._out.zero
            for place in (at, at + self._rows):
                self._target[place] = target

    def state(self) -> dict[str, object]:
        """What to restore it from."""
        rows = np.roll(self._normal[: self._rows], -self._at, axis=0)
        return {
            "rows": rows.astype("<f4").tobytes(), "run": self._run, "missing": self._missing,
            "since_bridge": self._since_bridge,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was asked for.

        Raises:
            TypeError, ValueError, KeyError: it is not what `state` gives.
        """
        rows = np.frombuffer(state["rows"], "<f4").reshape(self._rows, -1)
        if rows.shape[1] != len(self._mean) or not np.isfinite(rows).all():
            message = "rows of another shape"
            raise ValueError(message)
        for at, row in enumerate(rows):
            self._store(at, row.astype(np.float32))
        self._at = 0
        self._run, self._missing = int(state["run"]), int(state["missing"])
        self._since_bridge = int(state["since_bridge"])
