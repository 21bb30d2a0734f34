"""Weight methods on graphs: optimised ranges and rounding."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.files import FilePath
from ..._core.progress import progress
from ...methods.gains import Gain
from ...methods.layer_rounding import RoundedWeight, WeightProblem
from ...methods.layer_rows import SAMPLE_ROWS, InputMoments, Windows, parts_in_memory
from ...methods.rounding_state import RoundingState
from ..calibration.batches import Feeds
from ..interpreter.run import Interpreter
from ..interpreter.windows import conv_geometry
from ..nodes import Quantizer, quantizer, quantizers, set_amax
from ..passes.editing import floats, is_op, set_constant
from ..passes.layers import Layer, layer_of
from ..placement.choices import Choices
from .bias import quantized_layer


class Target(NamedTuple):
    """A layer whose weight can be rounded: its name, what it is, and its weight's quantiser."""

    name: str
    layer: Layer
    quantizer: Quantizer

    @property
    def columns(self) -> int:
        """Length of a row of the weight."""
        return self.layer.weight.size // max(self.layer.channels, 1)


def improve_ranges(model: ir.Model, bare: ir.Model, samples: Sequence[Feeds], most_bits: int = 8,
                   is_final: bool = True) -> list[Gain]:
    """Gives weights of up to that many bits the ranges of least squared error, in place.

    The error is that of the layer's outputs on the samples, in the float model `bare`; unless `is_final`, because
    weights are still to be rounded by another method, that of the weight, where an error counts as much as the mean
    square of its input. Of weights other than those that `round_weights` rounds, and without samples, all count alike.
    """
    gains, seen = [], set()
    chosen = [each for each in targets_of(model) if bits_of(each.quantizer) <= most_bits]
    for part in parts_in_memory(chosen, _numbers) if samples else ():
        moments = _moments(bare, part, samples)
        for target in part:
            gains.append(_set_range(target, _problem(target, moments), "weight_mse", is_final))
            seen.add(target.quantizer.name)
    for found in tuple(quantizers(model)):
        array = floats(found.input)
        if found.is_weight and found.name not in seen and array is not None and found.amax is not None and \
                _is_plain(found) and bits_of(found) <= most_bits:
            turned = np.moveaxis(array, found.spec.axis or 0, 0)
            problem = WeightProblem(turned.reshape(len(turned), -1), found.amax, bits_of(found), None)
            made = problem.ranged()
            set_amax(found.node, made.amax)
            gains.append(Gain("weight_mse", found.name.removesuffix(".weight"), made.before, made.after))
    return gains


def linear_ranges(model: ir.Model, bare: ir.Model, samples: Sequence[Feeds], is_final: bool) -> list[Gain]:
    """Gives Gemm and MatMul layers, also those in groups, ranges of `improve_ranges`, in place: AWQ's second step."""
    chosen = [each for each in targets_of(model, with_groups=True) if is_op(each.layer.node, "Gemm", "MatMul")]
    return [_set_range(target, _problem(target, moments), "awq", is_final) for part in parts_in_memory(chosen, _numbers)
            for moments in [_moments(bare, part, samples)] for target in part]


def weight_noise(layers: Sequence[ir.Node], choices: Choices) -> dict[str, float]:
    """Signal to noise ratio in dB of layers' float weights, rounded as they are to be, by the names of their nodes.

    Weights in groups are left out.
    """
    found = {}
    for node in layers:
        layer, wanted = layer_of(node), choices.descriptor(node, "weight")
        if layer is None or not isinstance(wanted.num_bits, int) or wanted.num_bits > 8 or wanted.blocks is not None:
            continue
        turned = np.moveaxis(layer.weight, layer.out_axis, 0)
        magnitudes = np.abs(turned).reshape(len(turned), -1)
        amax = magnitudes.max() if wanted.axis is None else magnitudes.max(axis=1)
        problem = WeightProblem(turned.reshape(len(turned), -1), np.asarray(amax), wanted.num_bits, None)
        found[str(node.name)] = problem.sqnr()
    return found


def _set_range(target: Target, problem: WeightProblem, method: str, is_final: bool) -> Gain:
    made, found = problem.ranged(is_final), target.quantizer
    set_amax(found.node, made.amax if found.spec.block is None else np.moveaxis(made.amax, 0, target.layer.out_axis))
    return Gain(method, target.name, made.before, made.after)


def bits_of(found: Quantizer) -> int:
    """The width of a quantiser's integers."""
    return found.spec.bits if isinstance(found.spec.bits, int) else 8


def float_weights(model: ir.Model) -> dict[str, NDArray[np.float32]]:
    """The weights of the layers that `round_weights` changes, by the names of their nodes."""
    return {each.name: each.layer.weight for each in targets_of(model)}


