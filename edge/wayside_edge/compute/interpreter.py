"""Opens a TFLite model: checked first, then given to the interpreter that this machine has."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from wayside_edge.compute.history import Quantisation
from wayside_edge.compute.pinned import kind_of
from wayside_edge.compute.serving import StageError, one_line
from wayside_shared.errors import RejectedError
from wayside_shared.model_file import ModelFile, Tensor, read_model
from wayside_shared.model_metadata import ModelMetadata
from wayside_shared.runtimes import install_command
from wayside_shared.stage_worker import Failure

RUNTIMES: Final = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""In the order of preference: the second crashes on damaged files, and has no wheels beyond Python 3.11. Both have the
same interface. Which one works is known when it has made an interpreter: tflite_runtime 2.14 imports under NumPy 2
and fails there."""


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model ready to run.

    Args:
        interpreter: has its tensors allocated.
        input: number of its input tensor.
        output: number of its output tensor.
        shape: of the input.
        into: how the input is quantised; None for floats.
        out: how the output is; None for floats.
        metadata: what the model says about itself.
    """

    interpreter: Any
    input: int
    output: int
    shape: Sequence[int]
    into: Quantisation | None
    out: Quantisation | None
    metadata: ModelMetadata


def described(data: bytes) -> ModelFile:
    """What the file says, checked.

    Raises:
        StageError: MODEL.
    """
    if kind_of(data) == "wasm":
        raise StageError(Failure.MODEL, 'it is a module of WebAssembly; write kind = "wasm"')
    try:
        return read_model(data)
    except RejectedError as error:
        raise StageError(Failure.MODEL, error.detail) from error


def load_runtimes() -> Sequence[Any]:
    """The classes `Interpreter` that can be imported here.

    Raises:
        StageError: none can; MODEL.
    """
    found = []
    for name in RUNTIMES:
        try:
            found.append(importlib.import_module(name).Interpreter)
        except ImportError:
            continue
    if not found:
        raise StageError(Failure.MODEL, f"no interpreter is installed; type: {install_command()}")
    return found


def open_model(data: bytes, file: ModelFile, runtimes: Sequence[Any]) -> OpenModel:
    """The model in `data`.

    Args:
        data: a file.
        file: what it says.
        runtimes: of `load_runtimes`.

    Raises:
        StageError: no interpreter takes it; MODEL.
    """
    interpreter = _interpreter(data, runtimes)
    into, out = file.tensors[file.inputs[0]], file.tensors[file.outputs[0]]
    # The interpreter reads the same bytes with a reader of its own; where both disagree neither is to be trusted.
    try:
        details = (interpreter.get_input_details(), interpreter.get_output_details())
    except (ValueError, RuntimeError) as error:
        raise StageError(Failure.MODEL, _line(error)) from error
    places = [_agreed(each, tensor) for each, tensor in zip(details, (into, out), strict=True)]
    return OpenModel(
        interpreter=interpreter,
        input=places[0],
        output=places[1],
        shape=into.shape,
        into=_quantisation(into),
        out=_quantisation(out),
        metadata=file.metadata,
    )


def _interpreter(data: bytes, runtimes: Sequence[Any]) -> Any:
    unusable = ""
    for runtime in runtimes:
        try:
            interpreter = runtime(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
        except (ImportError, SystemError, AttributeError) as error:  # the runtime's fault: not its NumPy
            unusable = f"{runtime.__module__}: {error}"
        except (ValueError, RuntimeError) as error:
            raise StageError(Failure.MODEL, _line(error)) from error
        else:
            return interpreter
    hint = "tflite-runtime wants numpy below 2"
    raise StageError(Failure.MODEL, f"no interpreter works here ({hint}): {_line(unusable)}")


def _agreed(details: Sequence[Any], tensor: Tensor) -> int:
    if len(details) == 1:
        shape = [int(size) for size in details[0]["shape"]]
        if shape == list(tensor.shape) and np.dtype(details[0]["dtype"]).name == tensor.dtype:
            return int(details[0]["index"])
    raise StageError(Failure.MODEL, "the interpreter sees another input or output than the file says")


def _quantisation(tensor: Tensor) -> Quantisation | None:
    return Quantisation(tensor.scale, tensor.zero_point) if tensor.dtype == "int8" else None


def _line(error: object) -> str:
    return one_line(str(error)[:300])
