"""An operator as `onnx.reference` computes it: what is used where there is no function of our own."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

__all__ = ["reference"]

Array = NDArray[Any]


def _captured(node: ir.Node) -> list[ir.Value]:
    """The values that the subgraphs of a node read from outside of them."""
    found: dict[str, ir.Value] = {}
    inside: set[ir.Value] = set()
    for graph in _subgraphs(node):
        inside.update(graph.inputs, graph.initializers.values())
        for each in graph:
            found.update((value.name or "", value) for value in each.inputs if value is not None)
            inside.update(each.outputs)
        found.update((value.name or "", value) for value in graph.outputs)
    return [value for value in found.values() if value not in inside]


def _subgraphs(node: ir.Node) -> list[ir.Graph]:
    graphs = [graph for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH
              for graph in [attribute.as_graph()]]
    return graphs + [deeper for graph in graphs for each in graph for deeper in _subgraphs(each)]


def reference(node: ir.Node, opsets: dict[str, int]) -> tuple[list[ir.Value], Callable[[Sequence[Any]], list[Any]]]:
    """The values that a node reads, those of its subgraphs included, and the function that computes its outputs."""
    reads = [value for value in node.inputs if value is not None]
    reads += [value for value in _captured(node) if value not in reads]
    proto = ir.to_proto(node)
    names = list(dict.fromkeys(value.name or "" for value in reads))
    outputs = [name for name in proto.output if name]
    graph = onnx.helper.make_graph(
        [proto], "one", [onnx.helper.make_empty_tensor_value_info(name) for name in names],
        [onnx.helper.make_empty_tensor_value_info(name) for name in outputs])
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports))

    def run(arrays: Sequence[Any]) -> list[Any]:
        feeds = {value.name or "": array for value, array in zip(reads, arrays, strict=True)}
        computed = iter(evaluator.run(None, feeds))
        return [_plain(next(computed)) if name else None for name in proto.output]

    return reads, run


def _plain(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.generic | np.ndarray) else value
