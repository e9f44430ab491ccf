"""Writes a dense network as a .tflite file, on `flatbuffers` alone (decision 0016).

Source: tensorflow/lite/schema/schema.fbs, version 3: the numbers of fields, operators and types are those of its
tables in their order.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from wayside_firmware.models.network import Network
from wayside_firmware.models.quantise import SOFTMAX_SCALE, QuantisedNetwork, Scale
from wayside_shared.model_metadata import METADATA_NAME, ModelMetadata

TYPES: Final = {"float32": 0, "int32": 2, "int8": 9}
FULLY_CONNECTED, SOFTMAX = 9, 25
FULLY_CONNECTED_OPTIONS, SOFTMAX_OPTIONS = 8, 9
RELU: Final = 1
FLOAT_VERSION, INT8_VERSION, SOFTMAX_INT8_VERSION = 1, 4, 2
"""Versions of the operators' definitions: the first that have these types, which old runtimes know too."""
ALIGNMENT: Final = 16
"""Of tensors' bytes: the interpreter reads them in place."""


def write_model(network: Network | QuantisedNetwork, metadata: ModelMetadata) -> bytes:
    """The file."""
    file = _File()
    if isinstance(network, QuantisedNetwork):
        _int8(file, network)
    else:
        _float32(file, network)
    return file.finished(metadata.encode())


def _float32(file: "_File", network: Network) -> None:
    at = file.tensor("input", (1, network.layers[0].weights.shape[1]), "float32")
    file.inputs = [at]
    for place, layer in enumerate(network.layers):
        weights = file.constant(f"weights {place}", layer.weights.astype(np.float32))
        bias = file.constant(f"bias {place}", layer.bias.astype(np.float32))
        given = file.tensor(f"layer {place}", (1, len(layer.bias)), "float32")
        file.dense((at, weights, bias), given, FLOAT_VERSION, relu=layer.relu)
        at = given
    if network.softmax:
        given = file.tensor("probabilities", (1, len(network.layers[-1].bias)), "float32")
        file.softmax(at, given, FLOAT_VERSION)
        at = given
    file.outputs = [at]


def _int8(file: "_File", network: QuantisedNetwork) -> None:
    scale = network.input
    at = file.tensor("input", (1, network.layers[0].weights.shape[1]), "int8", scale=scale)
    file.inputs = [at]
    for place, layer in enumerate(network.layers):
        weights = file.constant(f"weights {place}", layer.weights, layer.steps)
        bias = file.constant(f"bias {place}", layer.bias, (np.float64(scale.step) * layer.steps).astype(np.float32))
        scale = layer.output
        given = file.tensor(f"layer {place}", (1, len(layer.bias)), "int8", scale=scale)
        file.dense((at, weights, bias), given, INT8_VERSION, relu=layer.relu)
        at = given
    if network.softmax:
        given = file.tensor("probabilities", (1, len(network.layers[-1].bias)), "int8", scale=SOFTMAX_SCALE)
        file.softmax(at, given, SOFTMAX_INT8_VERSION)
        at = given
    file.outputs = [at]


