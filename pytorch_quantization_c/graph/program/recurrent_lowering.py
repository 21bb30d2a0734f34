"""A recurrent layer on integers becomes operations of a program: the products of its input, and its cells."""
from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._core.formats import Int
from ..interpreter.recurrent_layer import RecurrentLayer
from .layers import layer_of
from .operations import Conv, Key, array_of
from .recurrent import Recurrent, StateWeights

if TYPE_CHECKING:
    from .lower import Lowering

__all__ = ["lower_recurrent"]


def lower_recurrent(lowering: Lowering, step: Any) -> bool:
    """Lowers a step if it is such a layer whose sequences all have one length."""
    layer = step.compute
    if not isinstance(layer, RecurrentLayer) or layer.cells.batch_first:
        return False
    x, lengths, *states = [*step.reads, *[None] * 4][:4]
    ahead, products = layer_of(SimpleNamespace(compute=layer.input)), _products(layer)
    if lengths is not None or ahead is None or products is None:
        return False
    name, count = step.node.name or step.node.op_type, 2 if layer.cells.is_lstm else 1
    outputs = []
    for value in [*step.outputs, *[None] * 3][:1 + count]:
        if value is not None:
            lowering.import_forms([value])
        outputs.append(array_of(lowering.fresh() if value is None else lowering.number(value)))
    sums = array_of(lowering.fresh())
    made = Recurrent(name, layer.cells.kind, layer.cells.reverse, sums, [], outputs, products)
    lowering.operations.append(made)
    made.states = [None if value is None else lowering.want(value) for value in states[:count]]
    product = Conv(name, Key(-1, None), ahead.weight, ahead.scale, ahead.bias, 1, ahead.y, ahead.x, outputs=[sums])
    lowering.operations.append(product)
    product.input = lowering.want(x, ahead.codes, matrix=True)
    return True


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
