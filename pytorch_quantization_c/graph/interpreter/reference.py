"""An operator computed by `onnx.reference`: the fallback for operators without our own function."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

__all__ = ["captured", "reference", "subgraphs"]


def subgraphs(node: ir.Node) -> list[ir.Graph]:
    """The graphs in the attributes of a node, those within them as well."""
    graphs = [graph for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH
              for graph in [attribute.as_graph()]]
    return graphs + [deeper for graph in graphs for each in graph for deeper in subgraphs(each)]


def captured(node: ir.Node) -> list[ir.Value]:
    """The values that the subgraphs of a node read from outside of them, each once."""
    found: dict[ir.Value, None] = {}
    inside: set[ir.Value] = set()
    for graph in subgraphs(node):
        inside.update(graph.inputs, graph.initializers.values())
        for each in graph:
            found.update((value, None) for value in each.inputs if value is not None)
            inside.update(each.outputs)
        found.update((value, None) for value in graph.outputs)
    return [value for value in found if value not in inside]


def reference(node: ir.Node, opsets: dict[str, int]) -> Callable[[Sequence[Any]], list[Any]]:
    """The function of a node, of the values it reads (see `reads_of`) to its outputs."""
    proto = ir.to_proto(node)
    names = [value.name or "" for value in reads_of(node)]
    outputs = [name for name in proto.output if name]
    graph = onnx.helper.make_graph(
        [proto], "one", [onnx.helper.make_empty_tensor_value_info(name) for name in names],
        [onnx.helper.make_empty_tensor_value_info(name) for name in outputs])
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports))

    def run(arrays: Sequence[Any]) -> list[Any]:
        computed = iter(evaluator.run(None, dict(zip(names, arrays, strict=True))))
        return [_plain(next(computed)) if name else None for name in proto.output]

    return run


def reads_of(node: ir.Node) -> list[ir.Value]:
    """The values that a node reads, each once, those of its subgraphs behind its own."""
    return list(dict.fromkeys([value for value in node.inputs if value is not None] + captured(node)))


def _plain(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.generic | np.ndarray) else value
