"""GPTQ layer after layer: each makes up for what rounding the layers before has done to its inputs.

`methods.gptq` with `float_inputs`, where the inputs are those of the model whose layers before are rounded already.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.files import FilePath
from ..._core.progress import progress
from ...methods.bias_correction import MeanError
from ...methods.gains import Gain
from ...methods.layer_rounding import CompensatedProblem
from ...methods.layer_rows import SAMPLE_ROWS, PairedMoments
from ...methods.rounding_state import RoundingState
from ..calibration.batches import Feeds
from ..interpreter.run import Plan
from ..interpreter.steps import Step
from ..interpreter.values import checked_feeds
from .rounding import Target, bits_of, give_weight, targets_of, windows_of

__all__ = ["SEQUENTIAL", "round_in_sequence"]

SEQUENTIAL = "sequential_gptq"
AT_ONCE = 1 << 30   # bytes of values of all samples, in the float model and in the rounded one

Values = dict[ir.Value, Any]
Shifts = dict[str, NDArray[np.float64]]


def round_in_sequence(model: ir.Model, bare: ir.Model, samples: Sequence[Feeds], corrects: bool,
                      show_progress: bool | None, resume: FilePath | None = None,
                      most_bits: int = 8) -> tuple[list[Gain], Shifts]:
    """Rounds the weights that `round_weights` rounds, in place, one after the other; activations stay float meanwhile.

    Those of more than `most_bits` bits are taken as float.

    All samples go through the float model and the rounded one node by node, as many of them as fit into AT_ONCE.

    Args:
        bare: the float model, the same without quantisers.
        corrects: whether biases will be corrected: then each layer is rounded on inputs of corrected ones.

    Returns:
        What rounding gained, and, if it `corrects`, what to add to the channels of layers, by their names.
    """
    targets = {each.name: each for each in targets_of(model) if bits_of(each.quantizer) <= most_bits}
    if not targets:
        return [], {}
    run = _SideBySide(bare, samples)
    gains, shifts = [], {}
    with RoundingState(resume) as state, np.errstate(all="ignore"):
        for number in progress(range(len(run.plan.steps)), SEQUENTIAL, show_progress):
            step = run.plan.steps[number]
            target = None if step.optional else targets.get(str(step.node.name))
            if target is not None:
                gains.append(run.rounded(step, target, state))
            run.advance(number)
            if target is not None and corrects:
                shifts[target.name] = run.corrected(step, target)
            run.free(number)
    return gains, shifts


class _SideBySide:
    """A float model and the same with rounded weights, on all samples, node by node."""

    def __init__(self, bare: ir.Model, samples: Sequence[Feeds]) -> None:
        self.plan = Plan(bare.graph, dict(bare.opset_imports))
        held = _bytes_held(self.plan, self._begun(bare, samples[0])) if samples else 1
        self.pairs = [(self._begun(bare, each), self._begun(bare, each))
                      for each in samples[:max(1, AT_ONCE // (2 * max(held, 1)))]]

    def _begun(self, bare: ir.Model, feeds: Feeds) -> Values:
        return {**self.plan.constants, **checked_feeds(bare.graph, feeds)}

    def rounded(self, step: Step, target: Target, state: RoundingState) -> Gain:
        """Rounds the weight of the layer that comes next."""
        layer, found, node = target.layer, target.quantizer, step.node
        seen = PairedMoments(target.columns, layer.groups, SAMPLE_ROWS, 0)
        for exact, moved in self.pairs:
            x, wanted = moved[node.inputs[0]], exact[node.inputs[0]]    # type: ignore[index]
            seen.add(x, wanted, windows_of(node, x, layer) if node.op_type == "Conv" else None)
        assert found.amax is not None
        rows = np.ascontiguousarray(np.moveaxis(layer.weight, layer.out_axis, 0))
        problem = CompensatedProblem(rows, found.amax, bits_of(found), seen.means(), layer.groups)
        made = state.rounded(problem, SEQUENTIAL)
        weight = np.moveaxis(problem.values(made), 0, layer.out_axis)
        for _, moved in self.pairs:
            moved[node.inputs[1]] = np.ascontiguousarray(weight)    # type: ignore[index]
        return give_weight(target, made, SEQUENTIAL)

    def advance(self, number: int) -> None:
        """Runs a step on all samples."""
        step = self.plan.steps[number]
        for values in () if step.optional else (each for pair in self.pairs for each in pair):
            values.update(zip(step.outputs, step.run(values), strict=False))

    def corrected(self, step: Step, target: Target) -> NDArray[np.float64]:
        """Takes the mean error of each channel off what the layer has given; returns what was added."""
        error, out, axis = MeanError(target.layer.channel_axis), step.outputs[0], target.layer.channel_axis
        for exact, moved in self.pairs:
            error.add(exact[out], moved[out])
        amount = error.mean()
        for _, moved in self.pairs:
            wide = np.moveaxis(moved[out], axis, -1) + amount.astype(np.float32)
            moved[out] = np.ascontiguousarray(np.moveaxis(wide, -1, axis))
        return amount

    def free(self, number: int) -> None:
        """Drops what no later step reads."""
        for pair in self.pairs:
            for values in pair:
                self.plan.free(number, values, self.plan.constants)


def _bytes_held(plan: Plan, values: Values) -> int:
    """The most that the values of one sample take at a time."""
    most = 0
    with np.errstate(all="ignore"):
        for number, step in enumerate(plan.steps):
            if not step.optional:
                values.update(zip(step.outputs, step.run(values), strict=False))
                most = max(most, sum(np.asarray(array).nbytes for value, array in values.items()
                                     if value not in plan.constants))
            plan.free(number, values, plan.constants)
    return most
