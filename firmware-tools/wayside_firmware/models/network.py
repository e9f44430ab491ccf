"""Dense networks in NumPy: what they give, and how they learn.

Several networks of one shape, the members, learn at once from other beginnings and become one network that gives the
mean of what they give: a small recording leaves a single one too much to chance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOMENTUM: Final = (0.9, 0.999)
EPSILON: Final = 1e-8
"""Of Adam, as its authors propose (Kingma and Ba, "Adam", arXiv 1412.6980, section 2)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One dense layer.

    Args:
        weights: outputs times inputs.
        bias: one for each output.
        relu: whether what is below 0 becomes 0.
    """

    weights: Array
    bias: Array
    relu: bool


@dataclass(frozen=True, slots=True)
class Network:
    """Layers, one after another.

    Args:
        layers: the first gets the input.
        softmax: whether probabilities come out of the last.
    """

    layers: Sequence[Layer]
    softmax: bool = False

    def each(self, x: Array) -> Iterator[Array]:
        """What each layer gives for the rows of `x`, and the softmax at last."""
        for layer in self.layers:
            x = x @ layer.weights.T + layer.bias
            if layer.relu:
                x = np.maximum(x, 0.0)
            yield x
        if self.softmax:
            yield softmax(x)

    def __call__(self, x: Array) -> Array:
        """What it gives for the rows of `x`."""
        for given in self.each(x):
            x = given
        return x


@dataclass(frozen=True, slots=True)
class Course:
    """How a network learns.

    Args:
        sizes: of the layers, from what goes in to what comes out.
        straight: layers without ReLU, by number, the last among them.
        members: networks that learn at once.
        seed: of all that is drawn.
        epochs: times that all rows are gone through.
        rate: step of Adam in the first epoch; it falls to nothing along a cosine.
        noise: standard deviation of what is added to the input, for the network to undo.
        decay: how much each step shrinks the weights, as a part of the rate.
        rows: of one step.
    """

    sizes: Sequence[int]
    straight: frozenset[int]
    members: int = 32
    seed: int = 1
    epochs: int = 40
    rate: float = 3e-3
    noise: float = 0.25
    decay: float = 0.0
    rows: int = 64


Loss = Callable[[Array, Array], tuple[float, Array]]
"""From what came out and what should have, to how bad it is and the gradient at the output."""


def square(given: Array, wanted: Array) -> tuple[float, Array]:
    """The mean square of the difference."""
    difference = given - wanted
    return float(np.mean(np.square(difference))), 2.0 * difference / (given.shape[-1] * given.shape[-2])


def cross_entropy(given: Array, wanted: Array) -> tuple[float, Array]:
    """The cross entropy of the softmax of what came out, and its gradient before the softmax."""
    parts = softmax(given)
    error = -float(np.mean(np.sum(wanted * np.log(parts + np.finfo(np.float64).tiny), axis=-1)))
    return error, (parts - wanted) / given.shape[-2]


def softmax(x: Array) -> Array:
    """Probabilities along the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    made: Array = powers / powers.sum(axis=-1, keepdims=True)
    return made


def learn(
    course: Course, x: Array, y: Array, loss: Loss, told: Callable[[int, float], None] = lambda _epoch, _error: None
) -> Network:
    """A network that gives the rows of `y` for those of `x`; the same for the same seed.

    Args:
        course: how.
        x: what goes in, rows times values.
        y: what should come out.
        loss: `square`, or `cross_entropy` for a network whose output goes into a softmax.
        told: is called after each epoch with its number, from 1, and the mean loss over it.
    """
    draw = np.random.default_rng(course.seed)
    members = _Members(course, draw)
    for epoch in range(course.epochs):
        rate = course.rate * 0.5 * (1.0 + cos(pi * epoch / course.epochs))
        orders = np.stack([draw.permutation(len(x)) for _ in range(course.members)])
        errors = []
        for begin in range(0, len(x), course.rows):
            chosen = orders[:, begin : begin + course.rows]
            rows = x[chosen]
            noisy = rows + course.noise * draw.standard_normal(rows.shape) if course.noise else rows
            errors.append(members.step(noisy, y[chosen], loss, rate))
        told(epoch + 1, float(np.mean(errors)))
    return members.merged()


class _Members:
    """The weights of all members, one axis before those of a layer, and Adam's memory of them."""

    def __init__(self, course: Course, draw: np.random.Generator) -> None:
        self._course = course
        self._count = len(course.sizes) - 1
        pairs = [*zip(course.sizes[:-1], course.sizes[1:], strict=True)]
        # He et al. (arXiv 1502.01852): twice the variance where half of what comes is cut away.
        spread = [(1.0 if place in course.straight else 2.0) / size for place, (size, _) in enumerate(pairs)]
        self._weights = [
            draw.standard_normal((course.members, size, next_size)) * np.sqrt(variance)
            for (size, next_size), variance in zip(pairs, spread, strict=True)
        ]
        self._biases = [np.zeros((course.members, 1, next_size)) for _, next_size in pairs]
        every = [*self._weights, *self._biases]
        self._first = [np.zeros_like(each) for each in every]
        self._second = [np.zeros_like(each) for each in every]
        self._steps = 0

    def step(self, x: Array, y: Array, loss: Loss, rate: float) -> float:
        given = [x]
        for place, (weights, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            z = given[-1] @ weights + bias
            given.append(z if place in self._course.straight else np.maximum(z, 0.0))
        error, gradient = loss(given[-1], y)
        gradients: list[Array] = []
        for place in reversed(range(self._count)):
            if place not in self._course.straight:
                gradient = gradient * (given[place + 1] > 0.0)
            gradients += [gradient.sum(axis=1, keepdims=True), given[place].swapaxes(1, 2) @ gradient]
            gradient = gradient @ self._weights[place].swapaxes(1, 2)
        gradients.reverse()
        self._adam([*gradients[0::2], *gradients[1::2]], rate)
        return error

    def _adam(self, gradients: Sequence[Array], rate: float) -> None:
        self._steps += 1
        keep, keep_square = MOMENTUM
        every = [*self._weights, *self._biases]
        for place, gradient in enumerate(gradients):
            values = every[place]
            first, second = self._first[place], self._second[place]
            first += (1.0 - keep) * (gradient - first)
            second += (1.0 - keep_square) * (np.square(gradient) - second)
            moved = first / (1.0 - keep**self._steps)
            wide = np.sqrt(second / (1.0 - keep_square**self._steps)) + EPSILON
            if self._course.decay and place < self._count:
                values *= 1.0 - rate * self._course.decay
            values -= rate * moved / wide

    def merged(self) -> Network:
        """One network: the members' layers side by side, and the mean of their last."""
        members, last = self._course.members, self._count - 1
        layers = []
        for place, (weights, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            whole = [each.T for each in weights]
            if place == last and place == 0:
                merged, offset = np.mean(whole, axis=0), bias.mean(axis=0)[0]
            elif place == 0:
                merged, offset = np.concatenate(whole), bias.ravel()
            elif place == last:
                merged, offset = np.concatenate(whole, axis=1) / members, bias.mean(axis=0)[0]
            else:
                merged, offset = _side_by_side(whole), bias.ravel()
            layers.append(Layer(merged, offset, place not in self._course.straight))
        return Network(layers)


def _side_by_side(blocks: Sequence[Array]) -> Array:
    high, wide = blocks[0].shape
    made = np.zeros((high * len(blocks), wide * len(blocks)))
    for place, block in enumerate(blocks):
        made[place * high : (place + 1) * high, place * wide : (place + 1) * wide] = block
    return made
