"""One recorded run: a graph that grows node by node, and the real array behind each of its values."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..interpreter.steps import plain_step
from ..nodes import DOMAIN, EXECUTION, VERSION, QuantizerSpec, fake_quant, is_quantizer, quantizer
from ..representation.notes import NUMPY
from .array import Traced, plain
from .refusal import place, refuse
from .size import Questions

__all__ = ["OPSETS", "Recording"]

Array = NDArray[Any]

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
QUANTIZER_SUFFIXES = (".amax", ".y")  # of the names of its range and its output
OPSETS = {"": 21, DOMAIN: VERSION}
LIBRARY = ("pytorch_quantization_c.float_nn.", "pytorch_quantization_c.nn.")
MAIN = ("averagepool", "batchnormalization", "clip", "conv", "convtranspose", "elu", "gather", "gelu", "gemm",
        "globalaveragepool", "globalmaxpool", "groupnormalization", "hardswish", "instancenormalization",
        "layernormalization", "leakyrelu", "logsoftmax", "maxpool", "pad", "relu", "resize", "sigmoid", "softmax",
        "softplus", "tanh")


class Recording:
    """A graph that is being recorded.

    Attributes:
        graph: its nodes in the order in which they were computed.
        arrays: the real array of each value.
        constants: the constants in the order in which they came, with the place where each came in.
        parameters: the model's parameters and buffers by name.
        places: where in the user's code each node was made.
        scope: the names of the modules that are being called, outermost first.
        is_layer: the innermost of them is a layer of the library.
        questions: the model's questions about sizes.
        frozen: amax, rounding and name of the weight quantiser of the frozen layer that is being called.
    """

    def __init__(self, names: dict[int, str], parameters: dict[str, Any]) -> None:
        self.graph = ir.Graph([], [], nodes=[], opset_imports=dict(OPSETS), name="traced")
        self.arrays: dict[ir.Value, Array] = {}
        self.constants: dict[ir.Value, str] = {}
        self.places: dict[ir.Node, str] = {}
        self.scope: list[str] = []
        self.is_layer = False
        self.questions = Questions()
        self.frozen: tuple[Any, QuantizerSpec, str] | None = None
        self._wanted: dict[ir.Node, str] = {}
        self._products: list[ir.Node] = []
        self._rows: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}  # quantised by rows: the source, the matrix
        self.parameters: dict[str, Array] = {name: np.asarray(array) for name, array in parameters.items()}
        self._known = {_memory(array): name for name, array in self.parameters.items() if array.size}
        self._module_names = names
        self._named: dict[str, int] = {}
        self._shared: dict[Any, tuple[Array, ir.Value]] = {}
        self._owners: dict[int, Array] = {}

    # Names

    def unique(self, wanted: str) -> str:
        """`wanted`, or with a number behind it if it is taken."""
        count = self._named.get(wanted, 0)
        self._named[wanted] = count + 1
        return wanted if not count else self.unique(f"{wanted}_{count}")

    @contextmanager
    def inside(self, module: Any) -> Iterator[None]:
        """Nodes are named after this module."""
        outer = self.is_layer
        self.scope.append(self._module_names.get(id(module), type(module).__name__))
        self.is_layer = type(module).__module__.startswith(LIBRARY)
        try:
            yield
        finally:
            self.scope.pop()
            self.is_layer = outer

    def name(self, kind: str) -> str:
        """A new name for a node of this kind: of a layer's main node the layer's own."""
        scope = self.scope[-1] if self.scope else ""
        if scope and self.is_layer and kind in MAIN and scope not in self._named:
            return self.unique(scope)
        return self.unique(f"{scope}.{kind}" if scope else kind)

    # Values

    def input(self, name: str, array: Array) -> Traced:
        """A new input of the graph."""
        array = np.array(array)
        value = ir.Value(name=self.unique(name), shape=ir.Shape(array.shape), type=_tensor_type(array))
        self.graph.inputs.append(value)
        return self.wrapped(value, array)

    def wrapped(self, value: ir.Value, array: Array) -> Traced:
        """The traced array of a value; `array` is what it is from now on."""
        array = np.asarray(array)
        self.arrays[value] = array
        owner = _owner(array)
        if value.const_value is None:
            self._owners[id(owner)] = owner
        traced = array.view(Traced)
        traced._value, traced._recording = value, self
        np.ndarray.setflags(traced, write=False)
        return traced

    def value(self, x: Any, dtype: np.dtype[Any] | None = None) -> ir.Value:
        """The graph's value of a traced array, or of anything else as a constant."""
        if isinstance(x, Traced):
            if x._recording is not self or x._value is None:
                refuse("an array made of a traced one by something that is not recorded")
            return x._value
        return self.constant(x, dtype)._value  # type: ignore[return-value]

    def constant(self, x: Any, dtype: np.dtype[Any] | None = None, name: str = "constant") -> Traced:
        """An array or a number as a constant of the graph; the same memory with the same contents is one constant."""
        given = np.asarray(x.view(np.ndarray) if isinstance(x, np.ndarray) else x, dtype)
        if given.dtype.kind not in "fiub" and given.dtype.name != "bfloat16":
            refuse(f"a constant of type {given.dtype}", "a graph holds numbers and booleans")
        if id(_owner(given)) in self._owners:
            refuse("an array that was taken out of the graph by `np.asarray` or the like",
                   "`np.asanyarray` leaves a traced array as it is")
        order = _memory_order(given)
        if order is not None:
            base = self._stored(given.transpose(order), name)
            turned: Traced = self.emit("Transpose", base, perm=np.argsort(order).tolist())
            return turned
        return self._stored(given, name)

    def _stored(self, given: Array, name: str) -> Traced:
        key = _memory(given)
        shared = self._shared.get(key) if given.ndim else None
        if shared is not None and np.array_equal(self.arrays[shared[1]], given, equal_nan=given.dtype.kind == "f"):
            return self.wrapped(shared[1], self.arrays[shared[1]])
        array = np.array(given, order="C")
        known = self._known.get(key) if given.size else None
        full = self.unique(known) if known is not None else self.name(name)
        tensor = ir.tensor(array, name=full)
        value = ir.Value(name=full, shape=ir.Shape(array.shape), type=_tensor_type(array), const_value=tensor)
        self.graph.register_initializer(value)
        self.constants[value] = place()
        if given.ndim:
            self._shared[key] = given, value
        return self.wrapped(value, array)

    def emit(self, op: str, *inputs: Any, outputs: int = 1, name: str | None = None, domain: str = "",
             by_numpy: bool = False, **attributes: Any) -> Any:
        """Adds a node and computes it; its traced outputs, one by itself. None among the inputs is left out."""
        values = [None if x is None else self.value(x) for x in inputs]
        while values and values[-1] is None:
            values.pop()
        full = self.name(op.lower()) if name is None else self.unique(name)
        made = [ir.Value(name=full if i == 0 else f"{full}.{i}") for i in range(outputs)]
        return self.add(ir.Node(domain, op, values, ir.convenience.convert_attributes(attributes), outputs=made,
                                name=full, metadata_props={NUMPY: "1"} if by_numpy else None))

    def add(self, node: ir.Node) -> Any:
        """Adds a node and computes it; its traced outputs, one by itself."""
        self.graph.append(node)
        self.places[node] = place()
        if node.op_type in PRODUCTS and is_quantizer(node.inputs[1].producer() if node.inputs[1] else None):
            node.metadata_props[EXECUTION] = "float"  # as a function computes it; see `on_integers`
            self._products.append(node)
        step = plain_step(node, OPSETS)
        with np.errstate(all="ignore"):
            arrays = step.compute([None if value is None else self.arrays[value] for value in step.reads])
        made = []
        for value, array in zip(node.outputs, arrays, strict=False):
            value.type, value.shape = _tensor_type(np.asarray(array)), ir.Shape(np.shape(array))
            made.append(self.wrapped(value, array))
        return made[0] if len(made) == 1 else made

    @contextmanager
    def on_integers(self, layer: Any) -> Iterator[None]:
        """The products within are computed on integers if that is how the layer has computed itself."""
        before = len(self._products)
        yield
        if layer.execution == "int8":
            for node in self._products[before:]:
                node.metadata_props.pop(EXECUTION, None)

    def quantized(self, x: Any, amax: Any, spec: QuantizerSpec, name: str | None = None) -> Traced:
        """Adds a quantiser; without an amax a dynamic one."""
        full = self._quantizer_name(self.name("fakequant") if name is None else self.unique(name))
        node = fake_quant(self.graph, self.value(x), amax, spec, full)
        self._wanted[node] = full if name is None else name
        if amax is not None:
            made = node.inputs[1]
            assert made is not None and made.const_value is not None
            self.arrays[made], self.constants[made] = made.const_value.numpy(), place()
        result: Traced = self.add(node)
        return result

    def _quantizer_name(self, wanted: str) -> str:
        """`wanted` or like it, so that what a quantiser adds has names that nothing else has or will have."""
        name = wanted
        while any(f"{name}{suffix}" in self._named for suffix in QUANTIZER_SUFFIXES):
            name = self.unique(wanted)
        self._named.update({f"{name}{suffix}": 1 for suffix in QUANTIZER_SUFFIXES})
        return name

    def ahead_of_quantizer(self, x: Any) -> Any:
        """What a quantised value was before; another value itself."""
        node = self.value(x).producer()
        if self.value(x) in self._rows:
            value = self._rows[self.value(x)][0]
        elif node is not None and is_quantizer(node):
            value = quantizer(node).input
        else:
            return x
        return self.wrapped(value, self.arrays[value])

    def moved(self, op: str, x: Any, *inputs: Any, **attributes: Any) -> Any:
        """A node that only moves elements. Of one quantised value, the quantiser is placed after it."""
        node = self.value(x).producer()
        if node is None or not is_quantizer(node):
            return self.emit(op, x, *inputs, **attributes)
        found = quantizer(node)
        if found.spec.axis is not None:
            return self.emit(op, x, *inputs, **attributes)
        moved = self.emit(op, self.ahead_of_quantizer(x), *inputs, **attributes)
        return self.quantized(moved, found.amax, found.spec, self._wanted[node])

    def rows_quantized(self, x: Any, spec: QuantizerSpec, name: str) -> Any:
        """Adds a dynamic quantiser with a range for each row of several dimensions: of the matrix of these rows."""
        rows = self.emit("Reshape", x, np.array([-1, x.shape[-1]], np.int64))
        quantized = self.quantized(rows, None, replace(spec, axis=0), name)
        result = self.emit("Reshape", quantized, self.emit("Shape", x))
        self._rows[self.value(result)] = self.value(x), self.value(quantized)
        return result

    def as_rows(self, x: Any) -> Any:
        """An array as a matrix with its rows."""
        if x.ndim == 2:
            return x
        if self.value(x) in self._rows:
            rows = self._rows[self.value(x)][1]
            return self.wrapped(rows, self.arrays[rows])
        return self.moved("Reshape", x, np.array([-1, x.shape[-1]], np.int64))

    def weight(self, w: Any) -> Any:
        """The weight of a layer, behind its quantiser if the layer that is being called is frozen."""
        if self.frozen is None or (isinstance(w, Traced) and is_quantizer(self.value(w).producer())):
            return w if isinstance(w, Traced) else self.constant(w)
        return self.quantized(self.constant(w, name="weight"), *self.frozen)

    def cast(self, x: Any, dtype: np.dtype[Any]) -> Any:
        """A Cast, unless the type is already right; constants are converted directly."""
        if not isinstance(x, Traced):
            return np.asarray(x).astype(dtype, copy=False)
        if x.dtype == dtype:
            return x
        return self.emit("Cast", x, to=ir.DataType.from_numpy(dtype).value)

    def tidy(self) -> None:
        """Removes what no output needs, and gives quantisers that moved the names of those removed."""
        for node in reversed(list(self.graph)):
            if not any(value.uses() or value.is_graph_output() for value in node.outputs):
                self.graph.remove(node, safe=True)
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del self.graph.initializers[name]
        names = {node.name for node in self.graph}
        values = {value.name for node in self.graph for value in node.outputs}
        values |= {value.name for value in self.graph.inputs} | set(self.graph.initializers)
        for node, wanted in self._wanted.items():
            others = values - {value.name for value in (*node.inputs[1:], *node.outputs) if value is not None}
            free = wanted not in names and others.isdisjoint(f"{wanted}{suffix}" for suffix in QUANTIZER_SUFFIXES)
            if node.graph is not None and node.name != wanted and free:
                names.add(wanted)
                _rename(node, wanted)

    def forget(self) -> None:
        """Drops the numbers of inner values, which may be large; their shapes and types stay, and the constants."""
        for value, array in self.arrays.items():
            if value.const_value is None:
                self.arrays[value] = np.broadcast_to(np.zeros((), array.dtype), array.shape)
        self._owners.clear()
        self._shared.clear()

    def rebound(self, x: Any, array: Any) -> Any:
        """A traced array (or several) with the array that was really computed."""
        if isinstance(x, tuple | list):
            return type(x)(self.rebound(each, real) for each, real in zip(x, array, strict=True))
        if not isinstance(x, Traced) or x._value is None:
            return x
        array = np.asarray(plain(array))
        if array.shape != x.shape or array.dtype != x.dtype:
            refuse(f"a result of {array.dtype}{list(array.shape)}, where the graph has {x.dtype}{list(x.shape)}")
        return self.wrapped(x._value, array)


def _rename(quantizer: ir.Node, name: str) -> None:
    quantizer.name = name
    if not quantizer.outputs[0].is_graph_output():
        quantizer.outputs[0].name = f"{name}.y"
    for value in quantizer.inputs[1:]:
        if value is not None:
            value.name = f"{name}.amax"


def _memory(array: Array) -> tuple[Any, ...]:
    """A key that identifies the memory of an array."""
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


def _owner(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _memory_order(array: Array) -> Sequence[int] | None:
    """The order of axes in which a transposed array lies in memory; None if that is its own."""
    if array.ndim < 2 or array.size < 2 or array.flags.c_contiguous:
        return None
    order = np.argsort([-stride for stride in array.strides], kind="stable").tolist()
    return order if array.transpose(order).flags.c_contiguous else None


def _tensor_type(array: Array) -> ir.TensorType:
    return ir.TensorType(ir.DataType.from_numpy(array.dtype))
