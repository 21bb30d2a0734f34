"""A layer's weight as integers, and what is cached between calls."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _C
from .._core.block_quant import TINY, quantize_blocks
from .._core.blocks import Blocks
from .._core.formats import Int
from .._core.quantization import Quantization
from .halves import from_halves, in_halves
from .int4 import KR, PackedInt4
from .packed import PackedWeights
from .pointwise import PointwiseInt4

__all__ = ["CachedWeight", "IntegerWeight", "Packed", "as_matrix", "folded_weight", "packed_groups",
           "quantized_groups", "quantized_weight", "weight_key", "weight_quantization"]

Packed = PackedWeights | PackedInt4 | PointwiseInt4
LARGE = 1 << 20  # low-bit weights too large for the caches, for which half a byte each is faster


class IntegerWeight:
    """A weight as integers: `values` (int8, or uint8 if unsigned) and what they stand for."""

    __slots__ = ("_values", "_halves", "quantization")

    def __init__(self, values: NDArray[Any], quantization: Quantization) -> None:
        self.values = values
        self.quantization = quantization

    @property
    def values(self) -> NDArray[Any]:
        """The codes; of a weight that was made small they are unpacked each time."""
        values, halves = self._values, self._halves
        return values if halves is None or values is not None else from_halves(*halves)

    @values.setter
    def values(self, values: NDArray[Any]) -> None:
        self._values: Any = values
        self._halves: tuple[NDArray[np.uint8], tuple[int, ...], bool] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the codes."""
        values, halves = self._values, self._halves
        if values is None and halves is not None:
            return halves[1]
        assert values is not None
        return tuple(values.shape)

    def fix(self) -> None:
        """Makes the arrays read-only, and those small whose codes only `PackedInt4` reads, which keeps its own."""
        self.scale.setflags(write=False)
        if self._halves is not None:
            return
        if self.wants_groups and self.quantization.format.num_bits in (2, 3, 4):
            self._halves = in_halves(self._values), self._values.shape, self._values.dtype.char == "B"
            self._values = None
        else:
            self._values.setflags(write=False)

    @property
    def scale(self) -> NDArray[np.float32]:
        """The scale of each output channel, or of all."""
        return self.quantization.scale

    @property
    def wants_groups(self) -> bool:
        """Whether it is multiplied by `PackedInt4`: a matrix of 2 to 4 bits with scales in groups, or a large one."""
        shape = self.shape
        few = len(shape) == 2 and self.quantization.format.num_bits in (2, 3, 4)
        return self.quantization.block is not None or (few and math.prod(shape) >= LARGE)

    def as_float(self) -> NDArray[np.float32]:
        """The fake-quantised weight, bit for bit."""
        return self.quantization.dequantize(self.values)


