"""A recurrent layer on integers becomes operations of a program: the products of its input, and its cells."""
from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..._core.formats import Int
from ..interpreter.recurrent_layer import RecurrentLayer
from .layers import layer_of
from .operations import Conv, Key, array_of
from .recurrent import Recurrent, StateWeights
from .strided import Moved

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_recurrent"]


def lower_recurrent(lowering: Lowering, step: Any) -> bool:
    """Lowers a step if it is such a layer."""
    layer = step.compute
    if not isinstance(layer, RecurrentLayer):
        return False
    x, lengths, *states = [*step.reads, *[None] * 4][:4]
    ahead, products = layer_of(SimpleNamespace(compute=layer.input)), _products(layer)
    if ahead is None or products is None or (lengths is not None and lengths.dtype != ir.DataType.INT32):
        return False
    name, count = step.node.name or step.node.op_type, 2 if layer.cells.is_lstm else 1
    batch_first, outputs = layer.cells.batch_first, []
    for number, value in enumerate([*step.outputs, *[None] * 3][:1 + count]):
        if value is not None:
            lowering.import_forms([value])
        key = array_of(lowering.fresh() if value is None else lowering.number(value))
        if batch_first and value is not None:
            key = _behind(lowering, name, key, [2, 0, 1, 3] if number == 0 else [1, 0, 2])
        outputs.append(key)
    sums = array_of(lowering.fresh())
    made = Recurrent(name, layer.cells.kind, layer.cells.reverse, sums, [], outputs, products)
    lowering.operations.append(made)
    for value in states[:count]:
        state = None if value is None else lowering.want(value)
        if batch_first and state is not None:
            moved = Moved(name, "transpose", [1, 0, 2], [state], array_of(lowering.fresh()))
            lowering.operations.append(moved)
            state = moved.output
        made.states.append(state)
    if lengths is not None:
        made.lengths = lowering.want(lengths)
    if batch_first:
        sums = _behind(lowering, name, sums, [1, 0, 2])
    product = Conv(name, Key(-1, None), ahead.weight, ahead.scale, ahead.bias, 1, ahead.y, ahead.x, outputs=[sums])
    lowering.operations.append(product)
    product.input = lowering.want(x, ahead.codes, matrix=True)
    return True


def _behind(lowering: Lowering, name: str, key: Key, order: list[int]) -> Key:
    """What is transposed into a value."""
    moved = Moved(name, "transpose", order, [array_of(lowering.fresh())], key)
    lowering.operations.append(moved)
    return moved.inputs[0]


def _products(layer: RecurrentLayer) -> list[StateWeights] | None:
    """None if the kernel refuses them."""
    format = layer.hidden.spec.format
    if not isinstance(format, Int):
        return None
    products = [StateWeights(each.weight, np.ascontiguousarray(each.scale, np.float32).reshape(-1), each.bias,
                             each.amax, int(format.bits), format.narrow) for each in layer.products]
    try:
        Recurrent("", layer.cells.kind, layer.cells.reverse, array_of(-1), [], [], products).packed()
    except ValueError:
        return None
    return products
