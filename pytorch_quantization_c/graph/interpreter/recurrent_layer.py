"""LSTM and GRU whose input, weights and hidden state are quantised, on integers.

The products of the input are those of a layer on integers (`integer_layer`), of all steps in one go. So is that of a
state: an exact sum, rounded to float32, times the float32 nearest to 1 / (scale of state * scale of weight), plus a
GRU's own bias, added with one rounding more; both are then added. The rest is float32, see `_C.recurrent`.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import _C
from ..._core.formats import Int
from ...integer.float_only import enabled
from ...integer.packed import Geometry, PackedWeights
from ...integer.weights import quantized_weight
from ..representation.arithmetic import fake_quantize, integers
from ..representation.notes import Coding
from .integer_layer import IntegerLayer, LayerWeight, Rounded
from .record import NodeLike, NodeRecord
from .recurrent import Cells, run_cells
from .table import Array, Function, function_of

__all__ = ["RecurrentLayer", "StateProduct"]


class StateProduct(NamedTuple):
    """What states are multiplied with: int8 (outputs, hidden), its scales, their range, and a bias or None."""

    weight: Array
    scale: Array
    amax: float
    bias: Array | None


class RecurrentLayer:
    """An LSTM or a GRU on integers.

    `execution` says how the last call was computed, as that of a layer of `nn`; `input` is the layer that computes the
    products of the input.

    Args:
        node, opset: the node.
        x: how its input is quantised.
        weight, recurrent: W and R of the node (directions, gates * hidden, ...), which are quantised with one range, or
            one for each index of axis 1.
        hidden: how its states are.
        bias: B of the node, or None.
        plain: the node on floats.

    Raises:
        ValueError: integers cannot do it; the message says why.
    """

    def __init__(self, node: NodeLike, opset: int, x: Rounded, weight: LayerWeight, recurrent: LayerWeight,
                 hidden: Coding, bias: Array | None, plain: Function) -> None:
        self.node, self.opset, self.plain, self.hidden = node, opset, plain, hidden
        self.weight, self.recurrent, self.bias = weight, recurrent, bias
        self.cells, self.size, self.execution = Cells(node), int(recurrent.array.shape[-1]), "auto"
        self._check(x)
        ahead, rest = (None, [None] * 4) if bias is None else self.cells.biases(bias)
        self.input = _input_layer(x, _stacked(self.cells, weight), ahead, opset)
        self.products = self._products(rest)
        self._packed: tuple[Any, ...] | None = None
        self._two_ended: PackedWeights | str | None = None

    def _check(self, x: Rounded) -> None:
        weights, rows = (self.weight, self.recurrent), self.cells.gates * self.size
        shapes = [each.array.shape for each in weights]
        fit = rows > 0 and [len(shape) for shape in shapes] == [3, 3] and shapes[0][2] > 0 and \
            all(shape[:2] == (self.cells.directions, rows) for shape in shapes)
        if not fit or any(each.order or each.amax.size not in (1, rows) for each in weights):
            raise ValueError("the weights or their ranges have other shapes than those of the standard")
        bias, shape = self.bias, (len(self.weight.array), 2 * rows)
        if bias is not None and (bias.dtype != np.float32 or bias.shape != shape):
            raise ValueError("the bias has another shape or type than that of the standard")
        specs = [self.hidden.spec, *(each.spec for each in weights)]
        if any(spec.two_sided or spec.unsigned or np.any(np.asarray(spec.zero_point or 0)) for spec in specs):
            raise ValueError("weights or states have a zero point")
        if x.amax is None or self.hidden.amax.size != 1 or any(each.spec.axis not in (None, 1) for each in weights):
            raise ValueError("the ranges are not constant")

    def _products(self, biases: Sequence[Array | None]) -> list[StateProduct]:
        each, format = self.recurrent, self.recurrent.spec.format
        assert isinstance(format, Int)
        rows = np.broadcast_to(each.amax.reshape(-1, 1), (each.array.shape[1], 1))
        ranges = np.broadcast_to(rows[None], (len(each.array), *rows.shape))
        found = []
        for weight, amax, bias in zip(self.cells.products(each.array), self._products_of(ranges), biases, strict=False):
            made = quantized_weight(np.ascontiguousarray(weight), np.ascontiguousarray(amax), format, False)
            if isinstance(made, str):
                raise ValueError(made)
            found.append(StateProduct(made.values, made.scale, float(self.hidden.amax.reshape(-1)[0]), bias))
        return found

    def _products_of(self, ranges: Array) -> list[Array]:
        """The ranges of rows, cut as the weights are."""
        wide = np.broadcast_to(ranges, (*ranges.shape[:2], self.size))
        return [each[:, :1] for each in self.cells.products(wide)]

    def packed(self) -> tuple[Any, ...]:
        """The products as `_C.recurrent` takes them."""
        if self._packed is None:
            format = self.hidden.spec.format
            assert isinstance(format, Int)
            self._packed = tuple(
                (PackedWeights(each.weight, each.scale, Geometry(), format)._packed, each.amax, each.bias)
                for each in self.products)
        return self._packed

    def __call__(self, arrays: Sequence[Any]) -> list[Array]:
        answer = self._try(*arrays)
        self.execution = f"float: {answer}" if isinstance(answer, str) else "int8"
        return list(self._floats(*arrays) if isinstance(answer, str) else answer)[:len(self.node.outputs)]

    def _try(self, x: Array, lengths: Any = None, h0: Any = None, c0: Any = None) -> list[Array] | str:
        if not enabled():
            return "integers are switched off"
        if x.dtype != np.float32 or x.ndim != 3:
            return "the input is no float32 array of three axes"
        x = x.swapaxes(0, 1) if self.cells.batch_first else x
        states = self.cells.states((h0, c0), x, self.size)
        made = run_cells(self.cells, x, lengths, states, self._ahead, self.packed(), self.size)
        return made if isinstance(made, str) else self.cells.results(*made)

    def _ahead(self, rows: Array) -> Array | str:
        """The products of the input: with a zero point, by the packed weights of an asymmetric range."""
        spec, amax = self.input.x.spec, self.input.x.amax
        point = spec.zero_point
        if not isinstance(point, int) or not spec.unsigned or spec.low != 0 or spec.narrow or amax is None:
            return self.input._try(rows)
        if self._two_ended is None:
            weight = self.input.weight
            each = weight.amax if weight.amax.size == 1 else weight.amax.reshape(-1, 1)
            made = quantized_weight(weight.array, each, weight.spec.format, False)  # type: ignore[arg-type]
            self._two_ended = made if isinstance(made, str) else PackedWeights(
                made.values, made.scale, Geometry(), Int(int(spec.format.bits), unsigned=True), True)
        _, scale = integers(np.zeros(1, np.float32), amax, spec)
        if isinstance(self._two_ended, str) or scale.size != 1 or amax.size != 1 or amax.item() <= 2.0 ** -24:
            return self.input._try(rows)
        x = np.maximum(rows, np.float32(0)) if point == 0 else rows
        return _C.integer_run(self._two_ended._packed, x, np.array([scale.item(), point], np.float32), self.input.bias)

    def _floats(self, x: Array, lengths: Any = None, h0: Any = None, c0: Any = None) -> Any:
        """The layer on fake quantised floats."""
        weights = (fake_quantize(each.array, each.amax, each.spec) for each in (self.weight, self.recurrent))
        rounded = fake_quantize(x, self.input.x.amax, self.input.x.spec)
        found = self.plain(rounded, *weights, self.bias, lengths, h0, *([c0] if self.cells.is_lstm else []))
        if found is NotImplemented:
            raise ValueError("sequences of several lengths cannot be computed on floats whose states are rounded")
        return found


def _stacked(cells: Cells, weight: LayerWeight) -> LayerWeight:
    """The weights of all directions as one matrix, with the range of each row where each has one."""
    directions, rows = weight.array.shape[:2]
    amax = np.asarray(weight.amax)
    if amax.size > 1:
        amax = cells.stacked(np.broadcast_to(amax.reshape(1, rows), (directions, rows)))
    spec = weight.spec if weight.spec.axis is None else type(weight.spec)(
        weight.spec.bits, weight.spec.unsigned, weight.spec.narrow, weight.spec.zero_point, 0)
    return LayerWeight(cells.stacked(weight.array), np.ascontiguousarray(amax), spec, (1, 0))


def _input_layer(x: Rounded, weight: LayerWeight, bias: Array | None, opset: int) -> IntegerLayer:
    node = NodeRecord("MatMul", opset, {}, [True, True], [True]).node()
    found = function_of(node, opset)
    assert found is not None
    return IntegerLayer(node, opset, x, weight, bias, found[0])

