"""Files into graphs."""
from __future__ import annotations

import os

import onnx
import onnx.inliner
import onnx.shape_inference
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveInitializersFromInputsPass

from ..._core.files import read_file
from ..errors import GraphError
from ..nodes import DOMAIN, DYNAMIC, FAKE_QUANT
from ..passes.editing import bypass, is_op
from .bodies import give_bodies
from .checks import check_model, check_weights, subgraphs_of
from .external import embed_external
from .foreign import import_integers
from .opset import converted, declared, raised, standard_opset

__all__ = ["load"]

RAISED_OPSET = 13
OVERRIDABLE_IR_VERSION = 4  # up to which initialisers had to be listed among the inputs
WRITTEN_OUT = ("Attention", "RMSNormalization", "RotaryEmbedding")
OURS = [(DOMAIN, FAKE_QUANT), (DOMAIN, DYNAMIC)]

Source = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model


def _parsed(data: bytes, what: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except MemoryError:
        raise
    except Exception as error:
        raise GraphError(f"Expected {what} to be an ONNX model, got something else: {error}") from None
    if not data or not model.HasField("graph"):
        raise GraphError(f"Expected {what} to be an ONNX model, got one without a graph: it may be cut off")
    return model


def _proto(model: Source) -> onnx.ModelProto:
    """The model, all its tensors in it, as a copy that may be changed."""
    folder = None
    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        proto, folder = _parsed(read_file(path), repr(path)), os.path.dirname(os.path.abspath(path))
    elif isinstance(model, bytes):
        proto = _parsed(model, "`model`")
    elif isinstance(model, onnx.ModelProto):
        proto = onnx.ModelProto()
        proto.CopyFrom(model)
    elif isinstance(model, ir.Model):
        proto = _unlinked(model)
    else:
        raise TypeError("Expected `model` to be a path, bytes, an onnx.ModelProto or an onnx_ir.Model, "
                        f"got {type(model).__name__}")
    embed_external(proto, folder)
    _open_axes(proto.graph)
    return proto


def _unlinked(model: ir.Model) -> onnx.ModelProto:
    """A model in memory as a proto; its tensors in other files are those that its owner has opened."""
    try:
        model = model.clone()
        for graph in [model.graph, *model.graph.subgraphs()]:
            for value in graph.initializers.values():
                if isinstance(value.const_value, ir.ExternalTensor):
                    value.const_value = ir.tensor(value.const_value.numpy(), name=value.name)
        return ir.to_proto(model)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__  # type: ignore[assignment]
        raise GraphError(f"Expected a model that can be written, got one that cannot: {error}") from None


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    if not model.functions:
        return model
    try:
        inlined: onnx.ModelProto = onnx.inliner.inline_selected_functions(model, OURS, exclude=True)
        return inlined
    except MemoryError:
        raise
    except Exception as error:
        names = ", ".join(f"{each.domain}.{each.name}" for each in model.functions)
        raise GraphError(f"Expected functions that can be inlined, got {names}: {error}") from None


def _written_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with those operators that ONNX defines by others written out so; as it is if ONNX cannot do that."""
    if not any(node.op_type in WRITTEN_OUT and node.domain in ("", "ai.onnx") for node in model.graph.node):
        return model
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    given = {value.name for value in (*typed.graph.input, *typed.graph.value_info)}
    typed.graph.value_info.extend(declared(each) for each in typed.graph.initializer if each.name not in given)
    try:
        typed = onnx.shape_inference.infer_shapes(typed)
        written: onnx.ModelProto = onnx.inliner.inline_selected_functions(
            typed, [("", name) for name in WRITTEN_OUT], inline_schema_functions=True)
    except Exception:  # types that are not known: the reference computes these nodes
        return model
    written.graph.ClearField("value_info")
    written.graph.value_info.extend(model.graph.value_info)
    return written


def _open_axes(graph: onnx.GraphProto) -> None:
    """Axes of negative size, which exporters write for ones that may vary, become axes of unknown size."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_value < 0:
                axis.ClearField("dim_value")
    for node in graph.node:
        for inner in subgraphs_of(node):
            _open_axes(inner)


def _name_nodes(graph: ir.Graph, taken: set[str | None]) -> None:
    """Gives the nodes without a name one after their first output."""
    for node in graph:
        if not node.name:
            base = f"{node.op_type}_{node.outputs[0].name}" if node.outputs else node.op_type
            name, number = base, 1
            while name in taken:
                name, number = f"{base}_{number}", number + 1
            node.name = name
            taken.add(name)


def _sorted(model: ir.Model) -> None:
    try:
        model.graph.sort()
    except ValueError as error:
        raise GraphError(f"Expected a graph without cycles: {error}") from None


def load(model: Source) -> ir.Model:
    """A network as an `onnx_ir.Model`, its quantisers as nodes of our own (see `graph.nodes`).

    Opsets below 13 are raised to it, functions are inlined, Attention, RMSNormalization and RotaryEmbedding written
    out, constants become initialisers, an Identity of one goes, nodes without a name get one. QuantizeLinear and
    DequantizeLinear pairs, and the operators on integers of other quantisers' files, become quantisers before float
    layers. Everything else stays as it is: names, shapes, metadata, inputs and outputs.

    Args:
        model: a path, the contents of a file, an `onnx.ModelProto`, or an `onnx_ir.Model`; it is not changed.

    Raises:
        GraphError: not a model, a damaged one, or one that cannot be run; names the node or the value.
        TypeError: `model` is none of these.
        OSError: the file cannot be read.
    """
    proto = _proto(model)
    try:
        return _loaded(proto)
    except (GraphError, MemoryError):
        raise
    except Exception as error:  # a damaged file may go wrong anywhere
        raise GraphError(f"Expected an ONNX model, got one that cannot be read: {error}") from error


def _loaded(proto: onnx.ModelProto) -> ir.Model:
    proto = _inlined(proto)
    standard_opset(proto)
    is_old = proto.ir_version < OVERRIDABLE_IR_VERSION
    proto.ir_version = max(proto.ir_version, OVERRIDABLE_IR_VERSION)
    proto = _in_order(proto)
    check_model(proto)
    proto = _written_out(proto)
    loaded = converted(raised(proto, RAISED_OPSET))
    _sorted(loaded)
    if is_old:
        RemoveInitializersFromInputsPass()(loaded)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(loaded)
    _bypass_identities(loaded.graph)
    _name_nodes(loaded.graph, {node.name for node in loaded.graph.all_nodes()})
    import_integers(loaded)
    give_bodies(loaded)
    check_weights(loaded)
    return loaded


def _bypass_identities(graph: ir.Graph) -> None:
    """Exporters write equal weights once, and an Identity of them for each other layer: they become its weights."""
    for node in tuple(graph):
        value = node.inputs[0] if is_op(node, "Identity") else None
        if value is not None and value.is_initializer() and not value.is_graph_input():
            bypass(node, value)


def _in_order(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every node behind those that it reads."""
    later = {output for node in proto.graph.node for output in node.output}
    for node in proto.graph.node:
        if any(name in later for name in node.input if name):
            model = converted(proto)
            _sorted(model)
            return ir.to_proto(model)
        later.difference_update(node.output)
    return proto
