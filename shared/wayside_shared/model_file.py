"""What a .tflite file holds, read without its interpreter: tensors, and the buffers of its metadata.

Source: tensorflow/lite/schema/schema.fbs, version 3, and the FlatBuffers internals page (vtables, relative offsets).
Files come from anywhere: every offset is checked against the file before it is followed, and what is counted is
bounded, so that reading takes time in proportion to the limits and not to what the file claims.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, NoReturn

from wayside_shared.errors import RejectedError
from wayside_shared.model_metadata import METADATA_NAME, ModelMetadata, decode_metadata
from wayside_shared.rejects import RejectCode

IDENTIFIER: Final = b"TFL3"
SCHEMA_VERSION: Final = 3
MAX_MODEL_BYTES: Final = 64 * 1024 * 1024
MAX_TENSORS: Final = 4096
MAX_BUFFERS: Final = 8192
MAX_OPERATORS: Final = 4096
"""Steps of a model. One of a board has ten; to prepare 100,000 takes an interpreter half a minute."""
MAX_TEXT: Final = 1024
MAX_RANK: Final = 8
TYPES: Final = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"}
"""TensorType; others have no name here."""

_U16, _I32, _U32, _F32, _I64 = (struct.Struct(f"<{code}") for code in "HiIfq")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the model's graph.

    Args:
        name: for people.
        shape: its dimensions.
        dtype: name of its type, as NumPy has it; `type 12` for one that has no name here.
        constant: its bytes in the file; 0 for one that is computed.
        scale: of its quantisation, the first of several; 0.0 for none.
        zero_point: of it.
        channels: scales that it has; 0 for none.
    """

    name: str
    shape: Sequence[int]
    dtype: str
    constant: int
    scale: float
    zero_point: int
    channels: int

    @property
    def values(self) -> int:
        """Numbers in it."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as its file describes it.

    Args:
        tensors: of its only graph.
        inputs: which of them go in.
        outputs: which come out.
        operators: how many steps it has.
        metadata: what it says about itself.
    """

    tensors: Sequence[Tensor]
    inputs: Sequence[int]
    outputs: Sequence[int]
    operators: int
    metadata: ModelMetadata


