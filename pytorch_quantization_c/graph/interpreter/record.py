"""What an operator's function needs of its node: enough to recreate the function without the graph."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from ..representation.notes import HIDDEN, NUMPY

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Compute", "NodeLike", "NodeRecord", "RecordedNode", "recorded"]

Compute = Callable[[Sequence[Any]], Sequence[Any]]
NUMBERS = ("FLOAT", "FLOATS", "INT", "INTS", "STRING", "STRINGS")


@dataclass(frozen=True)
class NodeRecord:
    """A node of an operator of the standard, or of a custom one.

    opset: the version of the operator set.
    attributes: numbers, strings, tuples of them, arrays.
    inputs, outputs: which of them are there.
    hidden: what its metadata say of its hidden state, of an LSTM or a GRU.
    domain: of a custom operator.
    by_numpy: NumPy's own function was traced.
    """

    op_type: str
    opset: int
    attributes: dict[str, Any]
    inputs: list[bool]
    outputs: list[bool]
    hidden: str = ""
    domain: str = ""
    by_numpy: bool = False

    def node(self) -> RecordedNode:
        """An equivalent node."""
        return RecordedNode(self)


class _Tensor(NamedTuple):
    array: NDArray[Any]

    def numpy(self) -> NDArray[Any]:
        return self.array


class _Attribute(NamedTuple):
    value: Any


class _Value(NamedTuple):
    name: str


class RecordedNode:
    """A stand-in for `onnx_ir.Node` in the functions of operators."""

    name = ""

    def __init__(self, record: NodeRecord) -> None:
        self.op_type, self.domain = record.op_type, record.domain
        self.attributes = {name: _Attribute(_Tensor(value) if hasattr(value, "dtype") else value)
                           for name, value in record.attributes.items()}
        self.inputs = [_Value(f"input {number}") if given else None for number, given in enumerate(record.inputs)]
        self.outputs = [_Value(f"output {number}" if given else "") for number, given in enumerate(record.outputs)]
        self.metadata_props = {HIDDEN: record.hidden} if record.hidden else {}
        if record.by_numpy:
            self.metadata_props[NUMPY] = "1"


if TYPE_CHECKING:
    NodeLike = ir.Node | RecordedNode
else:
    NodeLike = Any


def recorded(node: NodeLike, opset: int) -> NodeRecord | str:
    """The record of a node, or why there is none."""
    attributes: dict[str, Any] = {}
    for name, attribute in node.attributes.items():
        if isinstance(attribute, _Attribute):
            attributes[name] = attribute.value.numpy() if isinstance(attribute.value, _Tensor) else attribute.value
        elif attribute.type.name in NUMBERS:
            attributes[name] = attribute.value
        elif attribute.type.name == "TENSOR":
            attributes[name] = attribute.value.numpy()
        else:
            return f"its attribute {name!r} is a {attribute.type.name.lower()}"
    return NodeRecord(node.op_type, opset, attributes, [value is not None for value in node.inputs],
                      [bool(value.name) for value in node.outputs], node.metadata_props.get(HIDDEN, ""),
                      "" if node.domain == "ai.onnx" else node.domain,
                      NUMPY in node.metadata_props)
