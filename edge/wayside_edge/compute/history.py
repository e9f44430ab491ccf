"""The last rows of a window, kept in the form that the model takes, so that a window is ready when its last row is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wayside_edge.compute.periods import Row
from wayside_shared.model_metadata import ModelMetadata

Floats = NDArray[np.float32]

ABSURD: Final = 1e6
"""Spreads of the training data away from its mean: no measurement, but a read error or the wrong order of bytes. The
squares of such numbers end the floats of a score, and with them all windows that the row is in."""

SPARE: Final = 64
"""Rows that can be added before the others are moved, at least: moving costs little when it is rare."""


@dataclass(frozen=True, slots=True)
class Quantisation:
    """`(integer - zero) * step` is the number; for floats 1.0 and 0."""

    step: float = 1.0
    zero: int = 0


class History:
    """Rows in one piece of memory, normalised as the model wants them: any window is a slice. When it is full, the
    last window moves to its beginning.

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
        self._bounds = [(each.mean - ABSURD * each.scale, each.mean + ABSURD * each.scale) for each in metadata.inputs]
        self._into, self._out = into, out or Quantisation()
        room = rows + max(rows, SPARE)
        self._normal = np.zeros((room, inputs), np.float32)
        self._ready = np.zeros((room, inputs), np.int8) if into else self._normal
        self._target = self._normal if out is None else np.zeros((room, inputs), np.float32)
        starts = range(room - rows + 1)
        self._views: list[NDArray[Any]] = [self._ready[at : at + rows].reshape(tuple(shape)) for at in starts]
        self._targets = np.lib.stride_tricks.as_strided(
            self._target, (len(starts), rows * inputs), (inputs * 4, 4), writeable=False
        )
        self.unsound = 0
        """Rows that counted as missing, because no measurement can give them."""
        self._at = rows
        self._run = 0
        self._missing = 0
        self._since_bridge = rows

    @property
    def full(self) -> bool:
        """Whether the next row moves the others: what `window` gave is another then."""
        return self._at == len(self._normal)

    def append(self, row: Row) -> bool:
        """Take the next row in; whether the window that ends with it is whole. A row that no measurement can give
        counts as missing."""
        sound = row is not None and self._sound(row)
        if row is None or not sound:
            self.unsound += row is not None
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

    def _sound(self, row: Sequence[float]) -> bool:
        # Of NaN no comparison holds. NumPy would take ten times as long for so few numbers.
        return all(low < value < high for value, (low, high) in zip(row, self._bounds, strict=True))

    @property
    def partial(self) -> bool:
        """Whether the window holds rows that were not measured."""
        return self._since_bridge < self._rows

    def window(self) -> tuple[NDArray[Any], int]:
        """The last rows as they go into the model, a view, and their place for `targets`."""
        start = self._at - self._rows
        return self._views[start], start

    def targets(self, places: Sequence[int]) -> Floats:
        """Windows as what comes out is compared to them, one in a row, by the places that `window` gave."""
        return self._targets[places]

    def _bridge(self, fresh: Floats) -> None:
        """Give the rows that were missing before `fresh` values along a straight line, if they are not too many."""
        missing, self._missing = self._missing, 0
        if not self._run or missing > min(self._max_gap, self._rows - 1):
            self._run = 0
            self._since_bridge = self._rows
            return
        first = self._at - missing
        before = self._normal[first - 1].copy()
        for step in range(missing):
            self._store(first + step, before + (fresh - before) * (step + 1) / (missing + 1))
        self._run = min(self._run + missing, self._rows)
        self._since_bridge = 0

    def _put(self, normal: Floats) -> None:
        if self.full:
            for buffer in {id(each): each for each in (self._normal, self._ready, self._target)}.values():
                buffer[: self._rows] = buffer[-self._rows :].copy()
            self._at = self._rows
        self._store(self._at, normal)
        self._at += 1

    def _store(self, at: int, normal: Floats) -> None:
        self._normal[at] = normal
        if self._into is not None:
            self._ready[at] = np.clip(np.rint(normal / self._into.step) + self._into.zero, -128, 127)
        if self._target is not self._normal:
            self._target[at] = normal / self._out.step + self._out.zero

    def state(self) -> dict[str, object]:
        """What to restore it from."""
        rows = self._normal[self._at - self._rows : self._at]
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
        self._at = self._rows
        self._run, self._missing = int(state["run"]), int(state["missing"])
        self._since_bridge = int(state["since_bridge"])
