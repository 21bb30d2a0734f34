"""Running a graph: an order, what is still needed, and errors that name the node."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..arithmetic import fake_quantize
from ..nodes import is_quantizer, quantizer
from .reference import reference

__all__ = ["Interpreter", "interpret"]

Array = NDArray[Any]
Step = tuple[ir.Node, list[ir.Value], Callable[[Sequence[Any]], list[Any]]]
Observe = Callable[[str, Any], None]


def _quantizer_step(node: ir.Node) -> Step:
    found = quantizer(node)
    return node, [found.input], lambda arrays: [fake_quantize(arrays[0], found.amax, found.spec)]


class Interpreter:
    """A graph made ready to be run node by node, as often as wanted.

    Args:
        model: the graph; it must not be changed afterwards.
    """

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        graph = model.graph
        self._values = {value.name: value for value in graph.inputs}
        self._values.update({value.name: value for value in graph.initializers.values()})
        self._values.update({value.name: value for node in graph for value in node.outputs})
        self._steps = [_quantizer_step(node) if is_quantizer(node) else
                       (node, *reference(node, dict(model.opset_imports))) for node in graph]

    def run(self, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None,
            observe: Observe | None = None) -> list[Any]:
        """The values of a call.

        Args:
            feeds: an array for each input, by name.
            outputs: names of values of the graph, inner ones too; None: its outputs.
            observe: called with the name and the array of every value, inputs first, as soon as it is known.
        """
        names = [value.name for value in self.model.graph.outputs] if outputs is None else list(outputs)
        values = {name: value.const_value.numpy() for name, value in self._values.items() if value.const_value}
        values.update({name: np.asarray(array) for name, array in feeds.items()})
        if observe is not None:
            for name in feeds:
                observe(name, values[name])
        for node, reads, function in self._steps:
            results = function([values[value.name] for value in reads])
            for value, array in zip(node.outputs, results, strict=True):
                values[value.name] = array
                if observe is not None and value.name:
                    observe(value.name, array)
        return [values[name] for name in names]


def interpret(model: ir.Model, feeds: Mapping[str, Any]) -> list[Any]:
    """The outputs of a graph, op by op.

    Args:
        model: what `load` and `quantize` return.
        feeds: an array for each input, by name.
    """
    return Interpreter(model).run(feeds)
