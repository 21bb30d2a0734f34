"""If and Loop: their graphs run like the enclosing one."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir

from ..errors import GraphError
from .reference import captured
from .steps import Step, named
from .table import attribute

__all__ = ["control_step"]


class Runner(Protocol):
    """A prepared graph: see `run.Plan`."""

    graph: ir.Graph

    def run(self, values: dict[ir.Value, Any], wanted: Sequence[ir.Value]) -> list[Any]:
        """The wanted values from those that are known."""
        ...


MakeRunner = Callable[[ir.Graph], Runner]


def control_step(node: ir.Node, make: MakeRunner) -> Step | None:
    """The step of an If or a Loop; None for other nodes."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in ("If", "Loop"):
        return None
    outside = captured(node)
    if node.op_type == "If":
        branches = make(attribute(node, "then_branch")), make(attribute(node, "else_branch"))
        return Step(node, [node.inputs[0], *outside], _If(branches, outside), "float")
    reads = [*node.inputs, *outside]
    return Step(node, reads, _Loop(node, make(attribute(node, "body")), len(node.inputs), outside), "float")


class _If:
    def __init__(self, branches: tuple[Runner, Runner], outside: list[ir.Value]) -> None:
        self.branches, self.outside = branches, outside

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        condition, *others = arrays
        if np.size(condition) != 1:
            raise ValueError(f"Expected a condition of one element, got shape {np.shape(condition)}")
        branch = self.branches[0 if np.asarray(condition).reshape(-1)[0] else 1]
        return branch.run(dict(zip(self.outside, others, strict=True)), branch.graph.outputs)


class _Loop:
    def __init__(self, node: ir.Node, body: Runner, inputs: int, outside: list[ir.Value]) -> None:
        self.node, self.body, self.inputs, self.outside = node, body, inputs, outside

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        limit, condition, *carried = arrays[:self.inputs]
        known = dict(zip(self.outside, arrays[self.inputs:], strict=True))
        inputs, outputs, number = self.body.graph.inputs, self.body.graph.outputs, 0
        scans: list[list[Any]] = [[] for _ in range(len(outputs) - 1 - len(carried))]
        most = None if limit is None else int(np.asarray(limit).reshape(-1)[0])
        going = condition is None or bool(np.asarray(condition).reshape(-1)[0])
        while going and (most is None or number < most):
            given = [np.array(number, np.int64), np.array(True), *carried]
            found = self.body.run(known | dict(zip(inputs, given, strict=True)), outputs)
            going, carried = bool(np.asarray(found[0]).reshape(-1)[0]), found[1:1 + len(carried)]
            for scan, value in zip(scans, found[1 + len(carried):], strict=True):
                scan.append(value)
            number += 1
        return [*carried, *(self._stacked(scan, outputs[len(outputs) - len(scans) + i])
                            for i, scan in enumerate(scans))]

    def _stacked(self, scan: list[Any], value: ir.Value) -> Any:
        if scan:
            return np.stack(scan)
        shape = None if value.shape is None else [dim if isinstance(dim, int) else 0 for dim in value.shape]
        if value.dtype is None:
            raise GraphError(f"{named(self.node)}: expected a type of {value.name!r}, of which no iteration made one")
        return np.empty([0, *(shape or [])], value.dtype.numpy())
