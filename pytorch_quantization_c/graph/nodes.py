"""The quantisers of a graph: one node each, in our own domain.

`FakeQuant(x, amax) -> y` rounds by a constant range, `DynamicFakeQuant(x) -> y` by the range of x itself. With
bound = 2^(bits - 1 + unsigned) - 1 and scale = fl(bound / amax), both in float32,

    q = clamp(rint(x * scale) + zero_point, lo, hi),    y = (q - zero_point) / scale

with the attributes `bits`, `unsigned`, `narrow`, `zero_point`, `axis` (-128: one amax), `two_sided`, `block`,
`scale_bits` and `strict` (negative numbers in an unsigned quantiser are an error). lo is 0 if unsigned, else -bound if
narrow, else -bound - 1, and hi is bound. An amax up to 2^-24 gives zeros. A NaN stays NaN. This is the library's own
`fake_tensor_quant` with a zero point beside it. Models hold that as functions of ONNX as well (see `bodies`).
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, NDArray

from .representation.naming import free_value_name
from .representation.spec import E4M3, QuantizerSpec

__all__ = ["DOMAIN", "DYNAMIC", "E4M3", "EXECUTION", "FAKE_QUANT", "Quantizer", "QuantizerSpec", "declare",
           "fake_quant", "is_quantizer", "quantizer", "quantizers", "set_amax"]

DOMAIN, VERSION = "pytorch_quantization_c", 1
FAKE_QUANT, DYNAMIC = "FakeQuant", "DynamicFakeQuant"
NO_AXIS = -128  # the attribute `axis` of a node with one amax
EXECUTION = "pytorch_quantization_c.execution"  # in the metadata of a layer's node: "float" keeps it from integers


class Quantizer(NamedTuple):
    """A quantiser's node, read: `amax` is a copy, None of a dynamic one."""

    node: ir.Node
    spec: QuantizerSpec
    amax: NDArray[np.float32] | None

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name or ""

    @property
    def input(self) -> ir.Value:
        """The value that is quantised."""
        value = self.node.inputs[0]
        assert value is not None
        return value

    @property
    def output(self) -> ir.Value:
        """The quantised value."""
        return self.node.outputs[0]

    @property
    def is_dynamic(self) -> bool:
        """Whether the range is that of each input."""
        return self.amax is None

    @property
    def is_weight(self) -> bool:
        """Whether what is quantised is a constant."""
        return self.input.const_value is not None and not self.input.is_graph_input()


def is_quantizer(node: ir.Node | None) -> bool:
    """Whether a node is one of ours."""
    return node is not None and node.domain == DOMAIN and node.op_type in (FAKE_QUANT, DYNAMIC)


def checked_graph(model: Any, name: str = "model") -> ir.Model:
    """`model`, an argument of this name; TypeError if it is not a graph."""
    if not isinstance(model, ir.Model):
        raise TypeError(f"Expected `{name}` to be an onnx_ir.Model, as `graph.load` returns it, got "
                        f"{type(model).__name__}")
    return model


def declare(model: ir.Model) -> None:
    """Adds our domain to the opset imports, which every model with one of our nodes needs."""
    model.opset_imports[DOMAIN] = VERSION


def fake_quant(graph: ir.Graph, x: ir.Value, amax: ArrayLike | None, spec: QuantizerSpec, name: str) -> ir.Node:
    """A new quantiser of `x`, which the caller puts into `graph` before the nodes that are to read its output.

    Args:
        amax: float32: one number, one for each index of `spec.axis`, or one for each block; None: dynamic. It becomes
            the initializer `name + ".amax"` of the graph, or one with a number behind it if that is taken.
        name: of the node, one that is free; its output is called `name + ".y"`, or like it.

    Raises:
        ValueError: amax is negative, not finite, or of a rank that does not belong to `spec`.
    """
    inputs: list[ir.Value | None] = [x]
    if amax is not None:
        inputs.append(_initializer(graph, f"{name}.amax", checked_amax(amax, spec, name)))
    output = ir.Value(name=free_value_name(graph, f"{name}.y"), shape=x.shape, type=x.type)
    kind = DYNAMIC if amax is None else FAKE_QUANT
    return ir.Node(DOMAIN, kind, inputs, ir.convenience.convert_attributes(_attributes(spec)), outputs=[output],
                   name=name)


def _attributes(spec: QuantizerSpec) -> dict[str, Any]:
    """The attributes of a node, defaults included, as the functions of `bodies` read them."""
    always = {"axis": NO_AXIS, "two_sided": 0, "zero_point": 0, "strict": int(spec.zero_point is None)}
    return always | spec.attributes()


def checked_amax(amax: ArrayLike, spec: QuantizerSpec, name: str) -> NDArray[np.float32]:
    """`amax` as a float32 array that fits a spec."""
    array = np.asarray(amax, np.float32)
    if spec.axis is None or (spec.block is None and array.size == 1 and array.ndim != 1):
        array = array.reshape(()) if array.size == 1 else array
    rank = 0 if spec.axis is None else 1
    if spec.block is None and array.ndim != rank:
        raise ValueError(f"Expected `amax` of quantiser {name!r} with {rank} dimensions, got shape {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        bad = array[~(np.isfinite(array) & (array >= 0))].ravel()[0]
        raise ValueError(f"Expected `amax` of quantiser {name!r} >= 0 and finite, got {bad}")
    return array


def _initializer(graph: ir.Graph, wanted: str, array: NDArray[Any]) -> ir.Value:
    name = free_value_name(graph, wanted)
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def quantizer(node: ir.Node) -> Quantizer:
    """Reads a quantiser's node. ValueError, with its name, if `fake_quant` could not have made it."""
    if not is_quantizer(node):
        raise ValueError(f"Expected node {node.name!r} to be a quantiser, got {node.domain}.{node.op_type}")
    found = {name: attribute.value for name, attribute in node.attributes.items()}
    for name in ("bits", "zero_point", "scale_bits"):
        if name in found and not isinstance(found[name], int):
            found[name] = tuple(found[name])
    if found.pop("strict", 0) == 1:
        found["zero_point"] = None
    if found.get("axis") == NO_AXIS:
        found["axis"] = None
    for name in ("unsigned", "narrow", "two_sided"):
        if found.get(name, 0) not in (0, 1):
            raise ValueError(f"Quantiser {node.name!r}: expected `{name}` to be 0 or 1, got {found[name]}")
        found[name] = bool(found.get(name, 0))
    try:
        spec = QuantizerSpec(**found)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Quantiser {node.name!r}: {error}") from None
    if node.op_type == DYNAMIC:
        return Quantizer(node, spec, None)
    value = node.inputs[1] if len(node.inputs) > 1 else None
    if value is None or value.const_value is None:
        raise ValueError(f"Expected a constant `amax` of quantiser {node.name!r}")
    return Quantizer(node, spec, checked_amax(value.const_value.numpy(), spec, node.name or ""))


def quantizers(model: ir.Model | ir.Graph | Iterable[ir.Node]) -> Iterator[Quantizer]:
    """The quantisers of a model's main graph, in its order."""
    graph = model.graph if isinstance(model, ir.Model) else model
    return (quantizer(node) for node in graph if is_quantizer(node))


def set_amax(node: ir.Node, amax: ArrayLike) -> None:
    """Gives a quantiser with a constant range another one; ValueError as in `fake_quant`."""
    spec, value = quantizer(node).spec, node.inputs[1]
    assert value is not None
    array = checked_amax(amax, spec, node.name or "")
    value.const_value = ir.tensor(array, name=value.name)
    value.shape = ir.Shape(array.shape)
