"""The result of quantising: which values the codes of an array stand for.

A descriptor is a request; a `Quantization` is what came of it. Both fronts, integer layers and graphs describe their
arrays with this class.
"""
from __future__ import annotations

from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .blocks import SCALES
from .element_codes import values_of
from .errors import shown
from .formats import E4M3, Float, Int
from .frozen import Frozen

__all__ = ["Quantization", "element_unit"]

KINDS = (("format", (Int, Float)), ("axis", (int, NoneType)), ("block", (int, NoneType)), ("scale", np.ndarray),
         ("zero", (np.ndarray, NoneType)), ("scale_bits", (tuple, NoneType)), ("global_scale", (float, np.floating)))


def element_unit(format: Int | Float) -> float:
    """What the element 1 stands for beside a shared power of two: integers of b bits are multiples of 2^(2 - b)."""
    return 1.0 if isinstance(format, Float) else 2.0 ** (2 - format.bits)


class Quantization(Frozen):
    """How the codes of an array became its values.

    `value = (element - zero) / scale` without `scale_bits`; with them, as the formats of shared scales define it,
    `value = element * step` with `step = scale * 2^(2 - bits)` of integers and `scale` of floats for (8, 0), and
    `step = scale * global_scale` for (4, 3), each in float32. An element is an integer code itself, or the number that
    the code of a float is.

    Args:
        format: of the codes.
        axis: the axis that `scale` varies along, or None for one scale. Negative axes count from the end.
        block: this many neighbours along `axis` share a scale; None where each index has its own.
        scale: float32: what values were multiplied by, `bound / amax`; with `scale_bits` the shared scales. One
            dimension; with a block also as many as the codes have, one element for each block.
        zero: the code of the value 0, one for each scale; None for a symmetric format.
        scale_bits: (8, 0) for powers of two, (4, 3) for E4M3 numbers; needs a block.
        global_scale: the float32 scale of the whole array that goes with (4, 3).
        groups: axis 0 falls into this many equal parts, one after the other, each with its own scales along `axis`, as
            the output channels of a grouped transposed convolution lie in its weight.

    Raises:
        TypeError: an argument of another type.
        ValueError: a scale or zero point of another shape, a block without an axis or below 1, other `scale_bits`.
    """

    format: Int | Float
    axis: int | None
    block: int | None
    scale: NDArray[np.float32]
    zero: NDArray[np.int32] | None
    scale_bits: tuple[int, int] | None
    global_scale: float | np.floating[Any]
    groups: int

    def __init__(self, format: Int | Float, axis: int | None, block: int | None, scale: NDArray[np.float32],
                 zero: NDArray[np.int32] | None = None, scale_bits: tuple[int, int] | None = None,
                 global_scale: float | np.floating[Any] = 1.0, groups: int = 1) -> None:
        self._set(format=format, axis=axis, block=block, scale=scale, zero=zero, scale_bits=scale_bits,
                  global_scale=global_scale, groups=groups)
        self._check()

    def __eq__(self, other: object) -> bool:  # arrays have no one answer
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def _check(self) -> None:
        for name, kind in KINDS:
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"Expected another type than {type(getattr(self, name)).__name__} for `{name}`")
        if self.scale.dtype != np.float32:
            raise TypeError(f"Expected `scale` to be a float32 array, got {self.scale.dtype}")
        if (self.scale.ndim != 1 and self.block is None) or (self.axis is None and self.scale.size != 1):
            raise ValueError(f"Expected `scale` with one dimension, and one element without an axis, got shape "
                             f"{self.scale.shape} with axis {self.axis}")
        if self.zero is not None and self.zero.shape != self.scale.shape:
            raise ValueError(f"Expected `zero` of shape {self.scale.shape}, as `scale`, got {self.zero.shape}")
        if self.block is not None and (self.axis is None or self.block < 1):
            raise ValueError(f"Expected `block` >= 1 and an axis, got {shown(self.block)} with axis {self.axis}")
        if self.scale_bits is not None and (self.scale_bits not in SCALES or self.block is None):
            raise ValueError(f"Expected `scale_bits` (8, 0) or (4, 3) and a block, got {shown(self.scale_bits)}")
        grouped = self.axis is not None and self.block is None and self.scale.size % max(self.groups, 1) == 0
        if self.groups < 1 or (self.groups > 1 and not grouped):
            raise ValueError("Expected `groups` >= 1, more than 1 only with an axis, without blocks and dividing the "
                             f"number of scales, got {shown(self.groups)}")

    @property
    def step(self) -> NDArray[np.float32]:
        """What elements are multiplied with: of shared scales the exact factor, else 1 / scale, rounded."""
        if self.scale_bits is None:
            return np.asarray(np.float32(1) / self.scale, np.float32)
        factor = self.global_scale if self.scale_bits == E4M3.num_bits else element_unit(self.format)
        with np.errstate(invalid="ignore"):
            return np.where(self.scale == 0, np.float32(0), self.scale * np.float32(factor)).astype(np.float32)

    def dequantize(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """The values of `codes`, as float32, with the bits of fake quantisation: a division is the true one.

        TypeError for anything but an array; ValueError if its axis does not fit the number of scales.
        """
        if not isinstance(codes, np.ndarray):
            raise TypeError(f"Expected `codes` to be an array, got {type(codes).__name__}")
        if self.scale_bits is not None:
            return self._from_blocks(codes)
        values = codes.astype(np.float32) if isinstance(self.format, Int) else values_of(self.format)[_bytes(codes)]
        if self.zero is not None:
            values -= self._along(self.zero, codes).astype(np.float32)
        quotient: NDArray[np.float32] = np.divide(values, self._along(self.scale, codes), dtype=np.float32)
        return quotient

    def _from_blocks(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        if self.axis is None or self.block is None or not -codes.ndim <= self.axis < codes.ndim:
            raise ValueError(f"Expected codes with an axis {self.axis}, got an array of shape {codes.shape}")
        self._check_length(codes)
        moved = np.moveaxis(codes, self.axis, -1)
        whole = np.broadcast_to(self._block_shape(self.step, codes), self._shape_of_blocks(codes))
        values = _C.decode(_bytes(moved), values_of(self.format), np.moveaxis(whole, self.axis, -1), self.block)
        return np.ascontiguousarray(np.moveaxis(values, -1, self.axis))

    def _shape_of_blocks(self, codes: NDArray[Any]) -> tuple[int, ...]:
        shape = list(codes.shape)
        assert self.axis is not None
        shape[self.axis] = -(-shape[self.axis] // (self.block or 1))
        return tuple(shape)

    def _check_length(self, codes: NDArray[Any]) -> None:
        """ValueError unless there is a scale for each index, or block, along the axis."""
        assert self.axis is not None
        length = codes.shape[self.axis] if -codes.ndim <= self.axis < codes.ndim else -1
        if self.scale.ndim == 1:
            fits = -(-length // (self.block or 1)) * self.groups == self.scale.size and \
                (self.groups == 1 or (self.axis % codes.ndim > 0 and codes.shape[0] % self.groups == 0))
        else:
            fits = length >= 0 and self.scale.shape == self._shape_of_blocks(codes)
        if not fits:
            count = self.scale.size if self.scale.ndim == 1 else self.scale.shape
            raise ValueError(f"Expected {count} scales along axis {self.axis}, got an array of shape {codes.shape}")

    def _block_shape(self, each: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        """One element for each index or block of the axis, with the rank of `codes`."""
        if each.ndim == codes.ndim:
            return each
        shape = [1] * codes.ndim
        assert self.axis is not None
        shape[self.axis] = each.size
        return each.reshape(shape)

    def _along(self, each: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        """`each` in a shape that broadcasts with `codes`."""
        if self.axis is None:
            return each.reshape(())
        self._check_length(codes)
        if self.groups > 1:
            parts = self._block_shape(each[:each.size // self.groups], codes).shape[1:]
            return np.repeat(each.reshape(self.groups, *parts), codes.shape[0] // self.groups, 0)
        whole = self._block_shape(each, codes)
        if self.block is None:
            return whole
        return np.take(np.repeat(whole, self.block, self.axis), range(codes.shape[self.axis]), self.axis)


def _bytes(codes: NDArray[Any]) -> NDArray[np.uint8]:
    if codes.dtype not in (np.int8, np.uint8):
        raise TypeError(f"Expected `codes` of int8 or uint8, got {codes.dtype}")
    return codes.view(np.uint8)
