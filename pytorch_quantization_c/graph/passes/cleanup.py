"""Removes nodes that do nothing: Identity, Dropout, no-op Cast and Reshape, pairs of Reshape or Transpose,
and the Reshapes around a Transpose of matrices."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from .editing import (
    attribute,
    bypass,
    constant,
    graph_of,
    is_op,
    read_once,
    same_shape,
    scalar,
    set_constant,
    substitute,
)

RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def remove_no_ops(model: ir.Model) -> None:
    """Removes nodes of the main graph that change neither numbers nor shapes. Subgraphs are unchanged."""
    changed = True
    while changed:
        changed = False
        for node in tuple(model.graph):
            if node.graph is None or not is_op(node, *RULES):
                continue
            changed |= RULES[node.op_type](node)


def _identity(node: ir.Node) -> bool:
    value = node.inputs[0]
    return value is not None and bypass(node, value)


def _dropout(node: ir.Node) -> bool:
    training = node.inputs[2] if len(node.inputs) > 2 else None
    if training is not None:
        trains = constant(training)
        if trains is None or trains:
            return False
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        return False
    return _identity(node)


def _cast(node: ir.Node) -> bool:
    value = node.inputs[0]
    return value is not None and value.dtype is not None and value.dtype == attribute(node, "to", None) and \
        bypass(node, value)


def _reshaping(node: ir.Node) -> bool:
    """A Reshape to the same shape, or of a reshaped value that has no other reader."""
    value, out = node.inputs[0], node.outputs[0]
    if value is None:
        return False
    if same_shape(value, out):
        return bypass(node, value)
    before = value.producer()
    if not (is_op(node, "Reshape") and is_op(before, *RESHAPING) and read_once(value)):
        return False
    shape = constant(node.inputs[1])
    if shape is None or (shape == 0).any() or before is None:
        return False
    node.replace_input_with(0, before.inputs[0])
    before.graph.remove(before, safe=True)  # type: ignore[union-attr]
    return True


def _matrices_transposed(node: ir.Node) -> bool:
    """Removes Reshapes around a Transpose of the last two axes that merge the leading axes and split them again."""
    transpose = None if node.inputs[0] is None else node.inputs[0].producer()
    if not is_op(transpose, "Transpose") or transpose is None or not read_once(transpose.outputs[0]):
        return False
    joined = transpose.inputs[0]
    reshape = None if joined is None else joined.producer()
    if not is_op(reshape, "Reshape") or reshape is None or joined is None or not read_once(joined):
        return False
    order, value = attribute(transpose, "perm", None), reshape.inputs[0]
    shapes = [None if each is None or each.shape is None or each.shape.has_unknown_dim() else list(each.shape.dims)
              for each in (value, joined, node.outputs[0])]
    if value is None or order is None or any(shape is None or len(shape) < 2 for shape in shapes):
        return False
    before, inside, after = (shape or [] for shape in shapes)
    axes, rank = list(range(len(before))), len(order)
    if list(order) != [*range(rank - 2), rank - 1, rank - 2] or inside[-2:] != before[-2:] or \
            after != [*before[:-2], before[-1], before[-2]]:
        return False
    substitute(node, ir.node("Transpose", [value], {"perm": [*axes[:-2], axes[-1], axes[-2]]}, name=node.name))
    for each in (transpose, reshape):
        if each.graph is not None:
            each.graph.remove(each, safe=True)
    return True


def _images_of_rows(node: ir.Node) -> bool:
    """Where a Transpose and a Reshape turn rows of pixels into images, puts the Reshape first, on channels last."""
    transpose = None if node.inputs[0] is None else node.inputs[0].producer()
    if not is_op(transpose, "Transpose") or transpose is None or not read_once(transpose.outputs[0]):
        return False
    shape, value, turned = constant(node.inputs[1]), transpose.inputs[0], transpose.outputs[0].shape
    order = tuple(attribute(transpose, "perm", ()))
    if order != (0, 2, 1) or shape is None or shape.shape != (4,) or value is None or value.dtype is None or \
            turned is None or len(turned) != 3:
        return False
    batch, channels, height, width = (int(size) for size in shape)
    if min(channels, height, width) < 1 or list(turned.dims[1:]) != [channels, height * width]:
        return False
    pixels = ir.node("Reshape", [value, node.inputs[1]], name=f"{node.name}_pixels")
    graph_of(node).insert_before(node, pixels)
    set_constant(pixels, 1, np.array([batch, height, width, channels], np.int64), "pixels")
    pixels.outputs[0].type = value.type
    pixels.outputs[0].shape = ir.Shape([turned[0], height, width, channels])
    substitute(node, ir.node("Transpose", [pixels.outputs[0]], {"perm": [0, 3, 1, 2]}, name=node.name))
    graph_of(transpose).remove(transpose, safe=True)
    return True


def _reshape(node: ir.Node) -> bool:
    return _matrices_transposed(node) or _images_of_rows(node) or _reshaping(node)


def _transpose(node: ir.Node) -> bool:
    value = node.inputs[0]
    order = attribute(node, "perm", None)
    if value is None or order is None:
        return False
    if list(order) == list(range(len(order))):
        return bypass(node, value)
    before = value.producer()
    if not (is_op(before, "Transpose") and read_once(value)) or before is None:
        return False
    first = attribute(before, "perm", None)
    if first is None:
        return False
    node.attributes["perm"] = ir.AttrInt64s("perm", [first[axis] for axis in order])
    node.replace_input_with(0, before.inputs[0])
    before.graph.remove(before, safe=True)  # type: ignore[union-attr]
    return True


def _neutral(node: ir.Node) -> bool:
    """Whether a node adds 0 or multiplies by 1, without broadcasting to a larger shape."""
    neutral = 0.0 if node.op_type in ("Add", "Sub") else 1.0
    for index in (1,) if node.op_type in ("Sub", "Div") else (1, 0):
        array, value = constant(node.inputs[index]), node.inputs[1 - index]
        if array is None or value is None or array.dtype.kind != "f" or not (array == neutral).all():
            continue
        if same_shape(value, node.outputs[0]):
            return bypass(node, value)
    return False


def _pad(node: ir.Node) -> bool:
    pads, value = constant(node.inputs[1]) if len(node.inputs) > 1 else None, node.inputs[0]
    return pads is not None and value is not None and not np.any(pads) and bypass(node, value)


def _resize(node: ir.Node) -> bool:
    """Whether a Resize keeps the size."""
    value = node.inputs[0]
    plain = attribute(node, "coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
    return value is not None and plain and bool(value.shape and value.shape.is_static()) and \
        same_shape(value, node.outputs[0]) and scalar(value) is None and bypass(node, value)


RULES: dict[str, Callable[[ir.Node], bool]] = {
    "Identity": _identity, "Dropout": _dropout, "Cast": _cast, "Reshape": _reshape, "Flatten": _reshaping,
    "Squeeze": _reshaping, "Unsqueeze": _reshaping, "Expand": _reshaping, "Transpose": _transpose, "Add": _neutral,
    "Sub": _neutral, "Mul": _neutral, "Div": _neutral, "Pad": _pad, "Resize": _resize,
}
