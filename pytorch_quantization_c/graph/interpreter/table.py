"""The operators that are computed by functions of our own, and how such a function is found.

A maker gets a node and the version of its operator set, and returns the function of its inputs; None if it does not
know this form of the operator, which `onnx.reference` computes then. So does a function that returns NotImplemented.
"""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .custom import STANDARD, custom_function
from .record import NodeLike

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["FLOATS_ALONE", "MAX_ELEMENTS", "TYPES", "Array", "Function", "NodeLike", "attribute", "checked_shape",
           "constant", "function_of", "operator", "operators"]

Array = NDArray[Any]
Function = Callable[..., Any]
Maker = Callable[[Any, int], Function | None]

MAX_ELEMENTS = 2 ** 31 - 1  # of a value
#: NumPy's types by their numbers in TensorProto.DataType.
TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32), 2: np.dtype(np.uint8), 3: np.dtype(np.int8), 4: np.dtype(np.uint16), 5: np.dtype(np.int16),
    6: np.dtype(np.int32), 7: np.dtype(np.int64), 9: np.dtype(np.bool_), 10: np.dtype(np.float16),
    11: np.dtype(np.float64), 12: np.dtype(np.uint32), 13: np.dtype(np.uint64)}
FAMILIES = ("elementwise", "grid_sample", "indexing", "linear", "logic", "movement", "norms", "padding", "recurrent",
            "resize", "rows", "windows")
_makers: dict[str, Maker] = {}
FLOATS_ALONE: set[str] = set()  # operators whose functions know float32 and float64 alone


def operator(*names: str, floats: bool = False) -> Callable[[Maker], Maker]:
    """Registers a maker under the names of operators of the standard; `floats`: for float32 and float64 alone."""
    def register(maker: Maker) -> Maker:
        _makers.update(dict.fromkeys(names, maker))
        if floats:
            FLOATS_ALONE.update(names)
        return maker
    return register


def operators() -> dict[str, Maker]:
    """All makers by the names of their operators."""
    for family in FAMILIES:
        import_module(f".{family}", __package__)
    return _makers


def function_of(node: NodeLike, opset: int) -> tuple[Function, bool] | None:
    """The function of a node, and whether it knows float32 and float64 alone; None if there is none."""
    if node.domain not in STANDARD:
        custom = custom_function(node)
        return None if custom is None else (custom, False)
    maker = operators().get(node.op_type)
    function = None if maker is None else maker(node, opset)
    return None if function is None else (function, node.op_type in FLOATS_ALONE)


def attribute(node: NodeLike, name: str, default: Any = None) -> Any:
    """The value of an attribute: numbers, strings, and tuples of them."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def constant(node: ir.Node, number: int) -> Array | None:
    """An input that is a constant of the graph, or None."""
    value = node.inputs[number] if number < len(node.inputs) else None
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def checked_shape(shape: Any) -> tuple[int, ...]:
    """A shape that an operator is to fill. ValueError if it has negative sizes or too many elements."""
    sizes = tuple(int(size) for size in np.asarray(shape).reshape(-1))
    if any(size < 0 for size in sizes):
        raise ValueError(f"Expected sizes >= 0, got {sizes}")
    count = 1
    for size in sizes:
        count *= size
    if count > MAX_ELEMENTS:
        raise ValueError(f"Expected at most {MAX_ELEMENTS} elements, got {count} in shape {sizes}")
    return sizes
