"""Integer weights and their product: a plain object, independent of layers."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .._core.block_quant import TINY, affine_parameters
from .._core.formats import Int

__all__ = ["Format", "Geometry", "PackedWeights"]

NO_FLOATS = "the input is not a float32 array"
NEGATIVE = "negative input"
#: Of an input, and its scale and zero point.
Run = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32] | str]


def computed(answer: NDArray[np.float32] | str) -> NDArray[np.float32]:
    """The answer of a product; TypeError or ValueError if it is the reason why integers cannot give it."""
    if isinstance(answer, str):
        kind = TypeError if answer == NO_FLOATS else ValueError
        raise kind(f"Expected an input and an amax that integers can compute with: {answer}")
    return answer


def scale_and_zero(input: NDArray[np.float32], ends: Any, format: Int) -> NDArray[np.float32] | str:
    """The scale and the code of 0 of an asymmetric range, the input's own where they are None; or why not."""
    low, high = (np.min(input, initial=0), np.max(input, initial=0)) if ends is None else ends
    scale, zero = affine_parameters(np.asarray(low), np.asarray(high), Int(format.bits, unsigned=True))
    if scale.size != 1:
        return "the input has a range for each channel"
    if not np.isfinite(scale).all() or (np.float32(high) - np.float32(low) <= TINY).any():
        return "the range of the input is empty or not finite"
    return np.array([scale.item(), zero.item()], np.float32)


def by_scale(run: Run, input: NDArray[np.float32], pair: NDArray[np.float32]) -> NDArray[np.float32] | str:
    """The product by `run` with an input of this scale and zero point: the code of 0, from 0 on."""
    answer = run(input, pair)
    if isinstance(answer, str) and answer == NEGATIVE:  # of a range that begins at 0
        answer = run(np.maximum(input, np.float32(0)), pair)
    return answer


def by_two_ends(run: Run, input: Any, amax: Any, format: Int) -> NDArray[np.float32] | str:
    """The product by `run` with an input of asymmetric range, its own where `amax` is None; or why not."""
    if not isinstance(input, np.ndarray) or input.dtype.char != "f":
        return NO_FLOATS
    if not input.size:
        return "empty input"
    pair = scale_and_zero(input, amax, format)
    return pair if isinstance(pair, str) else by_scale(run, input, pair)


class Format(NamedTuple):
    """Deprecated: the `Int` of earlier versions, narrow unless it says otherwise. `PackedWeights` still takes it."""

    num_bits: int = 8
    unsigned: bool = False
    narrow_range: bool = True


class Geometry(NamedTuple):
    """What `torch.nn.ConvNd` calls these; a tuple has one number for each spatial axis, a linear layer has none.

    `before` and `after` are the zeros added at the two ends of each axis.
    """

    transposed: bool = False
    groups: int = 1
    stride: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()


class PackedWeights:
    """A linear or convolution layer's weights as integers, ready for the machine, with their scales.

    Calling it computes `(x_q * w_q) / (s_x * s_w) + bias`, where `x_q = clamp(rint(x * s_x))` and the product is an
    exact integer sum. The sum is rounded to float32, multiplied by the float32 nearest to `1 / (s_x * s_w)` and added
    to the bias with one further rounding: within 2 units in the last place of the largest output.

    Args:
        weight: int8 or uint8, in the layer's own order: (out, in / groups, *kernel), transposed (in, out / groups,
            *kernel), linear (out, in).
        scale: float32, what the weights were multiplied by: one, one for each output channel, or, transposed, one for
            each index of the weight's axis 1 (the groups share them): where there is one, it is that of all.
        geometry: the layer's.
        input_format: how to quantise inputs: `Int` of 2 to 8 bits.
        two_ended: inputs have an asymmetric range, and so a zero point: see `formats.fake_range_quant`.

    Raises:
        TypeError: arguments of other types.
        ValueError: shapes, dtypes or formats that do not fit together.
    """

    __slots__ = ("weight", "scale", "geometry", "input_format", "outputs", "two_ended", "_packed")

    def __init__(self, weight: NDArray[Any], scale: NDArray[np.float32], geometry: Geometry,
                 input_format: Int | Format, two_ended: bool = False) -> None:
        if not isinstance(weight, np.ndarray):
            raise TypeError(f"Expected `weight` to be an array, got {type(weight).__name__}")
        if isinstance(input_format, Format):
            input_format = Int(*input_format)
        if not isinstance(geometry, Geometry) or not isinstance(input_format, Int):
            raise TypeError("Expected `geometry` to be a Geometry and `input_format` an Int, got "
                            f"{type(geometry).__name__} and {type(input_format).__name__}")
        self.weight = weight
        self.scale = scale
        self.geometry = geometry
        self.input_format = input_format
        self.outputs = outputs = weight.shape[1] * geometry.groups if geometry.transposed else weight.shape[0]
        each = np.asarray(scale, np.float32).reshape(-1)
        if each.size == 1 or (geometry.transposed and each.size == weight.shape[1]):
            each = np.tile(each, outputs // each.size)
        self.two_ended = bool(two_ended)
        self._packed = _C.integer_pack(weight, each, *geometry, input_format.bits, input_format.unsigned,
                                       input_format.narrow, self.two_ended)

    def __call__(self, input: NDArray[np.float32], amax: Any = None, bias: NDArray[np.float32] | None = None, *,
                 by_row: bool = False) -> NDArray[np.float32]:
        """The layer's output for a float32 array.

        Args:
            input: (..., in) for a linear layer, (batch, in, *sizes) or (in, *sizes) for a convolution.
            amax: the input's range, one number; None: the largest magnitude of this input. Of `two_ended` weights the
                two ends, from amin <= 0 to amax >= 0; None: those of this input.
            bias: one float32 for each output channel.
            by_row: of a linear layer: each row, all indices but the last, has a range of its own, `amax` one for each
                or None.

        Raises:
            TypeError: `input` is no float32 array.
            ValueError: integers cannot give it: another shape, NaN in the input, a negative value for an unsigned
                format, an amax that is negative or not finite, scales beyond the range of float32.
        """
        return computed(self.product(input, amax, bias, by_row=by_row))

    def product(self, input: NDArray[np.float32], amax: Any = None, bias: NDArray[np.float32] | None = None, *,
                by_row: bool = False) -> NDArray[np.float32] | str:
        """As a call, for layers that can compute on floats as well: a string says why integers cannot give it."""
        if not self.two_ended:
            return _C.integer_run(self._packed, input, amax, bias, by_row)
        if by_row:
            raise ValueError("Expected `by_row` False with an asymmetric range")
        return by_two_ends(lambda x, pair: _C.integer_run(self._packed, x, pair, bias), input, amax, self.input_format)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedWeights, (self.weight, self.scale, self.geometry, self.input_format, self.two_ended)

    def __repr__(self) -> str:
        return f"PackedWeights({self.weight.dtype}{list(self.weight.shape)}, {self.geometry}, {self.input_format})"
