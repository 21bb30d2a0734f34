"""Shapes inferred and constants folded, by onnxscript's optimizer."""
from __future__ import annotations

import math

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass
from onnxscript import optimizer

MAX_ELEMENTS = 1 << 26     # a larger constant stays an expression
MAX_FILLED = 1 << 16       # a larger constant of one number does
#: Operators whose outputs have sizes that numbers in their inputs say.
SIZED = ("AffineGrid", "BlackmanWindow", "CenterCropPad", "ConstantOfShape", "DFT", "Expand", "HammingWindow",
         "HannWindow", "MelWeightMatrix", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample")


def fold_constants(model: ir.Model) -> None:
    """Computes what depends on constants alone, shapes of static values included; unread values are removed.

    A file may say of an output that it has another number of axes than it has, which is seen once shapes are known:
    then the inferred one is used.
    """
    declared = [value.shape for value in model.graph.outputs]
    for value in model.graph.outputs:
        value.shape = None if value.producer() is not None else value.shape
    _infer_shapes(model)
    _fold(model)
    RemoveUnusedNodesPass()(model)
    for value, shape in zip(model.graph.outputs, declared, strict=True):
        if shape is not None and (value.shape is None or len(value.shape) == len(shape)):
            value.shape = shape


def _infer_shapes(model: ir.Model) -> None:
    """Infers shapes, from elements of arrays as well unless an array is too long for that.

    ONNX then keeps each element of arrays of one dimension apart, in memory that a file of 200 bytes could exhaust.
    """
    _run_inference(model, by_elements=False)
    nodes = tuple(model.graph.all_nodes())
    if any(node.op_type in SIZED and any(value.shape is None or not value.shape.is_static() for value in node.outputs)
           for node in nodes):
        _fold(model)    # which makes the sizes known that depend on constants
        nodes = tuple(model.graph.all_nodes())
    if not any(map(_is_long, nodes)):
        _run_inference(model, by_elements=True)


def complete_types(model: ir.Model) -> None:
    """Infers types and shapes where a node's output has none, and changes nothing else, in place."""
    if all(value.dtype is not None and value.shape is not None
           for node in model.graph for value in node.outputs if value.name):
        return
    _run_inference(model, by_elements=False)
    if not any(map(_is_long, model.graph.all_nodes())):
        _run_inference(model, by_elements=True)


def _run_inference(model: ir.Model, by_elements: bool) -> None:
    """Runs ONNX's inference. It does not know GroupNormalization, whose types and shapes are an instance norm's."""
    groups = [node for node in model.graph.all_nodes()
              if node.op_type == "GroupNormalization" and node.domain in ("", "ai.onnx")]
    for node in groups:
        node.op_type = "InstanceNormalization"
    try:
        ShapeInferencePass(check_type=False, strict_mode=False, data_prop=by_elements)(model)
    finally:
        for node in groups:
            node.op_type = "GroupNormalization"


def _is_long(node: ir.Node) -> bool:
    return any(value.shape is not None and len(value.shape) == 1 and _size(value) > MAX_FILLED
               for value in node.outputs)


def _fold(model: ir.Model) -> None:
    optimizer.fold_constants(model, onnx_shape_inference=True, input_size_limit=MAX_ELEMENTS,
                             output_size_limit=MAX_ELEMENTS, should_fold=_foldable)


def _size(value: ir.Value) -> int:
    """The number of elements; 0 if it is not known."""
    dims = () if value.shape is None else value.shape.dims
    return math.prod(size if isinstance(size, int) else 0 for size in dims)


def _foldable(node: ir.Node) -> bool | None:
    """Whether a node on constants is computed; None leaves it to the optimizer's rules (never random numbers)."""
    if node.domain not in ("", "ai.onnx"):
        return False
    if any(_size(value) > MAX_ELEMENTS for value in node.outputs):
        return False
    if node.op_type == "DequantizeLinear":
        return True
    if node.op_type == "ConstantOfShape":
        shape = node.inputs[0].const_value if node.inputs[0] is not None else None
        return shape is not None and 0 <= math.prod(shape.numpy().tolist()) <= MAX_FILLED or None
    return None
