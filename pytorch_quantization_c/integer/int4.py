"""Weights of 2 to 4 bits, two in a byte, with a scale for each channel or group, and their product."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .._core.errors import shown
from .._core.formats import Int
from .packed import by_scale, by_two_ends, computed

__all__ = ["PackedInt4"]

NR, KR = 16, 8  # channels of a panel; groups are a multiple of KR inputs


class PackedInt4:
    """A matrix of 4-bit weights for a linear layer: half a byte a weight, and a float32 for each group of them.

    Calling it computes `x @ w.T + bias` with `w = (weight - zero) / scale`, the scales and zero points being those of
    `group` neighbouring inputs, and the rows of `x` as integers `x_q = clamp(rint(x * s_x))`. The sum of products over
    a group is exact. It is rounded to float32 and, group after group, multiplied by the float32 nearest to `1 / scale`
    and added to what the groups before it gave, with one rounding; the total is multiplied by the float32 nearest to
    `1 / s_x` and added to the bias, with one rounding. Where a channel is one group, its sum is multiplied by the
    float32 nearest to `1 / (s_x * scale)` instead, as `PackedWeights` does. Equal bits on every instruction set, and
    with any number of threads and rows.

    Args:
        weight: int8 from -8 to 7 or uint8 from 0 to 15, (out, in); not kept.
        scale: float32, what the weights were multiplied by: one, (out,), or (out, groups) in groups.
        input_format: how to quantise inputs: `Int` of 2 to 8 bits.
        group: how many neighbouring inputs share a scale, a multiple of 8; the last group may be shorter. None: all.
        zero: the code of the value 0 in each group, in the type of `weight` and the shape of `scale`; None: 0.
        steps: `scale` holds what a code counts instead: `w = (weight - zero) * scale`.
        two_ended: inputs have an asymmetric range, and so a zero point: see `formats.fake_range_quant`.

    Raises:
        TypeError: arguments of other types.
        ValueError: shapes, codes or scales that do not fit together.
    """

    __slots__ = ("shape", "group", "input_format", "unsigned", "two_ended", "_panels", "_zeros", "_scale", "_sums",
                 "_arguments")

    def __init__(self, weight: NDArray[Any], scale: NDArray[np.float32], input_format: Int, *,
                 group: int | None = None, zero: NDArray[Any] | None = None, steps: bool = False,
                 two_ended: bool = False) -> None:
        self.shape, self.unsigned = _checked_codes(weight)
        self.input_format, self.group = input_format, _checked_group(group, self.shape[1])
        self.two_ended = bool(two_ended)
        if not isinstance(input_format, Int):
            raise TypeError(f"Expected `input_format` to be an Int, got {type(input_format).__name__}")
        if not 2 <= input_format.bits <= 8:
            raise ValueError(f"Expected `input_format` of 2 to 8 bits, got {input_format}")
        scales = _checked_scale(scale, self.shape[0], -(-self.shape[1] // self._length), steps)
        inverse = scales.astype(np.float64) if steps else 1.0 / scales.astype(np.float64)
        codes = _shifted(weight, "weight")
        zeros = None if zero is None else _shifted(_checked_zero(zero, weight, scales), "zero")
        self._panels = _C.int4_pack(codes, inverse.astype(np.float32), self._length)
        self._scale = (scales, bool(steps)) if scales.shape[1] == 1 else None
        self._zeros = None if zeros is None else _by_panels(zeros)
        shifted = input_format.unsigned or self.two_ended
        self._sums = _by_panels(self._weight_sums(codes, zeros)) if shifted else None
        self._prepare()

    @property
    def _length(self) -> int:
        return -(-self.shape[1] // KR) * KR if self.group is None else self.group

    def _weight_sums(self, codes: NDArray[np.uint8], zeros: NDArray[np.uint8] | None) -> NDArray[np.int32]:
        """The sum of (code - zero) over each group."""
        starts = np.arange(0, self.shape[1], self._length)
        sums = np.add.reduceat(codes, starts, axis=1, dtype=np.int32)
        lengths = np.diff(np.append(starts, self.shape[1])).astype(np.int32)
        center: Any = np.int32(self._center) if zeros is None else zeros.astype(np.int32)
        found: NDArray[np.int32] = sums - lengths * center
        return found

    @property
    def _center(self) -> int:
        return 0 if self.unsigned else 8

    def _prepare(self) -> None:
        inverse = None
        if self._scale is not None:
            scale, steps = self._scale
            inverse = scale[:, 0].astype(np.float64) if steps else 1.0 / scale[:, 0].astype(np.float64)
        for array in (self._panels, self._zeros, self._sums, inverse):
            if array is not None:
                array.setflags(write=False)
        self._arguments = (self._panels, self._zeros, self._sums, inverse, self._center, *self.shape, self._length)

    def __call__(self, input: NDArray[np.float32], amax: Any = None, bias: NDArray[np.float32] | None = None, *,
                 by_row: bool = False) -> NDArray[np.float32]:
        """The product with a float32 array.

        Args:
            input: (..., in).
            amax: the input's range, one number, or with `by_row` one for each row; None: the largest magnitude of the
                input, or of each row. Of `two_ended` weights the two ends; None: those of this input.
            bias: one float32 for each output channel.
            by_row: each row, all indices but the last, has a range of its own.

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
            return _C.int4_run(*self.arguments(input, amax, by_row, bias))
        if by_row:
            raise ValueError("Expected `by_row` False with an asymmetric range")
        return by_two_ends(lambda x, pair: self._run(x, pair, bias), input, amax, self.input_format)

    def by_scale(self, input: NDArray[np.float32], pair: NDArray[np.float32],
                 bias: NDArray[np.float32] | None) -> NDArray[np.float32] | str:
        """The product of `two_ended` weights with inputs of this scale and zero point: the code of 0, from 0 on."""
        return by_scale(lambda x, pair: self._run(x, pair, bias), input, pair)

    def _run(self, input: NDArray[np.float32], amax: Any, bias: Any) -> NDArray[np.float32] | str:
        return _C.int4_run(*self.arguments(input, amax, False, bias))

    def arguments(self, input: Any, amax: Any, by_row: bool, bias: Any) -> tuple[Any, ...]:
        """Of `_C.int4_run`."""
        format = self.input_format
        return (*self._arguments, input, amax, by_row, bias, format.bits, format.unsigned, format.narrow,
                self.two_ended)

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes that the weights, scales and zero points take."""
        return sum(array.nbytes for array in self._arguments[:4] if array is not None)

    def codes(self) -> NDArray[Any]:
        """The weight as it was given: int8 or uint8, (out, in); a new array."""
        codes, _ = _C.int4_unpack(self._panels, *self.shape, self._length)
        return codes if self.unsigned else (codes.view(np.int8) - np.int8(8))

    def steps(self) -> NDArray[np.float32]:
        """What a code counts in each group: float32, (out, groups); a new array."""
        return _C.int4_unpack(self._panels, *self.shape, self._length)[1]

    def zero(self) -> NDArray[Any] | None:
        """The zero points as they were given, (out, groups); a new array."""
        if self._zeros is None:
            return None
        groups = -(-self.shape[1] // self._length)
        zeros = self._zeros.reshape(-1, groups, NR).transpose(0, 2, 1).reshape(-1, groups)[:self.shape[0]].copy()
        return zeros if self.unsigned else zeros.view(np.int8) - np.int8(8)

    def __reduce__(self) -> tuple[Any, ...]:
        scale, steps = (self.steps(), True) if self._scale is None else self._scale
        return _packed, (self.codes(), scale, self.input_format, self.group, self.zero(), steps, self.two_ended)

    def __repr__(self) -> str:
        kind = "uint4" if self.unsigned else "int4"
        return f"PackedInt4({kind}{list(self.shape)}, group={self.group}, {self.input_format})"


def _packed(weight: Any, scale: Any, input_format: Any, group: Any, zero: Any, steps: Any,
            two_ended: bool = False) -> PackedInt4:
    return PackedInt4(weight, scale, input_format, group=group, zero=zero, steps=steps, two_ended=two_ended)


def _checked_codes(weight: Any) -> tuple[tuple[int, int], bool]:
    if not isinstance(weight, np.ndarray):
        raise TypeError(f"Expected `weight` to be an array, got {type(weight).__name__}")
    if weight.dtype.char not in "bB" or weight.ndim != 2 or weight.size == 0:
        raise ValueError(f"Expected `weight` to be int8 or uint8, not empty, with 2 dimensions, got {weight.dtype} of "
                         f"shape {weight.shape}")
    return (weight.shape[0], weight.shape[1]), weight.dtype.char == "B"


def _checked_group(group: Any, inputs: int) -> int | None:
    if group is None:
        return None
    if isinstance(group, bool) or not isinstance(group, (int, np.integer)):
        raise TypeError(f"Expected `group` to be an integer or None, got {shown(group)}")
    if group < KR or group % KR:
        raise ValueError(f"Expected `group` to be a multiple of {KR}, got {shown(group)}")
    return min(int(group), -(-inputs // KR) * KR)


def _checked_scale(scale: Any, outputs: int, groups: int, steps: bool) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.asarray(scale, np.float32)
    if groups == 1 and (found.size == 1 or found.shape == (outputs,)):
        found = np.broadcast_to(found.reshape(-1, 1), (outputs, 1))
    if found.shape != (outputs, groups):
        raise ValueError(f"Expected `scale` of shape ({outputs}, {groups}), got {found.shape}")
    with np.errstate(divide="ignore", over="ignore"):
        if not np.isfinite(found).all():
            raise ValueError("Expected `scale` to be finite")
        if not steps and not ((found > 0).all() and np.isfinite(np.float32(1) / found).all()):
            raise ValueError("Expected `scale` to be positive, and its reciprocals to be finite")
    return np.ascontiguousarray(found)


def _checked_zero(zero: Any, weight: NDArray[Any], scales: NDArray[np.float32]) -> NDArray[Any]:
    if not isinstance(zero, np.ndarray) or zero.dtype != weight.dtype:
        raise TypeError(f"Expected `zero` to be an array of {weight.dtype}, as `weight` is")
    if zero.shape != scales.shape and not (zero.shape == scales.shape[:1] and scales.shape[1] == 1):
        raise ValueError(f"Expected `zero` of shape {scales.shape}, as `scale`, got {zero.shape}")
    return zero.reshape(scales.shape)


def _shifted(codes: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Codes from 0 to 15: signed ones 8 higher."""
    low = 0 if codes.dtype.char == "B" else -8
    if codes.min() < low or codes.max() > low + 15:
        raise ValueError(f"Expected `{name}` from {low} to {low + 15}, got {codes.min()} to {codes.max()}")
    shifted = codes if low == 0 else codes.view(np.uint8) + np.uint8(8)
    return np.ascontiguousarray(shifted, np.uint8)


def _by_panels(each: NDArray[Any]) -> NDArray[Any]:
    """(out, groups) as the kernels read it: panels x groups x 16 channels."""
    panels = -(-each.shape[0] // NR)
    padded = np.zeros((panels * NR, each.shape[1]), each.dtype)
    padded[:each.shape[0]] = each
    return np.ascontiguousarray(padded.reshape(panels, NR, -1).transpose(0, 2, 1)).reshape(-1)
