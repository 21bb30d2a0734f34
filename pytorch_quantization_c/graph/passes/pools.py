"""Means over all pixels of images become global average pools."""
from __future__ import annotations

import onnx_ir as ir

from ..representation.naming import free_node_name, free_value_name
from .editing import attribute, graph_of, rank, reduced_axes, substitute


def global_average(node: ir.Node) -> bool:
    """ReduceMean over all axes of pixels as GlobalAveragePool, and Flatten where it drops them.

    Of float32 with at least four axes: with three it may be the mean over channels of a layer normalisation.
    """
    x, axes = node.inputs[0] if node.inputs else None, reduced_axes(node)
    count = rank(x)
    if x is None or x.dtype != ir.DataType.FLOAT or count is None or count < 4 or axes is None:
        return False
    if sorted(axis % count for axis in axes) != list(range(2, count)):
        return False
    if attribute(node, "keepdims", 1):
        substitute(node, ir.node("GlobalAveragePool", [x], name=node.name))
        return True
    graph, name = graph_of(node), node.name
    pool = ir.node("GlobalAveragePool", [x], name=name)
    made = pool.outputs[0]
    made.name, made.type = free_value_name(graph, f"{node.outputs[0].name}.pooled"), x.type
    made.shape = None if x.shape is None else ir.Shape([*list(x.shape)[:2], *[1] * (count - 2)])
    graph.insert_before(node, pool)
    substitute(node, ir.node("Flatten", [made], attributes={"axis": 1}, name=free_node_name(graph, f"{name}.flatten")))
    return True
