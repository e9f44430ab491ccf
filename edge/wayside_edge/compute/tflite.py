"""The process of a stage that runs a TFLite model: `python -m wayside_edge.compute.tflite`, spoken to over its pipes.

A reading goes into the mean of its period, a period's means become a row, the last rows are a window, and a window
goes through the model as soon as its last period is over. Its results have the time at which that period ended.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from wayside_edge.compute.inference import Inference, Result, series_of
from wayside_edge.compute.interpreter import described, load_runtimes, open_model
from wayside_edge.compute.pinned import read_pinned
from wayside_edge.compute.sandbox import address_space_bytes, confine
from wayside_edge.compute.serving import StageError, serve
from wayside_shared.cbor import dumps, loads_map
from wayside_shared.errors import RejectedError
from wayside_shared.model_file import MAX_MODEL_BYTES
from wayside_shared.model_metadata import Scoring
from wayside_shared.quality import FIRST_ABSENT, Quality
from wayside_shared.stage_block import NO_VALUE, Block, BlockReading, decode_block
from wayside_shared.stage_worker import MAX_EVENTS, MAX_FRAME_BYTES, MAX_STATE_BYTES, Done, Failure, Load, Process

MAX_CLOCKS: Final = 2
"""Clocks that a stage keeps a window for: boot time, and UTC of recordings. Both fit into the state."""

STATE_VERSION: Final = 1
INTERPRETER_BYTES: Final = 128 * 1024 * 1024
"""Address space for what the interpreter maps when it begins, on top of what it had mapped when it was imported: heaps
of its threads, mostly never touched."""


class TfliteStage:
    """A model, and the windows that are open.

    Args:
        load: what to run, and with what.

    Raises:
        StageError: the file is another, or no model that can run here, or the settings do not fit it.
    """

    def __init__(self, load: Load) -> None:
        runtimes = load_runtimes()
        data = read_pinned(Path(load.file), load.sha256, MAX_MODEL_BYTES)
        room = INTERPRETER_BYTES + load.limits.memory_bytes
        self._log = [(logging.WARNING, f"not confined by {each}") for each in confine(address_space_bytes() + room)]
        file = described(data)
        metadata = file.metadata
        if len(load.inputs) != len(metadata.inputs):
            wanted = ", ".join(each.name for each in metadata.inputs)
            detail = f"it takes {len(metadata.inputs)} inputs ({wanted}), and {len(load.inputs)} are configured"
            raise StageError(Failure.MODEL, detail)
        self._scoring = _scoring(load, metadata.scoring)
        self._opened = open_model(data, file, runtimes)
        self._sha256 = load.sha256.lower()
        self._most = load.limits.output_readings
        self._series = series_of(metadata)
        self._units = [each.unit for each in metadata.inputs]
        self._inputs: dict[str, list[int]] = {}
        for place, name in enumerate(load.inputs):
            self._inputs.setdefault(name, []).append(place)
        self._clocks: dict[str, Inference] = {}
        self._late = self._unsound = 0
        if load.state is not None:
            self._restore(load.state)

    def loaded(self) -> Done:
        """The answer to `Load`."""
        return Done(state=self._state(), log=self._told())

    def process(self, work: Process) -> Done:
        """The answer to a block.

        Raises:
            StageError: it is of a clock too many, has a unit that the model does not take, or the model failed.
        """
        inference = self._of_clock(work.clock)
        used_ns = inference.used_ns
        self._read(inference, work.block)
        results = inference.results()
        unusable = sum(not result.values for result in results)
        if unusable:
            self._log.append((logging.WARNING, f"for {unusable} windows the model gave what is no number"))
        self._tell_left_out()
        events = [result.event for result in results if result.event is not None]
        return Done(
            block=self._block(results),
            state=self._state(),
            events=events[:MAX_EVENTS],
            log=self._told(),
            used_us=(inference.used_ns - used_ns) // 1000,
            left_out=max(0, len(events) - MAX_EVENTS),
        )

    def _tell_left_out(self) -> None:
        late = sum(each.late for each in self._clocks.values())
        if late > self._late:
            self._log.append((logging.INFO, f"{late - self._late} readings came after their period, and are left out"))
        unsound = sum(each.unsound for each in self._clocks.values())
        if unsound > self._unsound:
            why = "a value lies further from the model's mean than any measurement"
            self._log.append((logging.WARNING, f"{unsound - self._unsound} periods are left out: {why}"))
        self._late, self._unsound = late, unsound

    def _read(self, inference: Inference, data: bytes) -> None:
        try:
            block = decode_block(data, max_readings=MAX_FRAME_BYTES)
        except RejectedError as error:
            raise StageError(Failure.REFUSED, f"what it was given is {error.detail}") from error
        places = [self._inputs.get(name, []) for name, _ in block.series]
        for (name, unit), inputs in zip(block.series, places, strict=True):
            for place in inputs:
                if unit != self._units[place]:
                    raise StageError(Failure.REFUSED, f"{name} is in {unit}, and the model takes {self._units[place]}")
        # Series come one after another in a block; their periods end together.
        for reading in sorted(block.readings, key=attrgetter("time_ns")):
            if reading.quality < FIRST_ABSENT:
                for place in places[reading.series]:
                    inference.add(place, reading.time_ns, reading.value)

    def _block(self, results: Sequence[Result]) -> bytes:
        if not results:
            return b""
        if len(results) * len(self._series) > self._most:
            detail = f"{len(results)} windows of {len(self._series)} readings in one block, at most {self._most}"
            raise StageError(Failure.OUTPUT, detail)
        good = (Quality.GOOD, Quality.PARTIAL)
        none = [NO_VALUE] * len(self._series)
        return Block(
            self._series,
            [
                BlockReading(result.time_ns, value, place, good[result.partial] if result.values else Quality.INVALID)
                for result in results
                for place, value in enumerate(result.values or none)
            ],
        ).encode()

    def _of_clock(self, clock: str) -> Inference:
        if clock not in self._clocks:
            if len(self._clocks) == MAX_CLOCKS:
                raise StageError(Failure.REFUSED, f"{clock!r} is one clock more than {MAX_CLOCKS}")
            self._clocks[clock] = Inference(self._opened, self._scoring)
        return self._clocks[clock]

    def _told(self) -> list[tuple[int, str]]:
        told, self._log = self._log[:MAX_EVENTS], []
        return told

    def _state(self) -> bytes:
        clocks = {name: inference.state() for name, inference in self._clocks.items()}
        state = dumps({"version": STATE_VERSION, "sha256": self._sha256, "clocks": clocks})
        if len(state) > MAX_STATE_BYTES:
            raise StageError(Failure.OUTPUT, f"its state has {len(state)} bytes, at most {MAX_STATE_BYTES}")
        return state

    def _restore(self, data: bytes) -> None:
        """Go on with a state; what is none of this model's is left, and a line says so."""
        try:
            state = loads_map(data)
            if state["version"] != STATE_VERSION or state["sha256"] != self._sha256:
                message = "it is of another model"
                raise ValueError(message)
            clocks: dict[str, Any] = state["clocks"]
            for name, kept in [*clocks.items()][:MAX_CLOCKS]:
                inference = Inference(self._opened, self._scoring)
                inference.restore(kept)
                self._clocks[name] = inference
        except (RejectedError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            self._clocks = {}
            self._log.append((logging.WARNING, f"the state that it had kept is not used: {error}"))
        self._late = sum(each.late for each in self._clocks.values())


def _scoring(load: Load, scoring: Scoring | None) -> Scoring | None:
    """The model's own, with the threshold that the configuration names."""
    for name, value in load.settings.items():
        if name != "threshold" or scoring is None:
            raise StageError(Failure.REFUSED, f"it has no setting {name!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise StageError(Failure.REFUSED, "its threshold is no number from 0 on")
        scoring = replace(scoring, threshold=float(value))
    return scoring


if __name__ == "__main__":
    sys.exit(serve(TfliteStage))
