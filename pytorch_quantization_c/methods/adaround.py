"""AdaRound: whether each weight is rounded down or up is learnt.

Nagel, Amjad, van Baalen, Louizos, Blankevoort: Up or Down? Adaptive Rounding for Post-Training Quantization (2020).
A weight becomes s * clip(floor(w / s) + h(V)) with h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1); V minimises

    |W X - W' X|^2 + lambda * sum(1 - |2 h(V) - 1|^beta)

by Adam, where beta falls from 20 to 2 along a cosine after a warm-up without the second term, which leads h to 0 or 1.
"""
from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core.errors import shown
from .._core.progress import progress
from .grid import Array, checked_grid, checked_inputs, checked_number, checked_weight, nearest, over, second_moment

__all__ = ["adaround"]

LOW, HIGH = -0.1, 1.1       # gamma and zeta: what the sigmoid is stretched to
BETA = (20.0, 2.0)
WARM_UP = 0.2
DECAY = (0.9, 0.999)        # of Adam's moments
LONG = 10 ** 9              # a bar only where it is asked for


def adaround(weight: ArrayLike, inputs: ArrayLike, *, num_bits: int = 4, group_size: int | None = None,
             iterations: int = 1000, learning_rate: float = 0.03, regularization: float = 1.0,
             amax: ArrayLike | None = None, show_progress: bool | None = None) -> NDArray[Any]:
    """A layer's weight, each element rounded down or up as the layer's outputs on `inputs` want (Nagel et al. 2020).

    The loss is computed over all rows at once, by X^T X, where the authors draw a batch a step: the result depends on
    the arguments alone. `regularization` is in units that do not depend on the data: lambda of a row of `weight` is
    `regularization` times the squared error of rounding that row to nearest, over `in`. Everything is in float64; a
    step costs out * in^2 multiplications.

    Args:
        weight: (out, in).
        inputs: (rows, in), the layer's inputs.
        num_bits: 2 to 8, of symmetric integers without the lowest one.
        group_size: columns that share a range, a divisor of in; None: one range a row.
        iterations: steps of Adam; 0 rounds to nearest.
        learning_rate: of Adam.
        regularization: weight of the term that leads to integers.
        amax: ranges: (out,), or (out, in / group_size) with groups; None: the largest magnitudes.
        show_progress: a bar (with tqdm installed).

    Returns:
        The fake-quantised weight, (out, in), of the type of `weight`. `fake_tensor_quant` with these ranges leaves it
        as it is.

    Raises:
        TypeError: an array that holds no floats, or another argument of a wrong type.
        ValueError: NaN or infinity, shapes that do not fit, a `group_size` that does not divide in, numbers out of
            range.
    """
    matrix = checked_weight(weight)
    x = checked_inputs(inputs, matrix.shape[1])
    grid = checked_grid(matrix, num_bits, group_size, amax)
    steps = _checked_count(iterations)
    rate = checked_number(learning_rate, "learning_rate", 0)
    strength = checked_number(regularization, "regularization", 0)
    learner = Rounding(matrix.astype(np.float64)[None], second_moment(x)[None], grid.columns()[None], grid.bound,
                       strength)
    for step in progress(range(steps), "adaround", show_progress, long=LONG):
        learner.step(step, steps, rate)
    return grid.values(learner.codes()[0], matrix.dtype)


def _checked_count(iterations: Any) -> int:
    if isinstance(iterations, bool) or not hasattr(iterations, "__index__"):
        raise TypeError(f"Expected `iterations` to be an integer, got {shown(iterations)}")
    count = operator.index(iterations)
    if not 0 <= count <= 10 ** 7:
        raise ValueError(f"Expected `iterations` from 0 to 10000000, got {shown(count)}")
    return count


class Rounding:
    """What is learnt, for several weights at once as a grouped convolution has them.

    Args:
        weight, scale: (groups, out, in), of float32 or float64, which the steps compute in; scale is 0 where
            everything becomes 0.
        moment: (groups, in, in), the sum over rows of x x^T.
        bound: the largest code.
        strength: `regularization` of `adaround`.
    """

    def __init__(self, weight: NDArray[Any], moment: NDArray[Any], scale: NDArray[Any], bound: int,
                 strength: float) -> None:
        self.weight, self.moment, self.scale, self.bound = weight, moment, scale, bound
        self.nearest = nearest(weight, scale, bound)
        at = weight * scale
        self.floor = np.clip(np.floor(at), -bound, bound)
        share = np.clip(at - self.floor, 0, 1)
        ratio = (share - LOW) / (HIGH - LOW)
        self.v = np.log(ratio / (1 - ratio))
        self.first, self.second = np.zeros_like(self.v), np.zeros_like(self.v)
        off = over(self.nearest, scale) - weight
        error = np.einsum("goi,goi->go", off @ moment, off)[..., None] / max(weight.shape[2], 1)
        rate = np.divide(1, error, where=error > 0, out=np.zeros_like(error))
        # the gradient by a code's share: of the outputs in units of lambda, so that the second term has factor 1
        self._per_code = 2 * over(rate, np.ones_like(rate)) * over(np.ones_like(scale), scale)
        self._strength = np.asarray(strength, weight.dtype)

    def step(self, number: int, steps: int, rate: float) -> None:
        """Step `number` of `steps`, counted from 0."""
        sigmoid = 1 / (1 + np.exp(-self.v))
        stretched = sigmoid * (HIGH - LOW) + LOW
        share = np.clip(stretched, 0, 1)
        codes = self.floor + share
        moves = (stretched > 0) & (stretched < 1) & (codes <= self.bound)
        off = over(np.minimum(codes, self.bound), self.scale) - self.weight
        gradient = (off @ self.moment) * self._per_code
        done = (number - WARM_UP * steps) / max((1 - WARM_UP) * steps, 1)
        if done >= 0 and self._strength > 0:
            beta = BETA[1] + (BETA[0] - BETA[1]) * (1 + math.cos(math.pi * done)) / 2
            side = 2 * share - 1
            gradient -= self._strength * (2 * beta) * np.abs(side) ** (beta - 1) * np.sign(side)
        gradient *= (HIGH - LOW) * sigmoid * (1 - sigmoid) * moves
        self._adam(gradient, number + 1, rate)

    def _adam(self, gradient: NDArray[Any], count: int, rate: float) -> None:
        a, b = DECAY
        self.first += (1 - a) * (gradient - self.first)
        self.second += (1 - b) * (np.square(gradient) - self.second)
        spread = np.sqrt(self.second / (1 - b ** count)) + 1e-8
        self.v -= rate / (1 - a ** count) * self.first / spread

    def codes(self) -> Array:
        """The integers, in float64; weights that were never updated are rounded to nearest."""
        moved = np.minimum(self.floor + (self.v >= 0), self.bound)
        return np.where(self.second > 0, moved, self.nearest).astype(np.float64)
