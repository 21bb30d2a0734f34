"""Shapes that a network computes from those of its inputs, as constants: 0 and -1 of a Reshape for what may vary.

Exporters write such networks where axes are dynamic. A size is a whole number times names, as "6 * N"; a sum or
quotient that is none gets a name of its own, the same for the same operands. ONNX infers what shape each node makes.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import shape_inference
from onnx.reference import ReferenceEvaluator

from ..representation.constants import new_constant
from ..representation.naming import names_remembered
from .editing import attribute, bypass, constant, is_op, replace_value, set_constant

__all__ = ["fold_sizes"]

MAX_ELEMENTS = 64  # of an array of sizes
MAX_NAME = 200     # characters; a longer expression is unknown
END = 2 ** 63 - 1
STANDARD = ("", "ai.onnx")


class Size:
    """A whole number times named sizes, all of them positive."""

    def __init__(self, number: int, names: tuple[str, ...]) -> None:
        self.number, self.names = number, names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and (self.number, self.names) == (other.number, other.names)

    def __hash__(self) -> int:
        return hash((self.number, self.names))

    def __str__(self) -> str:
        return " * ".join([*([str(self.number)] if self.number != 1 or not self.names else []), *self.names])


Sizes = NDArray[Any]  # of int, bool, Size, or None for what is not known


def _parts(value: Any) -> tuple[int, tuple[str, ...]]:
    return (value.number, value.names) if isinstance(value, Size) else (int(value), ())


def _made(number: int, names: tuple[str, ...]) -> Any:
    return Size(number, names) if names and number else number


def _named(text: str) -> Any:
    return Size(1, (f"({text})",)) if len(text) <= MAX_NAME else None


def _operand(value: Any) -> str:
    return f"({value})" if isinstance(value, Size) and (value.number != 1 or len(value.names) > 1) else str(value)


def _multiplied(a: Any, b: Any) -> Any:
    (m, a_names), (n, b_names) = _parts(a), _parts(b)
    return _made(m * n, tuple(sorted(a_names + b_names)))


def _added(a: Any, b: Any) -> Any:
    (m, a_names), (n, b_names) = _parts(a), _parts(b)
    if a_names == b_names or 0 in (m, n):
        return _made(m + n, a_names if m else b_names)
    return _named(" + ".join(sorted((_operand(a), _operand(b)))))


def _subtracted(a: Any, b: Any) -> Any:
    return _added(a, _multiplied(b, -1))


def _divided(a: Any, b: Any) -> Any:
    (m, left), (n, names) = _parts(a), _parts(b)
    rest = list(left)
    for name in names:
        if name in rest:
            rest.remove(name)
        else:
            return _named(f"{_operand(a)} / {_operand(b)}")
    if n == 0:
        return None
    if m % n == 0:
        return _made(m // n, tuple(rest))
    return _named(f"{_operand(a)} / {_operand(b)}") if rest or len(names) != len(left) or m < 0 or n < 0 else m // n


def _equal(a: Any, b: Any) -> Any:
    if a == b:
        return True
    (m, a_names), (n, b_names) = _parts(a), _parts(b)
    if (not a_names and not b_names) or m * n <= 0:
        return False  # different numbers, or one is positive and the other is not
    return None


def _both(function: Callable[[Any, Any], Any]) -> Callable[[ir.Node, list[Sizes]], Sizes]:
    def compute(node: ir.Node, inputs: list[Sizes]) -> Sizes:
        a, b = np.broadcast_arrays(*inputs)
        made = np.empty(a.shape, object)
        for place in np.ndindex(*a.shape):
            known = a[place] is not None and b[place] is not None
            made[place] = function(a[place], b[place]) if known else None
        return made
    return compute


def _gather(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return np.asarray(np.take(inputs[0], inputs[1].astype(np.int64), attribute(node, "axis", 0)), object)


def _concat(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return np.concatenate(inputs, attribute(node, "axis", 0))


def _axes(node: ir.Node, inputs: list[Sizes]) -> tuple[int, ...] | None:
    given = inputs[1] if len(inputs) > 1 else attribute(node, "axes", None)
    return None if given is None else tuple(int(axis) for axis in np.ravel(given))


def _unsqueeze(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return np.expand_dims(inputs[0], _axes(node, inputs) or ())


def _squeeze(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return np.squeeze(inputs[0], _axes(node, inputs))


def _slice(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    starts, ends = (each.tolist() for each in inputs[1:3])
    axes = inputs[3].tolist() if len(inputs) > 3 else range(len(starts))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    at = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        at[axis] = slice(start, None if step < 0 and end < -len(inputs[0]) else end, step)
    return inputs[0][tuple(at)]


def _reshape(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    return inputs[0].reshape(inputs[1].astype(np.int64).tolist())


def _where(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    chosen, a, b = np.broadcast_arrays(*inputs)
    made = np.empty(a.shape, object)
    for place in np.ndindex(*a.shape):
        made[place] = None if chosen[place] is None else a[place] if chosen[place] else b[place]
    return made


def _product(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    made = np.empty((1,) if attribute(node, "keepdims", 1) else (), object)
    total: Any = 1
    for each in inputs[0].ravel():
        total = None if total is None or each is None else _multiplied(total, each)
    made[...] = total
    return made


def _filled(node: ir.Node, inputs: list[Sizes]) -> Sizes:
    fill = node.attributes.get("value")
    number = 0 if fill is None else fill.value.numpy().reshape(-1)[0].item()  # float32 by default: not used then
    return np.full(inputs[0].astype(np.int64).tolist(), number, object)


COMPUTED: dict[str, Callable[[ir.Node, list[Sizes]], Sizes]] = {
    "Add": _both(_added), "Sub": _both(_subtracted), "Mul": _both(_multiplied), "Div": _both(_divided),
    "Equal": _both(_equal), "Gather": _gather, "Concat": _concat, "Unsqueeze": _unsqueeze, "Squeeze": _squeeze,
    "Slice": _slice, "Reshape": _reshape, "Where": _where, "ReduceProd": _product, "ConstantOfShape": _filled,
    "Cast": lambda node, inputs: inputs[0], "Identity": lambda node, inputs: inputs[0],
}
#: Computed where all is known.
PLAIN = ("Abs", "And", "Expand", "Flatten", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mod",
         "Neg", "Not", "Or", "Range", "ReduceMax", "ReduceMin", "ReduceSum", "Tile", "Transpose")
TYPES = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL)


class _Folding:
    def __init__(self, model: ir.Model) -> None:
        self.model, self.fresh, self.changed = model, 0, False
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
        """The sizes of a value's axes; None if their number is not known."""
        if value is None:
            return None
        if value not in self.dims:
            self.dims[value] = None if value.shape is None else [
                each if isinstance(each, int) else self._symbol(each.value) for each in value.shape.dims]
        return self.dims[value]

    def _symbol(self, name: str | None) -> Size:
        self.fresh += name is None
        return Size(1, (name if name is not None else f"?{self.fresh}",))

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
                    made = compute(node, [each for each in inputs if each is not None])
                except Exception:  # of a damaged file: the interpreter says what is wrong when the node runs
                    made = None
        if made is None or made.size > MAX_ELEMENTS:
            return
        value = node.outputs[0]
        self.values[value], self.dims[value] = made, list(made.shape)
        if value.dtype in TYPES and not value.is_graph_output() and all(
                isinstance(each, int | bool) for each in made.ravel()):
            array = made.astype(value.dtype.numpy())
            self.changed |= replace_value(value, new_constant(self.model.graph, array, f"{value.name}_known"))

    def _plain(self, node: ir.Node, inputs: list[Sizes]) -> Sizes | None:
        """By ONNX's own reference, of numbers alone."""
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
                dims.append(self._symbol(None if old is None else old.value))
        if is_op(node, "Reshape"):
            dims = self._reshaped(node) or dims
        self.dims[value] = dims
        value.shape = ir.Shape([each if isinstance(each, int) else str(each) for each in dims])

    def _reshaped(self, node: ir.Node) -> list[Any] | None:
        """The sizes that a Reshape makes, if all are known: that of -1 from the product of the others."""
        source, shape = self.dims_of(node.inputs[0]), self.value_of(node.inputs[1])
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
            all_of = _multiplied(all_of, each)
        for number, each in enumerate(made):
            others = others if number == at else _multiplied(others, each)
        made[at] = None if others == 0 else _divided(all_of, others)
        return None if made[at] is None else made

    def _keep_dims(self, node: ir.Node) -> None:
        for value in node.outputs:
            self.dims_of(value)

    # Rules

    def shape_of_reshape(self, node: ir.Node) -> bool:
        """Sizes that the input has in the same place become 0, and one other that is not a number -1."""
        shape, dims = self.value_of(node.inputs[1]), self.dims_of(node.inputs[0])
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
        """Only the axes are resized whose sizes change, to numbers; where none changes, nothing is."""
        sizes = self.value_of(node.inputs[3]) if len(node.inputs) > 3 else None
        dims = self.dims_of(node.inputs[0])
        if sizes is None or dims is None or constant(node.inputs[3]) is not None or "axes" in node.attributes or \
                self.model.opset_imports[""] < 18 or len(sizes) != len(dims) or \
                attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
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
        """An end that is the size of its axis."""
        ends, dims = self.value_of(node.inputs[2]), self.dims_of(node.inputs[0])
        axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
        if ends is None or dims is None or axes is None or constant(node.inputs[2]) is not None or \
                len(axes) != len(ends):
            return False
        made = [each if isinstance(each, int) else END if dims[axis] == each else None
                for axis, each in zip(axes.tolist(), ends.tolist(), strict=True)]
        if any(each is None for each in made):
            return False
        set_constant(node, 2, np.array(made, np.int64), "sizes")
        return True

    def expand_to_itself(self, node: ir.Node) -> bool:
        """To sizes that the input has."""
        shape, dims, value = self.value_of(node.inputs[1]), self.dims_of(node.inputs[0]), node.inputs[0]
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
