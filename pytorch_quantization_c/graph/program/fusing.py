"""Which elementwise operators are fused into a layer's output stage."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from ..interpreter.table import attribute, constant
from ..nodes import is_quantizer, quantizer
from ..representation.arithmetic import signs_zeros
from .chains import has_same_shape
from .layers import Layer, codes_of, layer_of
from .operations import Clamp, Codes

__all__ = ["Fused", "clamp_of", "fused_layers"]


class Fused:
    """A layer and the steps that follow it: [clamp], [HardSwish], [[quantiser] + residual], [clamp].

    Attributes:
        step, layer: the layer.
        steps: all steps, the layer first.
        residual: the value that is added, or None.
        between: the codes of a quantiser ahead of it.
    """

    def __init__(self, step: Any, layer: Layer) -> None:
        self.step, self.layer = step, layer
        self.steps = [step]
        self.residual: ir.Value | None = None
        self.between: Codes | None = None
        self.first, self.second = Clamp(), Clamp()
        self.hard_swish = False

    @property
    def output(self) -> ir.Value:
        """What the last step computes."""
        value: ir.Value = self.steps[-1].outputs[0]
        return value

    def take(self, step: Any) -> bool:
        """Fuses the only reader of the output, if the output stage can compute it."""
        clamp = clamp_of(step.node)
        if clamp is not None and step.reads[0] is self.output:
            return self._take_clamp(step, clamp)
        if _is(step.node, "HardSwish") and self.residual is None and not self.hard_swish:
            self.hard_swish = True
            self.steps.append(step)
            return True
        if self.layer.spread is not None:
            return False
        if self.residual is not None or not _is(step.node, "Add") or self.second != Clamp():
            return False
        others = [value for value in step.reads if value is not self.output]
        same = has_same_shape if self.layer.matrix else _may_be_equal
        if len(others) != 1 or others[0] is None or not same(others[0], self.output):
            return False
        if self.hard_swish and is_quantizer(others[0].producer()):
            return False  # HardSwish may give -0, and -0 + -0 is -0; decoded codes have no -0
        self.residual = others[0]
        self.steps.append(step)
        return True

    def take_both(self, step: Any, add: Any) -> bool:
        """Fuses a quantiser with a constant range that only an addition reads, if the addition can be fused too."""
        found = quantizer(step.node)
        codes = None if signs_zeros(found.spec) else codes_of(found)
        if codes is None or step.reads[0] is not self.output or not _is(add.node, "Add"):
            return False
        self.steps.append(step)
        if self.take(add):
            self.between = codes
            return True
        self.steps.pop()
        return False

    def _take_clamp(self, step: Any, clamp: Clamp) -> bool:
        if (self.second if self.residual is not None else self.first) != Clamp() or (
                self.hard_swish and self.residual is None):
            return False
        if self.residual is None:
            self.first = clamp
        else:
            self.second = clamp
        self.steps.append(step)
        return True


def _is(node: ir.Node, kind: str) -> bool:
    return node.op_type == kind and node.domain in ("", "ai.onnx")


def clamp_of(node: ir.Node) -> Clamp | None:
    """The bounds of a Relu or of a Clip by constants."""
    if _is(node, "Relu"):
        return Clamp(0.0, np.inf)
    if not _is(node, "Clip"):
        return None
    bounds = []
    for number, name, default in ((1, "min", -np.inf), (2, "max", np.inf)):
        given = len(node.inputs) > number and node.inputs[number] is not None
        found = constant(node, number) if given else attribute(node, name, default)
        if found is None or np.size(found) != 1 or np.isnan(found).any():
            return None
        bounds.append(float(np.float32(np.asarray(found).reshape(()))))
    return Clamp(*bounds)


def _may_be_equal(value: ir.Value, to: ir.Value) -> bool:
    """Whether two shapes can be equal, as far as they are known."""
    shape, other = value.shape, to.shape
    if shape is None or other is None:
        return True
    return len(shape) == len(other) and all(
        not isinstance(n, int) or not isinstance(m, int) or n == m for n, m in zip(shape, other, strict=True))


def fused_layers(steps: Iterable[Any], outputs: Iterable[ir.Value]) -> dict[Any, Fused]:
    """The layers of a program by the last step of each."""
    steps = [step for step in steps if not step.optional]
    counts = Counter(value for step in steps for value in step.reads if value is not None)
    counts.update(outputs)
    only = {value: step for step in steps for value in step.reads if value is not None and counts[value] == 1}
    taken: set[Any] = set()
    found = {}
    for step in steps:
        layer = layer_of(step)
        if layer is None:
            continue
        fused = Fused(step, layer)
        while (reader := only.get(fused.output)) is not None and reader not in taken:
            add = only.get(reader.outputs[0]) if is_quantizer(reader.node) else None
            if add is not None and add not in taken and fused.take_both(reader, add):
                taken.add(add)
            elif not fused.take(reader):
                break
            taken.add(reader)
        found[fused.steps[-1]] = fused
    return found
