"""Nodes prepared for running."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import GraphError, computed, shown_node
from ..nodes import is_quantizer, quantizer
from .custom import STANDARD
from .nbits import INTEGERS, nbits_of
from .plain import Rounding, plain
from .record import Compute

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Reference", "Step", "named", "plain_step", "quantizer_step"]


class Step:
    """What to do for a node.

    Attributes:
        node: the node.
        reads: the values that `compute` gets the arrays of, in this order; None where an optional input is left out.
        outputs: the values that it returns.
        compute: the function.
        optional: nothing reads the outputs unless they are requested.
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
        return computed(self.compute, arrays, lambda: named(self.node), self.names)

    def names(self) -> list[str | None]:
        """The names of the values that are read."""
        return [None if value is None else value.name for value in self.reads]


def named(node: ir.Node) -> str:
    """A node for a message."""
    return shown_node(node.op_type, node.domain, node.name, [value.name or "" for value in node.outputs])


def quantizer_step(node: ir.Node) -> Step:
    """A quantiser. GraphError if its node is none."""
    try:
        found = quantizer(node)
    except ValueError as error:
        raise GraphError(str(error)) from None
    return Step(node, [found.input], Rounding(found.spec, found.amax), "float")


class Reference:
    """A node computed by `onnx.reference`, prepared when it is first needed."""

    def __init__(self, node: ir.Node, opsets: dict[str, int]) -> None:
        self.node, self.opsets = node, opsets
        self._run: Compute | None = None

    def __call__(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """From the inputs of the node."""
        from .reference import reads_of

        given = dict(zip(self.node.inputs, arrays, strict=True))
        return self.ready()([given[value] for value in reads_of(self.node)])

    def ready(self) -> Compute:
        """The function of the values that the node reads."""
        from .reference import reference

        if self._run is None:
            self._run = reference(self.node, self.opsets)
        return self._run


def plain_step(node: ir.Node, opsets: dict[str, int]) -> Step:
    """A node of the standard, by a function of our own or by the reference."""
    if is_quantizer(node):
        return quantizer_step(node)
    try:
        blocks = nbits_of(node)
        if blocks is not None:
            return Step(node, node.inputs[:1], blocks, "int8" if blocks.weight.level == INTEGERS else "float")
        own = plain(node, opsets.get("", opsets.get("ai.onnx", 0)), Reference(node, opsets))
    except MemoryError:
        raise
    except Exception as error:
        raise GraphError(f"{named(node)}: {error}") from error
    return _reference_step(node, opsets) if own is None else Step(node, node.inputs, own, "float")


def _reference_step(node: ir.Node, opsets: dict[str, int]) -> Step:
    from .reference import reads_of

    try:
        return Step(node, reads_of(node), Reference(node, opsets).ready(), "onnx.reference")
    except MemoryError:
        raise
    except Exception as error:
        hint = "" if node.domain in STANDARD else "; `graph.custom_operator` registers a function for it"
        raise GraphError(f"{named(node)} is an operator that cannot be run: {error}{hint}") from error