def round_weights(model: ir.Model, bare: ir.Model, samples: Sequence[Feeds], method: str,
                  show_progress: bool | None, resume: FilePath | None = None) -> list[Gain]:
    """Rounds the weights of the layers by "gptq" or "adaround", in place, for inputs of the float model `bare`.

    Transposed convolutions, weights that several layers share and weights in other formats than symmetric integers
    with a range for each output channel, or one for all, stay as they are.
    """
    targets = targets_of(model)
    gains = []
    with RoundingState(resume) as state:
        for part in progress(parts_in_memory(targets, _numbers), method, show_progress, long=2):
            moments = _moments(bare, part, samples)
            for target in progress(part, method, show_progress):
                if moments[target.name].count:
                    gains.append(_round(target, moments, method, state))
    return gains


def _is_plain(found: Quantizer) -> bool:
    spec = found.spec
    return isinstance(spec.bits, int) and spec.bits <= 8 and not spec.unsigned and not spec.zero_point and \
        spec.block is None


def _is_grouped(found: Quantizer, layer: Layer) -> bool:
    """Whether the weight of a linear layer has a range for each whole group of inputs."""
    spec, weight = found.spec, layer.weight
    if spec.block is None or spec.axis is None or spec.scale_bits is not None:
        return False
    return _is_plain(found._replace(spec=replace(spec, block=None))) and weight.ndim == 2 and \
        spec.axis == 1 - layer.out_axis and weight.shape[spec.axis] % spec.block == 0


def targets_of(model: ir.Model, with_groups: bool = False) -> list[Target]:
    """The layers whose weights can be rounded, in order.

    Args:
        with_groups: and linear layers with a range for each group of inputs.
    """
    found = []
    for node in model.graph:
        layer = quantized_layer(node)
        if layer is None or node.op_type == "ConvTranspose":
            continue
        source = node.inputs[1].producer()  # type: ignore[union-attr]
        assert source is not None
        weight = quantizer(source)
        works = _is_plain(weight) and weight.spec.axis in (None, layer.out_axis)
        works = works or (with_groups and _is_grouped(weight, layer))
        if works and len(weight.output.uses()) == 1:
            found.append(Target(str(node.name), layer, weight))
    return found


def _numbers(target: Target) -> int:
    return target.layer.groups * target.columns ** 2


def _moments(bare: ir.Model, targets: list[Target], samples: Sequence[Feeds]) -> dict[str, InputMoments]:
    """What the layers are given in the float model."""
    run, wanted = Interpreter(bare), {each.name: each for each in targets}
    moments = {each.name: InputMoments(each.columns, each.layer.groups, SAMPLE_ROWS, number)
               for number, each in enumerate(targets)}
    readers: dict[str, list[ir.Node]] = {}
    for node in bare.graph:
        if node.name in wanted and node.inputs[0] is not None:
            readers.setdefault(str(node.inputs[0].name), []).append(node)

    def observe(name: str, array: Any) -> None:
        for node in readers[name]:
            target = wanted[str(node.name)]
            moments[target.name].add(array, windows_of(node, array, target.layer) if node.op_type == "Conv" else None)

    for feeds in samples:
        run.run(feeds, [], observe, readers)
    return moments


def windows_of(node: ir.Node, x: NDArray[Any], layer: Layer) -> Windows:
    """How a Conv reads its input."""
    at = conv_geometry(node, x, layer.weight)
    return Windows(layer.weight.shape[2:], at.stride, at.before, at.after, at.dilation, layer.groups)


def _problem(target: Target, moments: dict[str, InputMoments]) -> WeightProblem:
    layer, found, seen = target.layer, target.quantizer, moments[target.name]
    assert found.amax is not None
    rows = np.ascontiguousarray(np.moveaxis(layer.weight, layer.out_axis, 0))
    amax = found.amax if found.spec.block is None else np.ascontiguousarray(np.moveaxis(found.amax, layer.out_axis, 0))
    return WeightProblem(rows, amax, bits_of(found), seen.mean() if seen.count else None, layer.groups)


def _round(target: Target, moments: dict[str, InputMoments], method: str, state: RoundingState) -> Gain:
    return give_weight(target, state.rounded(_problem(target, moments), method), method)


def give_weight(target: Target, made: RoundedWeight, method: str) -> Gain:
    """Puts a rounded weight into the model; returns what it gained."""
    weight = np.ascontiguousarray(np.moveaxis(made.weight, 0, target.layer.out_axis))
    set_constant(target.quantizer.node, 0, weight, "rounded")
    return Gain(method, target.name, made.before, made.after)
