"""Layers whose input and weight are quantised, on integers: the arithmetic of the library's own layers.

An exact sum of products of integers is rounded to float32, multiplied by the float32 nearest to 1 / (scale of input *
scale of weight), and the bias is added with one rounding more. Without zero points the library's packed product does
all of that, with them `exact.py`.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..._core.blocks import Blocks
from ..._core.formats import Int
from ...integer.float_only import enabled
from ...integer.int4 import PackedInt4
from ...integer.packed import Geometry as PackedGeometry
from ...integer.packed import PackedWeights
from ...integer.pointwise import PointwiseInt4
from ...integer.weights import as_matrix, quantized_groups, quantized_weight
from ..representation.arithmetic import dynamic_range, fake_quantize, integers, spread
from ..representation.spec import QuantizerSpec
from .exact import fma, layer_scale, rounded_sums
from .table import Array, Function, NodeLike, attribute
from .windows import conv_geometry, transposed_geometry

__all__ = ["IntegerLayer", "LayerWeight", "Rounded", "channel_axis"]


class Rounded(Protocol):
    """How a value is quantised; `amax` is None of a dynamic quantiser."""

    @property
    def spec(self) -> QuantizerSpec:
        """What its node says."""
        ...

    @property
    def amax(self) -> Array | None:
        """Its range."""
        ...


class LayerWeight(NamedTuple):
    """A quantised constant, and the order in which it is transposed on the way to the layer."""

    array: Array
    amax: Array
    spec: QuantizerSpec
    order: tuple[int, ...] | None


class IntegerLayer:
    """A Conv, ConvTranspose, Gemm or MatMul with a quantised input and a constant quantised weight.

    `execution` says how the last call was computed, as that of a layer of `nn`.
    """

    def __init__(self, node: NodeLike, opset: int, x: Rounded, weight: LayerWeight, bias: Array | None,
                 plain: Function) -> None:
        self.node, self.opset, self.x, self.weight, self.bias, self.plain = node, opset, x, weight, bias, plain
        self.execution = "auto"
        self.channel_axis = channel_axis(node, weight.array.ndim)
        self._packed: dict[Any, PackedWeights] = {}
        self._groups: PackedInt4 | str | None = None
        self._integers: tuple[Array, Array] | None = None

    @property
    def has_zero_points(self) -> bool:
        """Whether a zero point other than 0 takes part."""
        specs = self.x.spec, self.weight.spec
        return any(spec.two_sided or np.any(np.asarray(spec.zero_point or 0)) for spec in specs)

    @property
    def _by_row(self) -> bool:
        """Whether each row of a linear layer's input has a range of its own."""
        return self.x.spec.axis is not None

    def __call__(self, arrays: Sequence[Any]) -> list[Array]:
        x = arrays[0]
        answer = self._try(x)
        self.execution = f"float: {answer}" if isinstance(answer, str) else "int8"
        return [self._floats(x) if isinstance(answer, str) else answer]

    def _try(self, x: Array) -> Array | str:
        if not enabled():
            return "integers are switched off"
        if x.dtype != np.float32:
            return "the input is not a float32 array"
        spec = self.x.spec
        if spec.unsigned and spec.zero_point == 0 and not spec.two_sided:
            x = np.maximum(x, np.float32(0))
        if self._by_row and x.ndim != 2:
            return "the input has an amax for each index of an axis that is not its only one beside the last"
        try:
            if self.weight.spec.block is not None:
                return self._in_groups(x)
            return self._exact(x) if self.has_zero_points else self._product(x)
        except ValueError as error:
            return str(error)

    def _floats(self, x: Array) -> Array:
        """The layer on fake quantised floats."""
        weight = fake_quantize(self.weight.array, self.weight.amax, self.weight.spec)
        weight = weight if self.weight.order is None else weight.transpose(self.weight.order)
        x = fake_quantize(x, self.x.amax, self.x.spec)
        if self.node.op_type == "Conv" and self.bias is not None and self.bias.dtype == x.dtype:
            return np.asarray(self.plain(x, weight, self.bias))
        y = self.plain(x, weight)
        if self.bias is None:
            return np.asarray(y)
        linear = self.node.op_type in ("Gemm", "MatMul")
        return np.asarray(y + (self.bias if linear else spread(self.bias, y.ndim, 1)))

    def rows(self, array: Array) -> Array:
        """A weight in the order of the library's layers: a matrix as (out, in)."""
        if self.weight.order is not None:
            array = array.transpose(self.weight.order)
        linear = self.node.op_type in ("Gemm", "MatMul")
        return np.ascontiguousarray(array.T if linear and not attribute(self.node, "transB", 0) else array)

    # Without zero points

    def _product(self, x: Array) -> Array | str:
        geometry = self._geometry(x)
        packed = self._packed.get(geometry)
        if packed is None:
            made = self._pack(geometry)
            if isinstance(made, str):
                return made
            self._packed = {geometry: made}  # sizes seldom change it, and then one is enough
            packed = made
        return packed.product(np.ascontiguousarray(x), self.x.amax, self.bias, by_row=self._by_row)

    def _pack(self, geometry: PackedGeometry) -> PackedWeights | str:
        w, transposed = self.weight, self.node.op_type == "ConvTranspose"
        array, axis = self.rows(w.array), 1 if transposed else 0
        amax = w.amax if w.amax.size == 1 else spread(w.amax, array.ndim, axis)
        weight_format, input_format = w.spec.format, self.x.spec.format
        assert isinstance(weight_format, Int) and isinstance(input_format, Int)
        found = quantized_weight(array, amax, weight_format, transposed)
        return found if isinstance(found, str) else PackedWeights(found.values, found.scale, geometry, input_format)

    def _in_groups(self, x: Array) -> Array | str:
        if self._groups is None:
            self._groups = self._pack_groups()
        if isinstance(self._groups, str):
            return self._groups
        pair = self._scale_and_zero(x) if self._groups.two_ended else None
        if self.node.op_type == "Conv":
            return PointwiseInt4(self._groups, self._geometry(x)).product(x, self.x.amax, self.bias, pair=pair)
        if pair is not None:
            return self._groups.by_scale(np.ascontiguousarray(x), pair, self.bias)
        return self._groups.product(np.ascontiguousarray(x), self.x.amax, self.bias, by_row=self._by_row)

    def _scale_and_zero(self, x: Array) -> Array:
        """The scale of the input's range, and the zero point as the distance from the lowest code."""
        spec, amax = self.x.spec, self.x.amax
        point = spec.zero_point
        if amax is None:
            amax, point = dynamic_range(x, spec)
        point = int(np.asarray(point or 0).item())
        scale = integers(np.zeros(1, np.float32), amax, replace(spec, zero_point=point, two_sided=False))[1]
        return np.array([np.asarray(scale).item(), point - spec.low], np.float32)

    def _pack_groups(self) -> PackedInt4 | str:
        w, input_format = self.weight, self.x.spec.format
        assert isinstance(w.spec.format, Int) and isinstance(input_format, Int) and w.spec.block is not None
        if attribute(self.node, "group", 1) != 1 or self.node.op_type == "ConvTranspose":
            return "groups of the weight of a grouped or a transposed convolution"
        found = quantized_groups(self.rows(w.array), self.rows(w.amax), w.spec.format, Blocks(w.spec.block), None)
        if isinstance(found, str):
            return found
        values, scale = as_matrix(found.values), found.scale
        assert values is not None
        return PackedInt4(values, scale.reshape(scale.shape[:2]), input_format, group=w.spec.block,
                          two_ended=self.has_zero_points)

    def _geometry(self, x: Array) -> PackedGeometry:
        weight = self.weight.array
        if self.node.op_type in ("Gemm", "MatMul"):
            return PackedGeometry()
        transposed = self.node.op_type == "ConvTranspose"
        g = transposed_geometry(self.node, x, weight) if transposed else conv_geometry(self.node, x, weight)
        groups = attribute(self.node, "group", 1)
        return PackedGeometry(transposed, groups, g.stride, g.before, g.after, g.dilation,
                              g.extra or (0,) * len(g.stride))

    # With zero points

    def _exact(self, x: Array) -> Array | str:
        if not x.size:
            return "empty input"
        q, x_scale = integers(x, self.x.amax, self.x.spec)
        if not np.isfinite(q).all():
            return "NaN in the input"
        if self._integers is None:
            self._integers = integers(self.weight.array, self.weight.amax, self.weight.spec)
        weight, weight_scale = self._integers
        scale = layer_scale(x_scale, np.asarray(weight_scale).reshape(-1))
        if not (np.isfinite(scale).all() and (scale >= np.finfo(np.float32).tiny).all()):
            return "scales beyond the range of float32"
        axes = tuple(i for i in range(weight.ndim) if i != self._own_axis(weight.ndim))
        largest = float(np.abs(weight).sum(axis=axes, dtype=np.float64).max()) * (self.x.spec.bound - self.x.spec.low)
        order = self.weight.order
        sums = rounded_sums(self._sums, q, weight if order is None else weight.transpose(order), largest)
        return self._finished(sums, scale)

    def _own_axis(self, ndim: int) -> int:
        """The axis of the output channels in the constant itself."""
        axis = self.channel_axis
        return axis if self.weight.order is None else self.weight.order[axis]

    def _sums(self, q: Array, weight: Array) -> Array:
        return np.asarray(self.plain(q, weight))

    def _finished(self, sums: Array, scale: Array) -> Array:
        linear, bias = self.node.op_type in ("Gemm", "MatMul"), self.bias
        axis = sums.ndim - 1 if linear else 1
        if self.node.op_type == "ConvTranspose" and scale.size > 1:
            scale = np.tile(scale, sums.shape[1] // scale.size)
        shape = [-1 if i == axis else 1 for i in range(sums.ndim)]
        return fma(sums, scale.reshape(shape), None if bias is None else bias.reshape(shape))


def channel_axis(node: NodeLike, ndim: int) -> int:
    """The axis of a layer's weight that its output channels lie on."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    return 0 if attribute(node, "transB", 0) else ndim - 1
