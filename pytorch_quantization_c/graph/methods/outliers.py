"""SmoothQuant and AWQ on float graphs: outlier channels of what linear layers read move into their weights."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...methods.gains import Gain
from ...methods.layer_rounding import scaled_noise
from ...methods.layer_rows import SAMPLE_ROWS, InputMoments
from ...methods.scaling import awq_factors, smoothing
from ..calibration.batches import Feeds
from ..interpreter.run import Interpreter
from ..passes.editing import attribute, floats, graph_of, is_op, set_constant
from ..passes.layers import Layer, layer_of
from ..placement.choices import Choices
from ..representation.constants import new_constant
from ..representation.naming import free_node_name

ALPHA, STEPS = 0.5, 20  # of SmoothQuant and AWQ

Vector = NDArray[np.float64]


def move_outliers(model: ir.Model, layers: Sequence[ir.Node], samples: Sequence[Feeds], method: str,
                  choices: Choices) -> list[Gain]:
    """Scales what Gemm and MatMul layers read by "smoothquant" or "awq", in place; the model's function is unchanged.

    Layers that read the same value share the factors. These go into a LayerNormalization where it alone makes the value
    and nobody else reads it, else into a Mul of their own.

    Args:
        layers: the nodes to be quantised.
        samples: inputs of the model.
    """
    groups: dict[ir.Value, list[Layer]] = {}
    for node in layers:
        layer, value = layer_of(node), node.inputs[0] if node.inputs else None
        if layer is not None and is_op(node, "Gemm", "MatMul") and value is not None:
            groups.setdefault(value, []).append(layer)
    seen = {str(value.name): InputMoments(members[0].in_channels, 1, SAMPLE_ROWS, number)
            for number, (value, members) in enumerate(groups.items())}
    run = Interpreter(model.clone())
    for feeds in samples:
        run.run(feeds, [], lambda name, array: seen[name].add(array), seen)
    gains = []
    for value, members in groups.items():
        if seen[str(value.name)].count:
            gains += _scale(value, members, seen[str(value.name)], method, choices)
    return gains


def _rows(layer: Layer) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.moveaxis(layer.weight, layer.out_axis, 0))


def _scale(value: ir.Value, members: list[Layer], seen: InputMoments, method: str, choices: Choices) -> list[Gain]:
    stacked = np.concatenate([_rows(layer) for layer in members])
    bits = [choices.descriptor(layer.node, "weight").num_bits for layer in members]
    least = min([each for each in bits if isinstance(each, int) and 2 <= each <= 8], default=8)
    factor = smoothing(seen.largest, stacked, ALPHA) if method == "smoothquant" else \
        awq_factors(seen.mean_magnitude(), seen.mean()[0], stacked, least, _group(members, choices, stacked), STEPS)
    inverse = (1 / factor).astype(np.float32)
    before = [_noise(layer, seen, np.ones_like(inverse), choices) for layer in members]
    for layer in members:
        set_constant(layer.node, 1, layer.input_scaled(1 / inverse.astype(np.float64)), "scaled")
    _scale_value(value, [layer.node for layer in members], inverse)
    after = [_noise(layer_of(layer.node) or layer, seen, inverse, choices) for layer in members]
    return [Gain(method, str(layer.node.name), *pair)
            for layer, pair in zip(members, zip(before, after, strict=True), strict=True)]


def _group(members: list[Layer], choices: Choices, weight: NDArray[np.float32]) -> int:
    """How many inputs share a range of a weight: the least of the layers'."""
    found = [choices.descriptor(layer.node, "weight").blocks for layer in members]
    sizes = [each.size for each in found if each is not None and weight.shape[1] % each.size == 0]
    return min(sizes, default=max(weight.shape[1], 1))


def _noise(layer: Layer, seen: InputMoments, inverse: NDArray[np.float32], choices: Choices) -> float:
    weight, kept = choices.descriptor(layer.node, "weight"), choices.descriptor(layer.node, "input").num_bits
    bits: Any = weight.num_bits if isinstance(weight.num_bits, int) else 8
    return scaled_noise(_rows(layer), seen.mean(), seen.largest, inverse, min(max(bits, 2), 8),
                        weight.axis is None and weight.blocks is None,
                        kept if isinstance(kept, int) else 8, _group([layer], choices, _rows(layer)))


def _scale_value(value: ir.Value, readers: list[ir.Node], inverse: NDArray[np.float32]) -> None:
    """Multiplies what these nodes read by a number for each index of the last axis."""
    source = value.producer()
    alone = not value.is_graph_output() and all(use.idx == 0 and use.node in readers for use in value.uses())
    if alone and source is not None and _is_plain_norm(source, len(inverse)):
        for index in range(1, len(source.inputs)):
            array = floats(source.inputs[index])
            if array is not None:
                set_constant(source, index, array * inverse, "scaled")
        return
    graph = graph_of(readers[0])
    order = {node: number for number, node in enumerate(graph)}
    first = min(readers, key=order.__getitem__)
    factors = new_constant(graph, inverse, f"{first.name}.pre_quant_scale")
    node = ir.node("Mul", [value, factors], name=free_node_name(graph, f"{first.name}.scaled"))
    node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
    graph.insert_before(first, node)
    for reader in readers:
        reader.replace_input_with(0, node.outputs[0])


def _is_plain_norm(node: ir.Node, size: int) -> bool:
    """A LayerNormalization over the last axis whose factors and summands are constants."""
    if not is_op(node, "LayerNormalization") or attribute(node, "axis", -1) not in (-1, _last_axis(node)):
        return False
    arrays = [floats(value) for value in node.inputs[1:] if value is not None]
    return len(arrays) == len(node.inputs) - 1 and all(a is not None and a.shape == (size,) for a in arrays)


def _last_axis(node: ir.Node) -> int:
    value = node.inputs[0]
    return -1 if value is None or value.shape is None else value.shape.rank() - 1