class CachedWeight:
    """An integer weight, what proves that it is still the layer's, and its packed form.

    `proof` belongs to the engine that made it: the `weight_key` of the weight, or what stands for it in a frozen layer.
    `packed` is what its packed form was made for, and that form; `guarded` is what a call needs if nothing has changed
    since the last one (see `guards`); `folded` is for ranges of input channels (see `folded_weight`).
    """

    __slots__ = ("proof", "weight", "packed", "guarded", "folded")

    def __init__(self, proof: Any, weight: IntegerWeight) -> None:
        self.proof = proof
        self.weight = weight
        self.packed: tuple[tuple[Any, ...], Packed] | None = None
        self.guarded: tuple[Any, ...] | None = None
        self.folded: tuple[NDArray[Any], tuple[CachedWeight, NDArray[np.float32], NDArray[np.float32]]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedWeight, (self.proof, self.weight)


def weight_quantization(format: Int, scale: NDArray[np.float32], shape: tuple[int, ...], transposed: bool,
                        groups: int = 1) -> Quantization:
    """The quantisation of a weight of this shape with one scale, or one for each output channel.

    In a transposed convolution groups may share those of axis 1, or have their own.
    """
    own = transposed and groups > 1 and scale.size == groups * shape[1]
    axis = None if scale.size == 1 and not own else 1 if transposed else 0
    return Quantization(format, axis, None, scale, groups=groups if own else 1)


def weight_key(weight: NDArray[Any], amax: NDArray[Any] | None, settings: tuple[Any, ...]) -> tuple[Any, ...]:
    """Equal keys prove that the integer form of the weight has not changed; the arrays are read at memory speed."""
    return (_C.fingerprint(weight), weight.shape, weight.dtype, None if amax is None else _C.fingerprint(amax),
            None if amax is None else amax.shape, settings)


def quantized_weight(weight: NDArray[Any], amax: NDArray[Any], format: Int, transposed: bool,
                     groups: int = 1) -> IntegerWeight | str:
    """A float32 weight as integers of this format, by this amax; or why it has no integer form.

    An amax of a transposed convolution may vary along axis 0 as well, if not within a group.
    """
    shape = [1] * weight.ndim
    channel_axis = 1 if transposed else 0
    shape[channel_axis] = weight.shape[channel_axis]
    in_group = weight.shape[0] // groups
    each_group = transposed and groups > 1 and amax.shape == (*weight.shape[:2], *shape[2:]) and \
        bool((amax.reshape(groups, in_group, -1) == amax[::in_group].reshape(groups, 1, -1)).all())
    if amax.size != 1 and amax.shape != tuple(shape) and not each_group:
        return "the weight's amax is neither per-tensor nor per-output-channel"
    if not np.isfinite(amax).all() or (amax < 0).any():
        return "the amax of the weight is negative or not finite"
    if format.unsigned and (weight < 0).any():
        return "an unsigned weight is negative"
    values, scale = _C.quantize(weight, amax, format.bits, format.unsigned, format.narrow)
    if not (np.isfinite(scale).all() and np.isfinite(values).all()):
        return "the weight or its scale is not finite"
    codes = values.astype(np.uint8 if format.unsigned else np.int8)
    each = (scale[::in_group] if each_group else scale).astype(np.float32).reshape(-1)
    return IntegerWeight(codes, weight_quantization(format, each, weight.shape, transposed, groups))


def quantized_groups(weight: NDArray[Any], amax: NDArray[Any] | None, format: Int, blocks: Blocks,
                     scale_amax: Any) -> IntegerWeight | str:
    """A float32 matrix as integers in groups along its rows; or why it has no integer form."""
    shape, matrix = weight.shape, as_matrix(weight)
    if matrix is None or blocks.size % KR:
        return f"groups of the weight that are no multiple of {KR} inputs of a linear layer or a 1x1 convolution"
    if amax is not None and (not np.isfinite(amax).all() or (amax < 0).any()):
        return "the amax of the weight is negative or not finite"
    if not np.isfinite(weight).all() or (format.unsigned and (weight < 0).any()):
        return "the weight is not finite, or negative and unsigned"
    if amax is not None and amax.ndim > 2:
        amax = amax.reshape(amax.shape[:2])
    codes, found = quantize_blocks(matrix, format, blocks, amax, scale_amax)
    scale = found.scale.reshape(*found.scale.shape, *shape[2:])
    codes = codes.astype(np.uint8 if format.unsigned else np.int8, copy=False).reshape(shape)
    return IntegerWeight(codes, Quantization(format, 1 if len(shape) > 2 else -1, blocks.size, scale))


def as_matrix(weight: NDArray[Any]) -> NDArray[Any] | None:
    """A matrix, or the weight of a convolution with a kernel of ones, as (out, in); None of any other."""
    if weight.ndim < 2 or math.prod(weight.shape[2:]) != 1:
        return None
    return weight.reshape(weight.shape[:2])


def folded_weight(cached: CachedWeight, amax: NDArray[Any], ndim: int, transposed: bool,
                  groups: int) -> tuple[CachedWeight, NDArray[np.float32], NDArray[np.float32]] | str:
    """The weight for inputs with a fixed range for each channel, or why there is none in 8 bits.

    With ranges that are powers of two apart the integers of all channels have the least range's scale, once a channel's
    are multiplied by how much larger its range is; the weight's codes take that.

    Args:
        cached: the weight; what is made of it is kept there.
        amax: of the input, an element for each channel in the shape of that axis.
        ndim: of the input.
        transposed, groups: of the layer.

    Returns:
        The folded weight, the least range, and the factors in the shape of `amax`, by which inputs are divided.
    """
    weight = cached.weight
    spatial = len(weight.shape) - 2
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    shape = (1,) * (ndim - spatial - 1) + (channels,) + (1,) * spatial
    if (1,) * (ndim - amax.ndim) + amax.shape != shape:
        return "the input has an amax for each channel, but not one for each input channel alone"
    known = cached.folded
    if known is not None and known[0].tobytes() == amax.tobytes():
        return known[1]
    found = _folded(weight, np.asarray(amax, np.float32).reshape(shape), transposed, groups)
    if not isinstance(found, str):
        cached.folded = amax.copy(), found
    return found


def _folded(weight: IntegerWeight, amax: NDArray[np.float32], transposed: bool,
            groups: int) -> tuple[CachedWeight, NDArray[np.float32], NDArray[np.float32]] | str:
    least = amax.min()
    if not np.isfinite(amax).all() or least <= TINY:
        return "the input has an amax for each channel, of which one is next to nothing or not finite"
    factors = np.asarray(amax / least, np.float32)
    if (np.frexp(factors)[0] != 0.5).any() or (factors * least != amax).any():
        return "the input has an amax for each channel, and they are not powers of two apart"
    if weight.quantization.block is not None:
        return "the input has an amax for each channel, and the weight one for each group"
    each = factors.reshape(-1)
    if transposed:
        along = each.reshape(-1, *[1] * (len(weight.shape) - 1))
    else:  # the channels of an output's own group
        along = np.repeat(each.reshape(groups, -1), weight.shape[0] // groups, 0)
        along = along.reshape(*along.shape, *[1] * (len(weight.shape) - 2))
    codes, kind = weight.values.astype(np.float32) * along, np.iinfo(weight.values.dtype)
    if codes.min() < kind.min or codes.max() > kind.max:
        return "the input has an amax for each channel, and the weight times their ratios has more than 8 bits"
    old = weight.quantization
    wide = Int(8, old.format.unsigned) if isinstance(old.format, Int) else old.format
    found = IntegerWeight(codes.astype(weight.values.dtype),
                          Quantization(wide, old.axis, None, old.scale, groups=old.groups))
    return CachedWeight(None, found), np.asarray(least, np.float32), factors


def packed_groups(cached: CachedWeight, format: Int, two_ended: bool = False) -> PackedInt4 | str:
    """The weight of a linear layer, or of a 1x1 convolution in groups, for such inputs, two in a byte; or why not."""
    wanted, known = (format, two_ended, PackedInt4), cached.packed
    if known is not None and known[0] == wanted and isinstance(known[1], PackedInt4):
        return known[1]
    weight, quantization = cached.weight, cached.weight.quantization
    matrix, scale = as_matrix(weight.values), quantization.scale
    if matrix is None or quantization.format.num_bits not in (2, 3, 4):
        return "the input has an amax for each channel"
    try:
        packed = PackedInt4(matrix, scale.reshape(scale.shape[:2]), format, group=quantization.block,
                            two_ended=two_ended)
    except ValueError:
        return "scales beyond the range of float32"
    cached.packed = wanted, packed
    return packed
