"""From a network in floats to one of 8-bit integers, as TFLite's kernels compute it.

Source: "TensorFlow Lite 8-bit quantization specification": int8 asymmetric for what flows, int8 symmetric for
weights, for the tensor or for each output, int32 for biases at the product of the scales.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wayside_firmware.models.network import Array, Network

LOW, HIGH = -128, 127
MARGIN: Final = 2.0
"""How much farther than the rows it learned from a tensor reaches. What is to be found lies outside of what is known,
and must not look ordinary because it was cut off; one bit of resolution is the price."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`(integer - zero) * step` is the number."""

    step: float
    zero: int

    def integers(self, x: Array) -> NDArray[np.int8]:
        """The nearest integers, those out of reach cut off."""
        made: NDArray[np.int8] = np.clip(np.rint(x / self.step) + self.zero, LOW, HIGH).astype(np.int8)
        return made

    def numbers(self, q: NDArray[np.int8]) -> Array:
        """What the integers stand for."""
        return (q.astype(np.float64) - self.zero) * self.step


SOFTMAX_SCALE: Final = Scale(1 / 256, LOW)
"""The only one that the softmax kernel of int8 gives."""


@dataclass(frozen=True, slots=True)
class QuantisedLayer:
    """One dense layer.

    Args:
        weights: outputs times inputs.
        steps: one for each output, or one for all.
        bias: one for each output, in units of the input's step times the weights'.
        relu: whether what is below 0 becomes 0.
        output: scale of what it gives.
    """

    weights: NDArray[np.int8]
    steps: NDArray[np.float32]
    bias: NDArray[np.int32]
    relu: bool
    output: Scale


@dataclass(frozen=True, slots=True)
class QuantisedNetwork:
    """Layers, one after another.

    Args:
        input: scale of what goes in.
        layers: the first gets the input.
        softmax: whether probabilities come out of the last.
    """

    input: Scale
    layers: Sequence[QuantisedLayer]
    softmax: bool = False

    def __call__(self, x: Array) -> Array:
        """What it gives for the rows of `x`, from integers back to numbers; rounded where the kernels round."""
        scale = self.input
        q = scale.integers(x)
        for layer in self.layers:
            sums = (q.astype(np.int64) - scale.zero) @ layer.weights.astype(np.int64).T + layer.bias
            numbers = sums * (np.float64(scale.step) * layer.steps)
            scale = layer.output
            q = scale.integers(np.maximum(numbers, 0.0) if layer.relu else numbers)
        numbers = scale.numbers(q)
        if not self.softmax:
            return numbers
        powers = np.exp(numbers - numbers.max(axis=-1, keepdims=True))
        return SOFTMAX_SCALE.numbers(SOFTMAX_SCALE.integers(powers / powers.sum(axis=-1, keepdims=True)))


def quantise(network: Network, x: Array, *, margin: float = MARGIN, per_channel: bool = True) -> QuantisedNetwork:
    """`network` in integers.

    Args:
        network: it.
        x: rows as it will get them, which say how far its tensors reach.
        margin: how much farther than that they are to reach.
        per_channel: whether each output has a step of its own for its weights.
    """
    before = scale = _reaching(x, margin)
    layers = []
    for layer, given in zip(network.layers, network.each(x), strict=False):
        largest = np.abs(layer.weights).max(axis=1) if per_channel else np.abs(layer.weights).max().reshape(1)
        steps = np.where(largest > 0, largest / HIGH, 1.0).astype(np.float32)
        weights = np.clip(np.rint(layer.weights / steps.astype(np.float64)[:, None]), -HIGH, HIGH).astype(np.int8)
        limits = np.iinfo(np.int32)
        bias = np.clip(np.rint(layer.bias / (np.float64(scale.step) * steps)), limits.min, limits.max)
        scale = _reaching(given, margin)
        layers.append(QuantisedLayer(weights, steps, bias.astype(np.int32), layer.relu, scale))
    return QuantisedNetwork(before, layers, network.softmax)


def _reaching(x: Array, margin: float) -> Scale:
    low, high = min(float(x.min()) * margin, 0.0), max(float(x.max()) * margin, 0.0)
    step = float(np.float32((high - low) / (HIGH - LOW) or 1.0))
    return Scale(step, int(np.clip(round(LOW - low / step), LOW, HIGH)))
