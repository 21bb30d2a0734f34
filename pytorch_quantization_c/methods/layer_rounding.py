"""Rounding of one layer's weight by each method, and what that gains, from the second moments of its inputs."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.noise import decibels
from .adaround import Rounding
from .gptq import least_squares, rounded
from .grid import MIN_AMAX, Array, nearest
from .layer_rows import as_rows, from_rows
from .output_range import output_ranges
from .squares_range import least_squares_range

__all__ = ["ROUNDING", "CompensatedProblem", "RoundedWeight", "WeightProblem"]

ROUNDING = ("weight_mse", "gptq", "adaround")
STEPS, RATE, STRENGTH, DAMPING = 1000, 0.03, 1.0, 0.01     # the defaults of `adaround` and `gptq`
NEAR = 0.1      # holds compensated weights near to the float ones: 0.1 and 1 do the same for mobilenet_v2


@dataclass(frozen=True)
class RoundedWeight:
    """What a method made of a layer; the weight as it was where rounding to nearest is as good.

    Attributes:
        weight: of the layer's form; on the grid of `amax` after `gptq` and `adaround`.
        amax: float32, one number a channel or one for all, as it came.
        before, after: signal to noise ratio in dB of the layer's outputs on the data that were seen, weights alone
            quantised; infinity without noise.
    """

    weight: NDArray[Any]
    amax: NDArray[np.float32]
    before: float
    after: float


class WeightProblem:
    """A layer's weight and what it is multiplied by.

    Args:
        weight: (out, in / groups, *kernel), or (out, in).
        amax: the range of each output channel, (out,), of each of its groups of inputs, (out, n), or () for one.
        bits: 2 to 8, of symmetric integers.
        moment: of `InputMoments`; None for methods that look at the weight alone.
        groups: of channels.
    """

    def __init__(self, weight: NDArray[Any], amax: NDArray[np.float32], bits: int, moment: Array | None,
                 groups: int = 1) -> None:
        self.weight, self.amax, self.bits = weight, amax, bits
        self.bound = (1 << (bits - 1)) - 1
        self.rows = as_rows(weight, groups)
        columns = self.rows.shape[2]
        self.knows_inputs = moment is not None
        self.moment = np.broadcast_to(np.eye(columns), (groups, columns, columns)) if moment is None else moment

    def by(self, method: str) -> RoundedWeight:
        """The weight by "gptq", "sequential_gptq" or "adaround"."""
        return self.with_codes(self.codes_by(method))

    def ranged(self, is_final: bool = True) -> RoundedWeight:
        """The weight with ranges of the least squared error.

        Args:
            is_final: whether the weight is rounded to nearest with them: then the error is that of the outputs. Ahead
                of other rounding that of the weight, where an error counts as much as the mean square of its input.
        """
        amax = self._least_by_outputs() if is_final and self.knows_inputs else self._least_by_squares()
        return RoundedWeight(self.weight, amax, self.sqnr(), self._sqnr(self._codes(amax), amax))

    def codes_by(self, method: str) -> Array:
        """The integers of "gptq", "sequential_gptq" or "adaround", (groups, out / groups, columns)."""
        codes = self._adaround() if method == "adaround" else self._gptq()
        return codes + 0.0      # no -0.0, which integers do not have

    def with_codes(self, codes: Array) -> RoundedWeight:
        """The weight with these integers; as it was where rounding to nearest is as good."""
        amax, before, after = self.amax, self.sqnr(), self._sqnr(codes, self.amax)
        if not after > before:
            return RoundedWeight(self.weight, amax, before, before)
        return RoundedWeight(from_rows(self._values(codes, amax), self.weight), amax, before, after)

    def values(self, made: RoundedWeight) -> NDArray[np.float32]:
        """The weight as a layer multiplies by it, of the layer's form."""
        codes = nearest(as_rows(made.weight, len(self.rows)), self._scale(made.amax).astype(np.float64), self.bound)
        return from_rows(self._values(codes, made.amax), self.weight)

    def sqnr(self) -> float:
        """Signal to noise ratio in dB of the outputs with the weight rounded to nearest."""
        return self._sqnr(self._codes(self.amax), self.amax)

    def _scale(self, amax: NDArray[np.float32]) -> NDArray[np.float32]:
        """(groups, out / groups, columns), of a scale that is 0 where everything becomes 0."""
        scale = np.divide(np.float32(self.bound), amax, where=amax > MIN_AMAX, out=np.zeros_like(amax))
        if scale.ndim == 2:
            return np.repeat(scale, self.rows.shape[2] // max(scale.shape[1], 1), axis=1).reshape(self.rows.shape)
        wide = np.broadcast_to(scale, (len(self.weight),)).reshape(self.rows.shape[0], self.rows.shape[1], 1)
        return np.broadcast_to(wide, self.rows.shape)

    def _codes(self, amax: NDArray[np.float32]) -> Array:
        return nearest(self.rows, self._scale(amax).astype(np.float64), self.bound)

    def _values(self, codes: Array, amax: NDArray[np.float32]) -> NDArray[np.float32]:
        scale = self._scale(amax)
        return np.divide(codes.astype(np.float32), scale, where=scale > 0, out=np.zeros(codes.shape, np.float32))

    def powers(self) -> tuple[float, float]:
        """Signal and noise of the outputs with the weight rounded to nearest: sums of squares over channels."""
        return self._powers(self._codes(self.amax), self.amax)

    def _powers(self, codes: Array, amax: NDArray[np.float32]) -> tuple[float, float]:
        off = self._values(codes, amax) - self.rows
        noise = float(np.einsum("goi,goi->", off @ self.moment, off))
        return float(np.einsum("goi,goi->", self.rows @ self.moment, self.rows)), noise

    def _sqnr(self, codes: Array, amax: NDArray[np.float32]) -> float:
        signal, noise = self._powers(codes, amax)
        return decibels(signal, noise) if signal > 0 else math.inf

    def _least_by_squares(self) -> NDArray[np.float32]:
        count = max(self.amax.size, 1)
        squares = np.repeat(np.einsum("gii->gi", self.moment), self.rows.shape[1], 0)
        found = least_squares_range(self.weight.reshape(count, -1), squares.reshape(-1), self.bits)
        return found.astype(np.float32).reshape(self.amax.shape)

    def _least_by_outputs(self) -> NDArray[np.float32]:
        if self.weight.size == 0:
            return self.amax
        count, rows = self.rows.shape[:2]
        groups = self.amax.shape[1] if self.amax.ndim == 2 else 1
        start = np.broadcast_to(self.amax.reshape(count, rows, groups) if self.amax.ndim else self.amax,
                                (count, rows, groups))
        found = output_ranges(self.rows, self.moment, start, self.bits, not self.amax.ndim)
        return found.reshape(self.amax.shape) if self.amax.ndim else np.asarray(found.ravel()[0])

    def _gptq(self) -> Array:
        return rounded(self.rows, self.moment, self._scale(self.amax).astype(np.float64), self.bound, True, DAMPING)

    def _adaround(self) -> Array:
        weight, moment = self.rows.astype(np.float32), self.moment.astype(np.float32)
        learner = Rounding(weight, moment, self._scale(self.amax), self.bound, STRENGTH)
        for step in range(STEPS):
            learner.step(step, STEPS, RATE)
        return learner.codes()


class CompensatedProblem(WeightProblem):
    """A weight that also makes up for what rounding the layers before has done to its inputs.

    What is rounded is the least-squares weight, on the inputs of the rounded model, for the outputs of the float one;
    noise is the difference from these outputs.

    Args:
        weight, amax, bits, groups: as of `WeightProblem`.
        means: of `PairedMoments`, of the rounded model's inputs and the float one's.
    """

    def __init__(self, weight: NDArray[Any], amax: NDArray[np.float32], bits: int, means: Array,
                 groups: int = 1) -> None:
        super().__init__(weight, amax, bits, means[0], groups)
        self.wanted, self.cross, self.float_moment = self.rows, means[1], means[2]
        self.rows = least_squares(self.rows, self.cross, self.moment, NEAR)

    def _codes(self, amax: NDArray[np.float32]) -> Array:
        return nearest(self.wanted, self._scale(amax).astype(np.float64), self.bound)

    def _powers(self, codes: Array, amax: NDArray[np.float32]) -> tuple[float, float]:
        values = self._values(codes, amax).astype(np.float64)
        signal = float(np.einsum("goi,goi->", self.wanted @ self.float_moment, self.wanted))
        common = float(np.einsum("goi,goi->", values @ self.cross, self.wanted))
        return signal, max(signal - 2 * common + float(np.einsum("goi,goi->", values @ self.moment, values)), 0.0)


def scaled_noise(weight: NDArray[Any], moment: Array, largest: Array, inverse: NDArray[np.float32], bits: int,
                 whole: bool, input_bits: int | None, group_size: int | None = None,
                 amax: NDArray[np.float32] | None = None) -> float:
    """Signal to noise ratio in dB of a linear layer whose inputs are multiplied by `inverse`, and its weight divided.

    The noise of rounding the inputs, one range for all, counts as uniform: step^2 / 12.

    Args:
        weight: (out, in), divided already.
        moment, largest: of `InputMoments`, of the inputs as they are.
        whole: whether the weight has one range, not one for each row or group.
        input_bits: None for inputs that stay float.
        group_size: columns that share a range; None: those of a row.
        amax: the ranges; None: the largest magnitudes.
    """
    factor = inverse.astype(np.float64)
    if amax is None:
        magnitudes = np.abs(weight).astype(np.float32)
        groups = magnitudes.reshape(len(weight), -1, group_size or max(weight.shape[1], 1))
        amax = np.asarray(magnitudes.max() if whole else groups.max(axis=2))
    signal, noise = WeightProblem(weight, amax, bits, moment * np.outer(factor, factor)).powers()
    if input_bits is not None:
        step = float((largest * factor).max()) / ((1 << (input_bits - 1)) - 1)
        noise += step ** 2 / 12 * float(np.square(weight, dtype=np.float64).sum())
    return decibels(signal, noise) if signal > 0 else math.inf
