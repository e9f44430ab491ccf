"""Files written without TensorFlow, in the interpreter, beside NumPy."""

from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from wayside_firmware.models.network import Array, Network
from wayside_firmware.models.quantise import SOFTMAX_SCALE, QuantisedNetwork, Scale, quantise
from wayside_firmware.models.writer import write_model
from wayside_shared.model_metadata import ModelKind
from wayside_testkit.models import metadata, network, rows


def interpreted(file: bytes, x: Any) -> Any:
    interpreter = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    given = []
    for row in x:
        interpreter.set_tensor(into["index"], row[None])
        interpreter.invoke()
        given.append(interpreter.get_tensor(out["index"])[0])
    return np.array(given)


@pytest.mark.parametrize("sizes", [(8, 5, 8), (24, 16, 1, 16, 24), (3, 2)])
def test_floats_come_out_as_numpy_has_them(sizes: tuple[int, ...]) -> None:
    made, x = network(*sizes), rows(40, sizes[0])
    said = metadata(kind=ModelKind.CLASSIFIER, labels=["a", "b"])  # not looked at by the interpreter
    given = interpreted(write_model(made, said), x.astype(np.float32))
    assert np.allclose(given, made(x), atol=1e-5)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("sizes", [(8, 5, 8), (24, 16, 1, 16, 24), (3, 2)])
def test_integers_come_out_as_numpy_has_them(sizes: tuple[int, ...], per_channel: bool) -> None:
    made, x = network(*sizes), rows(40, sizes[0])
    integers = quantise(made, x, per_channel=per_channel)
    scale = integers.layers[-1].output
    given = scale.numbers(interpreted(write_model(integers, metadata()), integers.input.integers(x)))
    # Kernels may round the last bit the other way.
    assert np.abs(given - integers(x)).max() <= scale.step * 1.01
    assert np.abs(given - made(x)).max() <= 8 * scale.step


@pytest.mark.parametrize("int8", [True, False])
def test_probabilities_come_out_of_a_softmax(int8: bool) -> None:
    made, x = network(4, 6, 3, softmax=True), rows(30, 4)
    model: Network | QuantisedNetwork = quantise(made, x) if int8 else made
    given: Array
    if isinstance(model, QuantisedNetwork):
        given = SOFTMAX_SCALE.numbers(interpreted(write_model(model, metadata()), model.input.integers(x)))
    else:
        given = interpreted(write_model(model, metadata()), x.astype(np.float32))
    assert np.abs(given - model(x)).max() <= 1.01 / 256
    assert np.abs(given - made(x)).max() <= 8 / 256


def test_what_is_beyond_all_that_was_known_still_goes_in() -> None:
    x = rows(50, 4)
    integers = quantise(network(4, 3, 4), x)
    reach = integers.input.numbers(np.array([-128, 127], np.int8))
    assert reach[0] <= 1.9 * x.min() < 1.9 * x.max() <= reach[1]


def test_a_layer_of_zeros_is_one_of_zeros() -> None:
    made = network(3, 2)
    empty = Network([type(made.layers[0])(made.layers[0].weights * 0, made.layers[0].bias * 0, False)])
    assert (quantise(empty, rows(5, 3))(rows(5, 3)) == 0).all()
    assert Scale(0.5, 3).integers(np.array([1e9, -1e9, 0.0])).tolist() == [127, -128, 3]
