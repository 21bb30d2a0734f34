"""A quantiser that finds its range itself, in the operators of the standard."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..nodes import Quantizer
from ..representation.coding import METADATA, code_type, noted
from ..representation.constants import new_constant
from ..representation.naming import free_node_name, free_value_name

__all__ = ["dynamic_nodes"]

TINY = 2.0 ** -24  # an amax up to this gives zeros


def dynamic_nodes(graph: ir.Graph, found: Quantizer) -> ir.Node:
    """The nodes in the place of a dynamic quantiser, put ahead of it; the last of them.

    One from min to max is DynamicQuantizeLinear; the range of another is computed as its largest magnitude.
    """
    note = {METADATA: noted(found.name, found.spec, None)}

    def add(op_type: str, inputs: Sequence[ir.Value], name: str, attributes: Any = (), outputs: int = 1) -> ir.Node:
        free = free_node_name(graph, f"{found.name}.{name}")
        node = ir.Node("", op_type, inputs, attributes, num_outputs=outputs, name=free)
        for number, value in enumerate(node.outputs):
            value.name = free_value_name(graph, f"{found.name}.{name}.y{number or ''}")
        graph.insert_before(found.node, node)
        return node

    if found.spec.two_sided and found.spec.unsigned and found.spec.bits == 8:
        codes = add("DynamicQuantizeLinear", [found.input], "quantize", outputs=3)
        codes.metadata_props.update(note)
        return add("DequantizeLinear", codes.outputs, "dequantize")
    kind = code_type(found.spec)
    magnitude = add("Abs", [found.input], "magnitude").outputs[0]
    largest = add("ReduceMax", [magnitude], "amax", [ir.AttrInt64("keepdims", 0)]).outputs[0]
    bound = new_constant(graph, np.array(found.spec.bound, np.float32), f"{found.name}.bound")
    least = new_constant(graph, np.array(TINY, np.float32), f"{found.name}.least")
    kept = add("Max", [largest, least], "range").outputs[0]
    scale = add("Div", [kept, bound], "scale").outputs[0]
    point = np.zeros((), kind.numpy())
    zero = new_constant(graph, ir.tensor(point, dtype=kind), f"{found.name}.zero_point")
    quantize = add("QuantizeLinear", [found.input, scale, zero], "quantize")
    quantize.metadata_props.update(note)
    return add("DequantizeLinear", [quantize.outputs[0], scale, zero], "dequantize")
