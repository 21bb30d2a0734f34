"""Running a graph: an order, what is still needed, and errors that name the node."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..errors import GraphError
from ..nodes import checked_graph
from .control import control_step
from .integer import integer_step, recurrent_step
from .results import own_results
from .steps import Step, plain_step
from .table import constant
from .values import checked_feeds

__all__ = ["Interpreter", "Plan", "interpret"]

Array = NDArray[Any]
Observe = Callable[[str, Any], None]


class Plan:
    """A prepared graph: its steps in order, its constants, and after which step each value can be freed."""

    def __init__(self, graph: ir.Graph, opsets: dict[str, int]) -> None:
        self.graph, self.opsets = graph, opsets
        self.constants = {value: value.const_value.numpy() for value in graph.initializers.values()
                          if value.const_value is not None}
        self.steps = self._made()
        self._mark_optional()
        self._last: dict[ir.Value, int] = {}
        for number, step in enumerate(self.steps):
            self._last.update({value: number for value in (*step.reads, *step.outputs) if value is not None})

    def _made(self) -> list[Step]:
        opset, steps, behind = self.opsets.get("", self.opsets.get("ai.onnx", 0)), [], _added_biases(self.graph)
        for node in self.graph:
            if node in behind:
                product, bias = behind[node]
                step = integer_step(product, opset, bias)
                if step is not None:
                    step.outputs = list(node.outputs)
                    steps.append(step)
                    continue
            steps.append(control_step(node, lambda graph: Plan(graph, self.opsets)) or integer_step(node, opset)
                         or recurrent_step(node, opset) or plain_step(node, self.opsets))
        return steps

    def _mark_optional(self) -> None:
        """A step that nothing reads is skipped unless its output is requested."""
        readers = Counter(value for step in self.steps for value in set(step.reads))
        readers.update(self.graph.outputs)
        for step in reversed(self.steps):
            if step.outputs and not any(readers[value] for value in step.outputs):
                step.optional = True
                readers.subtract(set(step.reads))

    def run(self, values: dict[ir.Value, Any], wanted: Sequence[ir.Value],
            observe: Callable[[ir.Value, Any], None] | None = None, watched: Collection[ir.Value] = ()) -> list[Any]:
        """The wanted values, from those of the inputs and of what is captured from outside."""
        values = {**self.constants, **values}
        kept = {*wanted, *self.constants}
        asked = {*wanted, *watched}
        if observe is not None:
            for value in self.graph.inputs:
                if value in watched:
                    observe(value, values[value])
        needed = self._needed(asked) if not asked.isdisjoint(self._left_out()) else None
        for number, step in enumerate(self.steps):
            if step.optional and (needed is None or number not in needed):
                continue
            for value, array in zip(step.outputs, step.run(values), strict=False):
                values[value] = array
                if observe is not None and value in watched:
                    observe(value, array)
            self.free(number, values, kept)
        return [values[value] for value in wanted]

    def free(self, number: int, values: dict[ir.Value, Any], kept: Collection[ir.Value]) -> None:
        """Removes what nothing reads after step `number`, but for `kept`."""
        step = self.steps[number]
        for read in {*step.reads, *step.outputs}:
            if read is not None and self._last[read] == number and read not in kept:
                values.pop(read, None)

    def _left_out(self) -> set[ir.Value]:
        return {value for step in self.steps if step.optional for value in step.outputs}

    def _needed(self, asked: set[ir.Value]) -> set[int]:
        """Which of the steps that may be left out have to be run for these values."""
        needed, wanted = set(), set(asked)
        for number in range(len(self.steps) - 1, -1, -1):
            step = self.steps[number]
            if not step.optional or not wanted.isdisjoint(step.outputs):
                needed.add(number)
                wanted.update(value for value in step.reads if value is not None)
        return needed


def _added_biases(graph: ir.Graph) -> dict[ir.Node, tuple[ir.Node, Array]]:
    """Adds of one constant number for each output to a MatMul that nothing else reads: what they add, and to what."""
    found = {}
    for node in graph:
        if node.op_type != "Add" or node.domain != "":
            continue
        for number in (0, 1):
            product = node.inputs[number].producer() if node.inputs[number] is not None else None  # type: ignore[union-attr]
            bias = constant(node, 1 - number)
            if product is None or product.op_type != "MatMul" or product.domain != "" or bias is None:
                continue
            output = product.outputs[0]
            if len(output.uses()) == 1 and not output.is_graph_output() and _is_bias(bias, product):
                found[node] = product, bias.reshape(-1)
    return found


def _is_bias(array: Array, product: ir.Node) -> bool:
    """Whether an array is one float32 for each column of a product's constant weight."""
    weight = product.inputs[1]
    columns = None if weight is None or weight.shape is None or len(weight.shape) != 2 else weight.shape[1]
    return array.dtype == np.float32 and array.ndim >= 1 and array.size == array.shape[-1] == columns


class Interpreter:
    """A graph prepared to be run node by node, any number of times.

    Args:
        model: the graph; it must not be changed afterwards.

    Raises:
        TypeError: `model` is not an `onnx_ir.Model`.
        GraphError: a node that cannot be run.
    """

    def __init__(self, model: ir.Model) -> None:
        self.model = checked_graph(model)
        graph = model.graph
        self.plan = Plan(graph, dict(model.opset_imports))
        self._values = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
        self._values.update({value.name: value for node in graph for value in node.outputs if value.name})

    def run(self, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None, observe: Observe | None = None,
            watch: Collection[str] | None = None) -> list[Any]:
        """The values of a call.

        Args:
            feeds: an array for each input, by name.
            outputs: names of values of the graph, inner ones too; None: its outputs.
            observe: called with the name and the array of each watched value, inputs first, as soon as it is known.
            watch: the names of values to observe; None: all.

        Raises:
            GraphError: feeds that do not fit the inputs, a name that no value has, or a node that cannot be computed.
        """
        wanted = list(self.model.graph.outputs) if outputs is None else [self._value(name) for name in outputs]
        values = checked_feeds(self.model.graph, feeds)
        with np.errstate(all="ignore"):
            if observe is None:
                return self._own(self.plan.run(values, wanted), values)
            watched = set(self._values.values()) if watch is None else {self._value(name) for name in watch}
            report = observe
            found = self.plan.run(values, wanted, lambda value, array: report(value.name or "", array), watched)
        return self._own(found, values)

    def _own(self, results: list[Any], values: Mapping[ir.Value, Any]) -> list[Any]:
        return own_results(results, (*values.values(), *self.plan.constants.values()))

    def _value(self, name: str) -> ir.Value:
        if name not in self._values:
            raise GraphError(f"Expected the name of a value of the graph, got {name!r}")
        return self._values[name]


def interpret(model: ir.Model, feeds: Mapping[str, Any]) -> list[Any]:
    """The outputs of a graph, op by op.

    Args:
        model: what `load` and `quantize` return.
        feeds: an array for each input, by name; lists take the type that the input has.

    Returns:
        The arrays of the outputs, in their order.

    Raises:
        GraphError: as `Interpreter`.
        TypeError: `model` is not a graph.
    """
    return Interpreter(checked_graph(model)).run(feeds)
