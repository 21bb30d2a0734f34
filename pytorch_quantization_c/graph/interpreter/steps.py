"""Nodes made ready to be run."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..arithmetic import fake_quantize
from ..errors import GraphError, shown_node
from ..nodes import is_quantizer, quantizer
from .reference import reads_of, reference
from .table import function_of

__all__ = ["Step", "named", "plain_step", "quantizer_step", "shown_arrays"]

Compute = Callable[[Sequence[Any]], Sequence[Any]]


class Step:
    """What is to be done for a node.

    Attributes:
        node: the node.
        reads: the values that `compute` gets the arrays of, in this order; None where an optional input is left out.
        outputs: the values that it returns.
        compute: the function.
        optional: nothing reads the outputs unless somebody asks for them.
        execution: how the node is computed, for summaries.
    """

    __slots__ = ("compute", "execution", "node", "optional", "outputs", "reads")

    def __init__(self, node: ir.Node, reads: Sequence[ir.Value | None], compute: Compute, execution: str) -> None:
        self.node = node
        self.reads = list(reads)
        self.outputs = list(node.outputs)
        self.compute = compute
        self.optional = False
        self.execution = execution

    def run(self, values: Mapping[ir.Value, Any]) -> Sequence[Any]:
        """The outputs; GraphError that names the node if it cannot be computed."""
        arrays = [None if value is None else values[value] for value in self.reads]
        try:
            return self.compute(arrays)
        except (GraphError, MemoryError):
            raise
        except Exception as error:
            inputs = shown_arrays(self.reads, arrays)
            raise GraphError(f"{named(self.node)}: {error}; its inputs are {inputs}") from error


def named(node: ir.Node) -> str:
    """A node for a message."""
    return shown_node(node.op_type, node.domain, node.name, [value.name or "" for value in node.outputs])


def shown_arrays(values: Sequence[ir.Value | None], arrays: Sequence[Any]) -> str:
    """Values and what they are, for a message."""
    pairs = [(value.name, array) for value, array in zip(values, arrays, strict=True) if value is not None]
    return ", ".join(f"{name!r} {array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else
                     f"{name!r} {type(array).__name__}" for name, array in pairs) or "none"


def quantizer_step(node: ir.Node) -> Step:
    """A quantiser. GraphError if its node is none."""
    try:
        found = quantizer(node)
    except ValueError as error:
        raise GraphError(str(error)) from None
    return Step(node, [found.input], lambda arrays: [fake_quantize(arrays[0], found.amax, found.spec)], "float")


def _results(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else (np.asarray(value),)


def plain_step(node: ir.Node, opsets: dict[str, int]) -> Step:
    """A node of the standard, by a function of our own or by the reference."""
    if is_quantizer(node):
        return quantizer_step(node)
    try:
        own = function_of(node, opsets.get("", opsets.get("ai.onnx", 0)))
    except Exception as error:
        raise GraphError(f"{named(node)}: {error}") from error
    if own is None:
        return _reference_step(node, opsets)
    function, floats = own
    rest: list[Compute] = []

    def compute(arrays: Sequence[Any]) -> Sequence[Any]:
        if not (floats and arrays[0].dtype.char not in "fd"):
            found = function(*arrays)
            if found is not NotImplemented:
                return _results(found)
        if not rest:
            rest.append(reference(node, opsets))
        given = dict(zip(node.inputs, arrays, strict=True))
        return rest[0]([given[value] for value in reads_of(node)])

    return Step(node, node.inputs, compute, "float")


def _reference_step(node: ir.Node, opsets: dict[str, int]) -> Step:
    try:
        return Step(node, reads_of(node), reference(node, opsets), "onnx.reference")
    except Exception as error:
        raise GraphError(f"{named(node)} is an operator that nothing here can run: {error}") from error
