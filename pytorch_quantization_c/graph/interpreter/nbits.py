"""com.microsoft.MatMulNBits: products with constant low-bit weights in blocks, as in language models.

A weight is (code - zero point) * scale of its block. Where the node allows 8-bit inputs (`accuracy_level` 4), rows are
quantised by their own ranges and multiplied with the codes as integers (`integer.PackedInt4`); otherwise, and where
integers cannot do it, the product is that of floats.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._core.formats import Int
from ...integer.float_only import enabled
from ...integer.int4 import PackedInt4
from .table import Array, attribute, constant

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["INTEGERS", "BlockWeight", "NBits", "nbits_of"]

DOMAIN, NAME = "com.microsoft", "MatMulNBits"
INTEGERS = 4  # the accuracy level that allows 8-bit inputs
MAX_BITS = 4
ROWS = Int(8, narrow=True)
MAX_ELEMENTS = 2 ** 31 - 1


@dataclass(frozen=True, eq=False)
class BlockWeight:
    """The weight of a product: its codes, two or more in a byte as the operator has them, and what they stand for.

    packed: uint8 (N, blocks, bytes of a block), the lowest bits first.
    scale: float32 (N, blocks).
    zero: float32 (N, blocks), None: the middle of the codes.
    inputs, bits, block, level: the operator's K, bits, block_size and accuracy_level.
    bias: float32 (N,), or None.
    """

    packed: NDArray[np.uint8]
    scale: NDArray[np.float32]
    zero: NDArray[np.float32] | None
    inputs: int
    bits: int
    block: int
    level: int
    bias: NDArray[np.float32] | None

    def check(self) -> None:
        """ValueError for arrays that do not fit together."""
        if self.bits not in (2, 4, 8) or self.block < 16 or self.block & (self.block - 1) or self.inputs < 1:
            raise ValueError(f"expected bits of 2, 4 or 8, a block_size that is a power of two from 16 on, and K >= 1, "
                             f"got {self.bits}, {self.block} and {self.inputs}")
        blocks, outputs = -(-self.inputs // self.block), self.packed.shape[0] if self.packed.ndim else 0
        if self.packed.dtype != np.uint8 or self.packed.shape != (outputs, blocks, self.block * self.bits // 8) or \
                not outputs or outputs * self.inputs > MAX_ELEMENTS:
            raise ValueError(f"expected B of uint8 (N, {blocks}, {self.block * self.bits // 8}), got "
                             f"{self.packed.dtype} of shape {self.packed.shape}")
        for name, array, shape in (("scales", self.scale, (outputs, blocks)), ("zero_points", self.zero,
                                   (outputs, blocks)), ("bias", self.bias, (outputs,))):
            if array is None and name != "scales":
                continue
            if array is None or array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"expected {name} of finite floats for the shape {shape}")

    def codes(self) -> NDArray[np.uint8]:
        """(N, K), a byte each."""
        return _unpacked(self.packed, self.bits).reshape(len(self.packed), -1)[:, :self.inputs]

    def floats(self) -> NDArray[np.float32]:
        """The weight, (N, K)."""
        zero: Any = np.float32(1 << (self.bits - 1)) if self.zero is None else self.zero[:, :, None]
        codes = _unpacked(self.packed, self.bits).reshape(*self.scale.shape, self.block).astype(np.float32)
        values = (codes - zero) * self.scale[:, :, None]
        return np.ascontiguousarray(values.reshape(len(codes), -1)[:, :self.inputs])

    def integers(self) -> PackedInt4 | str:
        """For products of integers, or why there are none."""
        if self.level != INTEGERS:
            return f"accuracy_level is {self.level}: inputs stay floats"
        if self.bits > MAX_BITS:
            return f"the weight has {self.bits} bits"
        zero = np.full(self.scale.shape, 1 << (self.bits - 1), np.float32) if self.zero is None else self.zero
        if (zero != np.rint(zero)).any() or zero.min() < 0 or zero.max() > 15:
            return "its zero points are not those of 4-bit codes"
        if self.bits == MAX_BITS and (zero == 8).all():
            signed = (self.codes() - np.uint8(8)).view(np.int8)
            return PackedInt4(signed, self.scale, ROWS, group=self.block, steps=True)
        return PackedInt4(self.codes(), self.scale, ROWS, group=self.block, zero=zero.astype(np.uint8), steps=True)


class NBits:
    """The product; `execution` says how the last call was computed."""

    def __init__(self, weight: BlockWeight) -> None:
        weight.check()
        self.weight = weight
        self.execution = "auto"
        self._packed: PackedInt4 | str | None = None
        self._floats: NDArray[np.float32] | None = None

    def __call__(self, arrays: Sequence[Any]) -> list[Array]:
        x = arrays[0]
        if x.ndim < 1 or x.shape[-1] != self.weight.inputs:
            raise ValueError(f"expected {self.weight.inputs} columns, got shape {x.shape}")
        answer = self._product(x)
        self.execution = f"float: {answer}" if isinstance(answer, str) else "int8"
        return [self._in_floats(x) if isinstance(answer, str) else answer]

    def _product(self, x: Array) -> Array | str:
        if not enabled():
            return "integers are switched off"
        if self._packed is None:
            self._packed = self.weight.integers()
        if isinstance(self._packed, str):
            return self._packed
        return self._packed.product(x, None, self.weight.bias, by_row=True)

    def _in_floats(self, x: Array) -> Array:
        if self._floats is None:
            self._floats = self.weight.floats()
        wide = x if x.dtype == np.float64 else x.astype(np.float32, copy=False)
        y = np.matmul(wide, self._floats.T)
        return np.asarray(y if self.weight.bias is None else y + self.weight.bias).astype(x.dtype, copy=False)


def _unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Codes along the last axis, the lowest bits of a byte first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return codes.reshape(*packed.shape[:-1], -1)


def _zero_points(node: ir.Node, bits: int, outputs: int, blocks: int) -> Array | None:
    array = _given(node, 3, "zero_points")
    if array is None:
        return None
    if array.dtype != np.uint8:
        return array.astype(np.float32).reshape(outputs, blocks)
    rows = _unpacked(array.reshape(outputs, -1), bits)
    if rows.shape[1] < blocks:
        raise ValueError(f"expected {blocks} zero points for each output, got {rows.shape[1]}")
    return rows[:, :blocks].astype(np.float32)


def _given(node: ir.Node, number: int, name: str) -> Array | None:
    """A constant input, or None if there is none."""
    if number >= len(node.inputs) or node.inputs[number] is None:
        return None
    array = constant(node, number)
    if array is None:
        raise ValueError(f"expected {name} to be a constant")
    return array


def nbits_of(node: ir.Node) -> NBits | None:
    """The product of such a node; None of another. ValueError for an unsupported form."""
    if (node.domain, node.op_type) != (DOMAIN, NAME):
        return None
    inputs, outputs, bits, block, level = (attribute(node, name, default) for name, default in
                                           (("K", 0), ("N", 0), ("bits", 4), ("block_size", 32), ("accuracy_level", 0)))
    packed, scale, bias = _given(node, 1, "B"), _given(node, 2, "scales"), _given(node, 5, "bias")
    order = _given(node, 4, "g_idx")
    if packed is None or scale is None or block < 1 or inputs < 1:
        raise ValueError("expected B, scales, K and block_size")
    if order is not None and not np.array_equal(order[:inputs], np.arange(inputs) // block):
        raise ValueError("expected g_idx to leave the inputs in their order: others are not known")
    blocks = -(-inputs // block)
    weight = BlockWeight(packed.reshape(outputs, blocks, -1), scale.astype(np.float32).reshape(outputs, blocks),
                         _zero_points(node, bits, outputs, blocks), inputs, bits, block, level,
                         None if bias is None else bias.astype(np.float32).reshape(-1))
    return NBits(weight)
