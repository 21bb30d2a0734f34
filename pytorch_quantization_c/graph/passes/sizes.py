"""Replaces shapes that a network computes from its inputs' by constants; in a Reshape, 0 and -1 stand for what varies.

Exporters write such networks where axes are dynamic. ONNX infers the shapes of the nodes' outputs.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import shape_inference
from onnx.reference import ReferenceEvaluator

from ..representation.constants import new_constant
from ..representation.naming import names_remembered
from .editing import attribute, bypass, constant, is_op, replace_value, set_constant
from .size_arithmetic import COMPUTED, Size, Sizes, divided, multiplied

__all__ = ["fold_sizes"]

MAX_ELEMENTS = 64  # of an array of sizes
END = 2 ** 63 - 1
STANDARD = ("", "ai.onnx")
#: Computed where all is known.
PLAIN = ("Abs", "And", "Expand", "Flatten", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mod",
         "Neg", "Not", "Or", "Range", "ReduceMax", "ReduceMin", "ReduceSum", "Tile", "Transpose")
TYPES = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL)


def _count(node: ir.Node, inputs: list[Sizes]) -> int:
    """The number of elements of an output that may be far larger than the inputs; 0 for other operators."""
    if node.op_type == "Range":
        start, limit, delta = (int(each.item()) for each in inputs)
        return max(0, -(-(limit - start) // delta))
    if node.op_type in ("ConstantOfShape", "Expand", "Tile"):
        return math.prod(int(each) for each in inputs[-1].ravel()) * (inputs[0].size if node.op_type == "Tile" else 1)
    return 0


class _Folding:
    def __init__(self, model: ir.Model) -> None:
        self.model, self.fresh, self.changed = model, 0, False
        self.taken = {str(each) for node in model.graph for value in (*node.inputs, *node.outputs)
                      if value is not None and value.shape is not None for each in value.shape.dims}
        self.dims: dict[ir.Value, list[Any] | None] = {}
        self.values: dict[ir.Value, Sizes] = {}
        self.opsets = [onnx.helper.make_operatorsetid(*each) for each in model.opset_imports.items()]

    def run(self) -> bool:
        for node in tuple(self.model.graph):
            if node.domain not in STANDARD:
                self._keep_dims(node)
                continue
            self._compute(node)
            rule = RULES.get(node.op_type)
            if rule is not None:
                self.changed |= rule(self, node)
            if node.graph is not None and node.outputs[0] not in self.values:
                self._infer(node)
        return self.changed

    def dims_of(self, value: ir.Value | None) -> list[Any] | None:
        """The sizes of a value's axes; None if their number is not known.

        Sizes of an output that cannot be inferred get fresh names. The file's are the user's, who often gives the axes
        of all outputs the names of the input's axes.
        """
        if value is None:
            return None
        if value not in self.dims:
            self.dims[value] = None if value.shape is None else [
                each if isinstance(each, int) else self._symbol(value, each.value) for each in value.shape.dims]
        return self.dims[value]

    def _symbol(self, value: ir.Value, name: str | None) -> Size:
        if name is not None and (value.producer() is None or not value.is_graph_output()):
            return Size(1, (name,))
        self.fresh += 1
        while f"?{self.fresh}" in self.taken:
            self.fresh += 1
        return Size(1, (f"?{self.fresh}",))

    def value_of(self, value: ir.Value | None) -> Sizes | None:
        """The elements of a small array of integers, as far as they are known."""
        if value is None:
            return None
        if value not in self.values:
            array = constant(value)
            if array is None or array.dtype.kind not in "ib" or array.size > MAX_ELEMENTS:
                return None
            self.values[value] = array.astype(object)
        return self.values[value]

    def list_of(self, value: ir.Value | None) -> Sizes | None:
        """As `value_of`, if it has one dimension."""
        found = self.value_of(value)
        return found if found is not None and found.ndim == 1 else None

    def _compute(self, node: ir.Node) -> None:
        made: Sizes | None = None
        if node.op_type == "Shape":
            dims = self.dims_of(node.inputs[0])
            if dims is not None:
                made = np.empty(len(dims), object)
                made[:] = dims
                made = made[attribute(node, "start", 0):attribute(node, "end", END)]
        elif node.op_type in (*COMPUTED, *PLAIN) and node.outputs[0].dtype in TYPES:
            inputs = [self.value_of(value) for value in node.inputs]
            if all(each is not None for each in inputs):
                compute = COMPUTED.get(node.op_type, self._plain)
                try:
                    known = [each for each in inputs if each is not None]
                    made = compute(node, known) if _count(node, known) <= MAX_ELEMENTS else None
                except Exception:  # a damaged file: running the node will report it
                    made = None
        if made is None or made.size > MAX_ELEMENTS:
            return
        value = node.outputs[0]
        self.values[value], self.dims[value] = made, list(made.shape)
        if value.dtype is not None and value.dtype in TYPES and not value.is_graph_output() and all(
                isinstance(each, int | bool) for each in made.ravel()):
            array = made.astype(value.dtype.numpy())
            self.changed |= replace_value(value, new_constant(self.model.graph, array, f"{value.name}_known"))

    def _plain(self, node: ir.Node, inputs: list[Sizes]) -> Sizes | None:
        """Computes a node on numbers, without sizes, by ONNX's reference."""
        if any(not isinstance(each, int | bool) for array in inputs for each in array.ravel()):
            return None
        feeds = {value.name or "": array.astype(value.dtype.numpy())
                 for value, array in zip(node.inputs, inputs, strict=True)
                 if value is not None and value.dtype is not None}
        found, = ReferenceEvaluator(ir.to_proto(node)).run(None, feeds)
        return np.asarray(found).astype(object)

    def _infer(self, node: ir.Node) -> None:
        """The shapes of a node's outputs from those of its inputs, where they are not all numbers."""
        if node.op_type == "Shape" or all(value.shape is not None and value.shape.is_static()
                                          for value in node.outputs):
            return
        if any(each.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for each in node.attributes.values()):
            return
        types, data = {}, {}
        for value in node.inputs:
            if value is None:
                continue
            dims = self.dims_of(value)
            if dims is None or value.dtype is None or not value.name:
                return
            types[value.name] = onnx.helper.make_tensor_type_proto(
                int(value.dtype), [each if isinstance(each, int) else str(each) for each in dims])
            array = constant(value)
            if array is not None and array.size <= MAX_ELEMENTS:
                data[value.name] = onnx.numpy_helper.from_array(array, value.name)
        try:
            schema = onnx.defs.get_schema(node.op_type, self.model.opset_imports[""], "")
            found = shape_inference.infer_node_outputs(schema, ir.to_proto(node), types, data, None, self.opsets)
        except Exception:  # what ONNX cannot infer stays unknown
            return
        for value in node.outputs:
            if value.name in found:
                self._set_dims(node, value, found[value.name].tensor_type)

    def _set_dims(self, node: ir.Node, value: ir.Value, found: Any) -> None:
        if not found.HasField("shape"):
            return
        known = {str(each): each for name in node.inputs for each in self.dims_of(name) or []}
        dims: list[Any] = []
        for number, each in enumerate(found.shape.dim):
            old = None if value.shape is None or number >= len(value.shape) else value.shape[number]
            if each.HasField("dim_value"):
                dims.append(each.dim_value)
            elif isinstance(old, int):
                dims.append(old)
            elif each.dim_param:
                dims.append(known.get(each.dim_param) or Size(1, (each.dim_param,)))
            else:
                dims.append(self._symbol(value, None if old is None else old.value))
        if is_op(node, "Reshape"):
            dims = self._reshaped(node) or dims
        self.dims[value] = dims
        named = list(value.shape.dims) if value.is_graph_output() and value.shape is not None else []
        value.shape = ir.Shape([each if isinstance(each, int) else named[number] if number < len(named) else str(each)
                                for number, each in enumerate(dims)])

    def _reshaped(self, node: ir.Node) -> list[Any] | None:
        """The sizes that a Reshape makes, if all are known: that of -1 from the product of the others."""
        source, shape = self.dims_of(node.inputs[0]), self.list_of(node.inputs[1])
        if source is None or shape is None or attribute(node, "allowzero", 0) and 0 in shape.tolist():
            return None
        made = shape.tolist()
        if any(each is None or (each == 0 and number >= len(source)) for number, each in enumerate(made)):
            return None
        made = [source[number] if each == 0 else each for number, each in enumerate(made)]
        if -1 not in made:
            return made
        at, all_of, others = made.index(-1), 1, 1
        for each in source:
            all_of = multiplied(all_of, each)
        for number, each in enumerate(made):
            others = others if number == at else multiplied(others, each)
        made[at] = None if others == 0 else divided(all_of, others)
        return None if made[at] is None else made

    def _keep_dims(self, node: ir.Node) -> None:
        for value in node.outputs:
            self.dims_of(value)

    # Rules

    def shape_of_reshape(self, node: ir.Node) -> bool:
        """Makes the shape of a Reshape constant: 0 for a size that the input has at that place, -1 for one other."""
        shape, dims = self.list_of(node.inputs[1]), self.dims_of(node.inputs[0])
        if constant(node.inputs[1]) is not None or shape is None or dims is None or 0 in shape.tolist():
            return False
        made: list[int] = []
        for number, each in enumerate(self._reshaped(node) or shape.tolist()):
            same = number < len(dims) and isinstance(each, Size) and dims[number] == each
            made.append(each if isinstance(each, int) else 0 if same else -1)
        if made.count(-1) > 1:
            return False
        set_constant(node, 1, np.array(made, np.int64), "sizes")
        node.attributes.pop("allowzero", None)
        return True

    def size_of_resize(self, node: ir.Node) -> bool:
        """Makes a Resize change only the axes whose sizes differ, to constant sizes; removes it if there is none."""
        sizes = self.list_of(node.inputs[3]) if len(node.inputs) > 3 else None
        dims = self.dims_of(node.inputs[0])
        if sizes is None or dims is None or constant(node.inputs[3]) is not None or "axes" in node.attributes or \
                self.model.opset_imports[""] < 18 or len(sizes) != len(dims) or \
                attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize" or \
                attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
            return False
        axes = [axis for axis, (old, new) in enumerate(zip(dims, sizes.tolist(), strict=True)) if old != new]
        if not axes and node.inputs[0] is not None:
            return bypass(node, node.inputs[0])
        if any(not isinstance(sizes[axis], int) for axis in axes):
            return False
        node.attributes["axes"] = ir.AttrInt64s("axes", axes)
        set_constant(node, 3, np.array([sizes[axis] for axis in axes], np.int64), "sizes")
        return True

    def end_of_slice(self, node: ir.Node) -> bool:
        """Makes the ends of a Slice constant, where they are numbers or the sizes of their axes."""
        ends, dims = self.list_of(node.inputs[2]), self.dims_of(node.inputs[0])
        axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
        if ends is None or dims is None or axes is None or constant(node.inputs[2]) is not None or \
                axes.shape != ends.shape or any(not -len(dims) <= axis < len(dims) for axis in axes):
            return False
        made = [each if isinstance(each, int) else END if dims[axis] == each else None
                for axis, each in zip(axes.tolist(), ends.tolist(), strict=True)]
        if any(each is None for each in made):
            return False
        set_constant(node, 2, np.array(made, np.int64), "sizes")
        return True

    def expand_to_itself(self, node: ir.Node) -> bool:
        """Removes an Expand to the shape that the input has."""
        shape, dims, value = self.list_of(node.inputs[1]), self.dims_of(node.inputs[0]), node.inputs[0]
        if shape is None or dims is None or value is None or len(shape) > len(dims) or constant(value) is not None:
            return False
        same = all(each == 1 or each == dim for each, dim in
                   zip(shape.tolist(), dims[len(dims) - len(shape):], strict=True))
        return same and bypass(node, value)


RULES: dict[str, Callable[[_Folding, ir.Node], bool]] = {
    "Reshape": _Folding.shape_of_reshape, "Resize": _Folding.size_of_resize, "Slice": _Folding.end_of_slice,
    "Expand": _Folding.expand_to_itself,
}


def fold_sizes(model: ir.Model) -> bool:
    """Makes constants of what Reshape, Resize, Slice and Expand of the main graph read, where sizes alone decide it.

    Returns:
        Whether something changed.
    """
    with names_remembered():
        return _Folding(model).run()