class _File:
    """A FlatBuffer, built from its leaves to its root."""

    def __init__(self) -> None:
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self._builder = flatbuffers.Builder(65536)
        self._buffers = [self._table(3, {})]  # the first is empty, for all tensors that have no bytes
        self._tensors: list[int] = []
        self._codes: list[tuple[int, int]] = []
        self._operators: list[int] = []

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str, *, buffer: int = 0, scale: Scale | None = None
    ) -> int:
        """A tensor with one scale or none."""
        steps = None if scale is None else np.array([scale.step], np.float32)
        return self._tensor(name, shape, dtype, buffer, steps, 0 if scale is None else scale.zero)

    def constant(self, name: str, values: NDArray[Any], steps: NDArray[np.float32] | None = None) -> int:
        """A tensor whose bytes lie in the file."""
        data = self._vector(np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8), ALIGNMENT)
        self._buffers.append(self._table(3, {0: data}))
        return self._tensor(name, values.shape, values.dtype.name, len(self._buffers) - 1, steps, 0)

    def dense(self, inputs: Sequence[int], output: int, version: int, *, relu: bool) -> None:
        """An operator FULLY_CONNECTED."""
        options = self._table(5, {0: _int8_field(RELU if relu else 0)})
        self._operator(FULLY_CONNECTED, version, inputs, output, FULLY_CONNECTED_OPTIONS, options)

    def softmax(self, at: int, output: int, version: int) -> None:
        """An operator SOFTMAX."""
        builder = self._builder
        builder.StartObject(1)
        builder.PrependFloat32Slot(0, 1.0, 0.0)  # beta
        self._operator(SOFTMAX, version, [at], output, SOFTMAX_OPTIONS, builder.EndObject())

    def finished(self, metadata: bytes) -> bytes:
        """All of it, with `metadata` under their name."""
        text = self._vector(np.frombuffer(metadata, np.uint8), ALIGNMENT)
        self._buffers.append(self._table(3, {0: text}))
        name = self._builder.CreateString(METADATA_NAME)
        entry = self._table(2, {0: name, 1: _uint32_field(len(self._buffers) - 1)})
        graph_name = self._builder.CreateString("main")
        graph = self._table(
            5,
            {
                0: self._offsets(self._tensors),
                1: self._vector(np.array(self.inputs, "<i4")),
                2: self._vector(np.array(self.outputs, "<i4")),
                3: self._offsets(self._operators),
                4: graph_name,
            },
        )
        codes = [
            self._table(4, {0: _int8_field(code), 2: _int32_field(version), 3: _int32_field(code)})
            for code, version in self._codes
        ]
        model = self._table(
            8,
            {
                0: _uint32_field(3),
                1: self._offsets(codes),
                2: self._offsets([graph]),
                3: self._builder.CreateString("made by wayside-fw model train"),
                4: self._offsets(self._buffers),
                6: self._offsets([entry]),
            },
        )
        self._builder.Finish(model, b"TFL3")
        return bytes(self._builder.Output())

    def _tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        buffer: int,
        steps: NDArray[np.float32] | None,
        zero: int,
    ) -> int:
        fields: dict[int, Any] = {
            0: self._vector(np.array(shape, "<i4")),
            1: _int8_field(TYPES[dtype]),
            2: _uint32_field(buffer),
            3: self._builder.CreateString(name),
        }
        if steps is not None:
            zeros = self._vector(np.full(len(steps), zero, "<i8"), 8)
            fields[4] = self._table(7, {2: self._vector(steps.astype("<f4")), 3: zeros})
        self._tensors.append(self._table(10, fields))
        return len(self._tensors) - 1

    def _operator(self, code: int, version: int, inputs: Sequence[int], output: int, kind: int, options: int) -> None:
        if (code, version) not in self._codes:
            self._codes.append((code, version))
        into, out = self._vector(np.array(inputs, "<i4")), self._vector(np.array([output], "<i4"))
        fields: dict[int, Any] = {
            0: _uint32_field(self._codes.index((code, version))),
            1: into,
            2: out,
            3: _uint8_field(kind),
            4: options,
        }
        self._operators.append(self._table(9, fields))

    def _table(self, slots: int, fields: Mapping[int, Any]) -> int:
        """A table: an offset of a child that is written, or a function that writes the field, by slot."""
        self._builder.StartObject(slots)
        for slot, value in fields.items():
            if callable(value):
                value(self._builder, slot)
            else:
                self._builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(self._builder.EndObject())

    def _offsets(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def _vector(self, values: NDArray[Any], alignment: int = 4) -> int:
        builder = self._builder
        raw = values.tobytes()
        builder.StartVector(values.dtype.itemsize, len(values), alignment)
        # CreateNumpyVector aligns to the item alone, so that the bytes are put in as it puts them.
        builder.head -= len(raw)
        builder.Bytes[builder.head : builder.head + len(raw)] = raw
        return int(builder.EndVector())


def _int8_field(value: int) -> Callable[[Any, int], None]:
    return lambda builder, slot: builder.PrependInt8Slot(slot, value, 0)


def _uint8_field(value: int) -> Callable[[Any, int], None]:
    return lambda builder, slot: builder.PrependUint8Slot(slot, value, 0)


def _int32_field(value: int) -> Callable[[Any, int], None]:
    return lambda builder, slot: builder.PrependInt32Slot(slot, value, 0)


def _uint32_field(value: int) -> Callable[[Any, int], None]:
    return lambda builder, slot: builder.PrependUint32Slot(slot, value, 0)
