"""onnxruntime's LSTM on integers into the standard's LSTM, with quantisers at its input and its weights."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..nodes import QuantizerSpec, declare, fake_quant
from ..representation.coding import coding_of
from ..representation.constants import constant_of, new_constant
from ..representation.naming import free_node_name

__all__ = ["import_recurrent"]

KIND = ("com.microsoft", "DynamicQuantizeLSTM")
WEIGHT, RECURRENT, WEIGHT_SCALE, RECURRENT_SCALE = 1, 2, 8, 10
LSTM_INPUTS = 8


def _weight(graph: ir.Graph, node: ir.Node, number: int, scales: int) -> ir.Value | None:
    """The weight (directions, in, gates) of a node as (directions, gates, in), quantised; None if it is no constant."""
    value = node.inputs[number]
    codes, step, zero = (constant_of(node.inputs[i]) for i in (number, scales, scales + 1))
    if codes is None or step is None or zero is None or codes.ndim != 3 or value is None or value.dtype is None:
        return None
    directions, gates = codes.shape[0], codes.shape[2]
    each = step.reshape(directions, 1, -1) if step.size in (directions, directions * gates) else None
    if each is None or zero.size != step.size:
        return None
    floats = (codes.astype(np.float32) - zero.reshape(each.shape).astype(np.float32)) * each
    constant = new_constant(graph, np.ascontiguousarray(floats.transpose(0, 2, 1), np.float32), f"{value.name}.float")
    axis = 0 if step.size == directions else 1 if directions == 1 else None
    return constant if axis is None else _quantized(graph, node, constant, (step.reshape(-1), zero.reshape(-1)),
                                                    value.dtype, axis, number)


def _quantized(graph: ir.Graph, node: ir.Node, constant: ir.Value, scale: tuple[NDArray[Any], NDArray[Any]],
               kind: ir.DataType, axis: int, number: int) -> ir.Value:
    coding = coding_of(scale[0], scale[1], kind, axis, 0)
    if coding is None:
        return constant
    name = free_node_name(graph, f"{node.name}.{'weight' if number == WEIGHT else 'r'}")
    made = fake_quant(graph, constant, coding.amax, coding.spec, name)
    graph.insert_before(node, made)
    return made.outputs[0]


def import_recurrent(model: ir.Model) -> None:
    """DynamicQuantizeLSTM of a model's main graph, in place; its hidden state stays float, as other forms do."""
    graph = model.graph
    for node in list(graph):
        x = node.inputs[0] if (node.domain, node.op_type) == KIND and len(node.inputs) > RECURRENT_SCALE + 1 else None
        if x is None:
            continue
        weights = [_weight(graph, node, *which) for which in ((WEIGHT, WEIGHT_SCALE), (RECURRENT, RECURRENT_SCALE))]
        if None in weights:
            continue
        spec = QuantizerSpec(unsigned=True, two_sided=True)
        made = fake_quant(graph, x, None, spec, free_node_name(graph, f"{node.name}.input"))
        graph.insert_before(node, made)
        inputs = [made.outputs[0], *weights, *node.inputs[RECURRENT + 1:LSTM_INPUTS]]
        lstm = ir.Node("", "LSTM", inputs, node.attributes, num_outputs=len(node.outputs), name=node.name)
        graph.insert_before(node, lstm)
        for old, new in zip(node.outputs, lstm.outputs, strict=True):
            new.type, new.shape, name = old.type, old.shape, old.name
            ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
            old.name, new.name = f"{name}.replaced", name
        graph.remove(node, safe=True)
        declare(model)