def read_model(data: bytes) -> ModelFile:
    """The model in `data`, checked: one graph with one input and one output whose sizes fit the metadata.

    Raises:
        RejectedError: it is no model, has no metadata, or is not what those say; nothing else, whatever the bytes.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise RejectedError(RejectCode.TOO_LARGE, f"a model of {len(data)} bytes, at most {MAX_MODEL_BYTES}")
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        _refuse("it does not begin as a .tflite file does")
    reader = _Reader(data)
    model = reader.root()
    if reader.number(model, 0, _U32) != SCHEMA_VERSION:
        _refuse("it has another version of the schema")
    metadata = _metadata(reader, model)
    graphs = list(reader.tables(model, 2, 2))
    if len(graphs) != 1:
        _refuse("it has not exactly one graph")
    sizes = [reader.span(buffer, 0, 1)[1] for buffer in reader.tables(model, 4, MAX_BUFFERS)]
    tensors = [_tensor(reader, table, sizes) for table in reader.tables(graphs[0], 0, MAX_TENSORS)]
    made = ModelFile(
        tensors,
        reader.numbers(graphs[0], 1, _I32, MAX_TENSORS),
        reader.numbers(graphs[0], 2, _I32, MAX_TENSORS),
        reader.span(graphs[0], 3, 4)[1],
        metadata,
    )
    _check(made)
    return made


def _check(made: ModelFile) -> None:
    if made.operators > MAX_OPERATORS:
        raise RejectedError(RejectCode.TOO_LARGE, f"it has {made.operators} operators, at most {MAX_OPERATORS}")
    for what, places, values in (
        ("input", made.inputs, made.metadata.window_values),
        ("output", made.outputs, made.metadata.output_values),
    ):
        if len(places) != 1 or not 0 <= places[0] < len(made.tensors):
            _refuse(f"it has not exactly one {what}")
        tensor = made.tensors[places[0]]
        if tensor.dtype not in ("float32", "int8"):
            _refuse(f"its {what} is {tensor.dtype}, not float32 or int8")
        if not tensor.shape or tensor.shape[0] != 1 or tensor.values != values:
            _refuse(
                f"its {what} has the shape {list(tensor.shape)}, and its metadata want {values} values of one batch"
            )
        if tensor.dtype == "int8" and (tensor.channels != 1 or not 0 < tensor.scale < float("inf")):
            _refuse(f"its {what} is int8 without one scale")


def _metadata(reader: "_Reader", model: int) -> ModelMetadata:
    named = [table for table in reader.tables(model, 6, 256) if reader.text(table, 0) == METADATA_NAME]
    if not named:
        _refuse(f"it has no metadata named {METADATA_NAME}; wayside-fw model makes files that have")
    buffers = list(reader.tables(model, 4, MAX_BUFFERS))
    place = reader.number(named[0], 1, _U32)
    if place >= len(buffers):
        _refuse("its metadata lie in a buffer that it does not have")
    start, count = reader.span(buffers[place], 0, 1)
    return decode_metadata(reader.data[start : start + count])


def _tensor(reader: "_Reader", table: int, sizes: Sequence[int]) -> Tensor:
    shape = reader.numbers(table, 0, _I32, MAX_RANK)
    if any(not 0 <= size <= MAX_MODEL_BYTES for size in shape):
        _refuse("a tensor has a size below 0 or beyond reason")
    code = reader.byte(table, 1)
    place = reader.number(table, 2, _U32)
    if place >= len(sizes):
        _refuse("a tensor lies in a buffer that it does not have")
    scales: Sequence[float] = ()
    zeros: Sequence[int] = ()
    quantisation = reader.table(table, 4)
    if quantisation:
        scales = reader.numbers(quantisation, 2, _F32, MAX_TENSORS)
        zeros = reader.numbers(quantisation, 3, _I64, MAX_TENSORS)
    return Tensor(
        name=reader.text(table, 3),
        shape=shape,
        dtype=TYPES.get(code, f"type {code}"),
        constant=sizes[place],
        scale=scales[0] if scales else 0.0,
        zero_point=zeros[0] if zeros else 0,
        channels=len(scales),
    )


class _Reader:
    """Follows the offsets of a FlatBuffer. A table is the place where it begins; 0 is none."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def root(self) -> int:
        return int(self._unpack(_U32, 0))

    def byte(self, table: int, slot: int) -> int:
        at = self._field(table, slot)
        return self._bytes(at, 1)[0] if at else 0

    def number(self, table: int, slot: int, kind: struct.Struct) -> int:
        at = self._field(table, slot)
        return int(self._unpack(kind, at)) if at else 0

    def table(self, table: int, slot: int) -> int:
        at = self._field(table, slot)
        return at + int(self._unpack(_U32, at)) if at else 0

    def tables(self, table: int, slot: int, most: int) -> Iterator[int]:
        start, count = self.span(table, slot, 4)
        if count > most:
            raise RejectedError(RejectCode.TOO_LARGE, f"no model: {count} of what may be {most}")
        for at in range(start, start + 4 * count, 4):
            yield at + int(self._unpack(_U32, at))

    def numbers(self, table: int, slot: int, kind: struct.Struct, most: int) -> list[Any]:
        start, count = self.span(table, slot, kind.size)
        if count > most:
            raise RejectedError(RejectCode.TOO_LARGE, f"no model: {count} of what may be {most}")
        return [value for (value,) in kind.iter_unpack(self._bytes(start, count * kind.size))]

    def text(self, table: int, slot: int) -> str:
        start, count = self.span(table, slot, 1)
        if count > MAX_TEXT:
            raise RejectedError(RejectCode.TOO_LARGE, f"no model: a name of {count} bytes")
        try:
            return self.data[start : start + count].decode()
        except UnicodeDecodeError as error:
            raise RejectedError(RejectCode.BAD_TEXT, "no model: a name is not UTF-8") from error

    def span(self, table: int, slot: int, size: int) -> tuple[int, int]:
        """Where the items of a vector begin, each of `size` bytes, and how many there are."""
        at = self.table(table, slot)
        if not at:
            return 0, 0
        count = int(self._unpack(_U32, at))
        self._bytes(at + 4, count * size)
        return at + 4, count

    def _field(self, table: int, slot: int) -> int:
        vtable = table - int(self._unpack(_I32, table))
        if 4 + 2 * slot + 2 > self._unpack(_U16, vtable):
            return 0
        offset = int(self._unpack(_U16, vtable + 4 + 2 * slot))
        return table + offset if offset else 0

    def _unpack(self, kind: struct.Struct, at: int) -> float:
        value: float = kind.unpack(self._bytes(at, kind.size))[0]
        return value

    def _bytes(self, at: int, count: int) -> bytes:
        if not 0 <= at <= at + count <= len(self.data):
            _refuse("it points outside itself")
        return self.data[at : at + count]


def _refuse(what: str) -> NoReturn:
    raise RejectedError(RejectCode.MALFORMED, f"no model: {what}")
