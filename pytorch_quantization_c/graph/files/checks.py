"""Whether a model is valid: names, types, shapes and sizes, before anything is computed."""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
import onnx.checker
import onnx.shape_inference
import onnx_ir as ir

from ..errors import GraphError, shown_node
from ..nodes import DOMAIN, is_quantizer
from .external import node_tensors
from .opset import LARGE_CONSTANT, declared

__all__ = ["check_model", "check_weights", "subgraphs_of"]

MAX_ELEMENTS = 2 ** 31 - 1
LARGEST_PROTO = 2 ** 31 - 1  # bytes
MAX_TEXT = 400  # of shape inference's message: one line per node
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
GRAPHS = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}
STANDARD = ("", "ai.onnx")


def _shown(node: onnx.NodeProto) -> str:
    return shown_node(node.op_type, node.domain, node.name, list(node.output))


def _check_tensor(tensor: onnx.TensorProto, where: str) -> None:
    dims, kind = tuple(tensor.dims), tensor.data_type
    if min(dims, default=0) < 0 or math.prod(dims) > MAX_ELEMENTS:
        raise GraphError(f"Expected {where} of at most {MAX_ELEMENTS} elements, got shape {dims}")
    try:
        dtype = ir.DataType(kind)
    except ValueError:
        raise GraphError(f"Expected {where} of a type of ONNX, got number {kind}") from None
    if dtype == ir.DataType.UNDEFINED:
        raise GraphError(f"Expected {where} of a type of ONNX, got none")
    if not tensor.HasField("raw_data"):
        _check_numbers(tensor, where)
        return
    wanted = -(-math.prod(dims) * dtype.bitwidth // 8)
    if len(tensor.raw_data) != wanted:
        raise GraphError(f"Expected {where} of {wanted} bytes for {dtype.name}{list(dims)}, got {len(tensor.raw_data)}")


def _check_numbers(tensor: onnx.TensorProto, where: str) -> None:
    """Checks a tensor whose numbers are in typed fields."""
    try:
        onnx.numpy_helper.to_array(tensor)
    except MemoryError:
        raise
    except Exception as error:
        raise GraphError(f"Expected {where} with numbers for its shape {tuple(tensor.dims)}, got: {error}") from None


def _check_nodes(graph: onnx.GraphProto, context: onnx.checker.C.CheckerContext, outside: frozenset[str]) -> None:
    """Tensors, names and nodes of a graph; `outside`: the values around it that it may read."""
    for tensor in graph.initializer:
        _check_tensor(tensor, f"initialiser {tensor.name!r}")
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        for name in node.output:
            if name and name in made:
                raise GraphError(f"{_shown(node)}: expected a value of its own, got {name!r}, which is another's too")
        for tensor in node_tensors(node):
            _check_tensor(tensor, f"the tensor in {_shown(node)}")
        for name in node.input:
            if name and name not in made and name not in outside:
                raise GraphError(f"{_shown(node)}: expected inputs that an input, a constant or a node ahead gives, "
                                 f"got {name!r}")
        _check_node(node, context, outside | made)
        made.update(name for name in node.output if name)
    for value in graph.output:
        if value.name not in made and value.name not in outside:
            raise GraphError(f"Expected outputs that the graph computes, got {value.name!r}")


def subgraphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _check_node(node: onnx.NodeProto, context: onnx.checker.C.CheckerContext, known: frozenset[str]) -> None:
    graphs = list(subgraphs_of(node))
    _check_attributes(node)
    for graph in graphs:
        _check_nodes(graph, context, known)
    if graphs or node.domain not in STANDARD:
        return
    try:
        onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        raise GraphError(f"{_shown(node)}: {str(error).splitlines()[0]}") from None


def _check_attributes(node: onnx.NodeProto) -> None:
    """Each has a type, and those of If and Loop are graphs."""
    kinds = {attribute.name: attribute.type for attribute in node.attribute}
    for name, kind in kinds.items():
        if kind == onnx.AttributeProto.UNDEFINED:
            raise GraphError(f"{_shown(node)}: expected an attribute {name!r} of a type of ONNX, got none")
    for name in GRAPHS.get(node.op_type, ()) if node.domain in STANDARD else ():
        if kinds.get(name) != onnx.AttributeProto.GRAPH:
            raise GraphError(f"{_shown(node)}: expected a graph as its attribute {name!r}, got "
                             f"{'another value' if name in kinds else 'none'}")


def check_model(model: onnx.ModelProto) -> None:
    """Nodes, tensors and types of a model. GraphError that names what is wrong."""
    if not model.HasField("graph") or not model.graph.output:
        raise GraphError("Expected a model with a graph that has outputs, got none: the file may be cut off")
    context = onnx.checker.C.CheckerContext()
    context.ir_version = model.ir_version or onnx.IR_VERSION
    context.opset_imports = {entry.domain: entry.version for entry in model.opset_import}
    known = {"", *(entry.domain for entry in model.opset_import)}
    for node in model.graph.node:
        if node.domain not in known and node.domain != "ai.onnx":
            raise GraphError(f"{_shown(node)}: expected a domain of the model's opset imports {sorted(known)}, "
                             f"got {node.domain!r}")
    _check_nodes(model.graph, context, frozenset())
    _check_types(model)


def _outline(model: onnx.ModelProto) -> onnx.ModelProto:
    """What shape inference reads of a model: inputs instead of large weights, Identity instead of our own nodes."""
    plain, graph = onnx.ModelProto(), model.graph
    plain.ir_version, plain.graph.name = model.ir_version, graph.name
    plain.opset_import.extend(model.opset_import)
    plain.functions.extend(model.functions)
    for field in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(plain.graph, field).extend(getattr(graph, field))
    inputs = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if len(tensor.raw_data) <= LARGE_CONSTANT or tensor.name in inputs:
            plain.graph.initializer.append(tensor)
        else:
            plain.graph.input.append(declared(tensor))
    for node in plain.graph.node:
        if node.domain == DOMAIN:
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output, node.name))
    return plain


def _check_types(model: onnx.ModelProto) -> None:
    """Element types and shapes that operators do not accept, found by shape inference.

    After operators of other domains it knows no types and finds nothing.
    """
    if any(node.domain not in (*STANDARD, DOMAIN) for node in model.graph.node):
        return
    model = _outline(model)
    if model.ByteSize() > LARGEST_PROTO:
        return
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        text = " ".join(line for line in str(error).splitlines()[:2] if line.strip())
        raise GraphError(f"Expected types and shapes that agree, got {text[:MAX_TEXT]}") from None


def check_weights(model: ir.Model) -> None:
    """GraphError if a layer multiplies with a constant, or one is quantised, that holds a NaN or an infinity."""
    for node in model.graph.all_nodes():
        layer = node.op_type in LAYERS and node.domain == ""
        for value in node.inputs[1:] if layer else node.inputs[:1] if is_quantizer(node) else ():
            tensor = None if value is None else value.const_value
            if tensor is None or tensor.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE):
                continue
            array = tensor.numpy()
            if not np.isfinite(array).all():
                bad = array[~np.isfinite(array)].ravel()[0]
                raise GraphError(f"{shown_node(node.op_type, node.domain, node.name, [])}: expected finite numbers in "
                                 f"{tensor.name!r}, got {bad}")
